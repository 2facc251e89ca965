"""What several test modules need: small settings, runs in this process, the real command, and the records they leave.

Fixtures stand in conftest.py; no test module imports another.
"""

import contextlib
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import types
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from resnet_exp.cli.signals import StopRequest
from resnet_exp.config import Config, DataConfig, NetConfig, OptimConfig
from resnet_exp.nets.init import initialise
from resnet_exp.nets.network import Network
from resnet_exp.nets.table import MODELS, net_spec
from resnet_exp.runs.checkpoint import load_checkpoint
from resnet_exp.runs.diagnostics import Diagnosis
from resnet_exp.runs.diagnostics import Subject as Questioned
from resnet_exp.runs.evaluation import Evaluated, Predictions, Score, Subject, most_confused
from resnet_exp.runs.folder import RunFolder
from resnet_exp.study.runs import Run, read_study
from resnet_exp.training.progress import Progress
from resnet_exp.training.run import train_run
from resnet_exp.training.stop import Stopped
from tests.forkserver import ForkedProcess, server

ROOT = Path(__file__).resolve().parents[1]
TINY = (
    *("data=synthetic", "data.train_limit=100", "data.test_limit=50", "data.image_size=8", "width=4"),
    *("train.batch_size=16", "train.steps=6", "train.eval_every=3", "train.save_every=3", "threads=1"),
)
LINES = 3  # no message is longer
REAL = Path(os.environ.get("RESNET_EXP_TEST_DATA", ROOT.parent / "shared" / "data"))  # real images, on some machines
COMMAND = (sys.executable, "-W", "error", "-m", "resnet_exp")

Command = Callable[..., subprocess.CompletedProcess[str]]
Settings = Callable[..., Config]


class Bomb:
    """Makes a folder in the working directory of whoever unpickles it."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("exploded",)


# Nets and runs in this process.


def of_model(model: str, **changes: object) -> NetConfig:
    """The settings that `model=` means, and some others."""
    return NetConfig(**({"width": 16} | MODELS[model] | changes))  # type: ignore[arg-type]


def make_net(
    *,
    depth: int = 8,
    block: str = "v1",
    shortcut: str = "A",
    bottleneck: bool = False,
    width: int = 16,
    num_classes: int = 10,
    seed: int | None = None,
    **more: Any,
) -> Network:
    """The net of these settings; initialised if there is a seed."""
    spec = net_spec(NetConfig(depth, block, shortcut, bottleneck, width, **more))
    net = Network(spec, num_classes=num_classes)
    if seed is not None:
        initialise(net, seed=seed)
    return net


def data_config(name: str, **changes: object) -> DataConfig:
    """The defaults of a data set, but that nothing is downloaded, changed as said."""
    usual = {"title": None, "root": "data", "download": False, "train_limit": None, "test_limit": None}
    usual |= {
        "val_size": 0,
        "image_size": 32,
        "augment": True,
        "crop": "padded",
        "border": "mean",
        "mean": None,
        "std": None,
    }
    return DataConfig(name, **(usual | changes))


def optim_config(**changes: object) -> OptimConfig:
    """The recipe of the papers, changed as said."""
    recipe = {"lr": 0.1, "momentum": 0.9, "weight_decay": 1e-4, "weight_decay_on": "all"}
    return OptimConfig(**(recipe | {"milestones": [32_000, 48_000], "warmup_steps": "auto"} | changes))


def run(config: Config, path: Path) -> dict[str, object]:
    """Trains as the command does, and returns the summary."""
    with RunFolder(path) as folder, StopRequest() as stop:
        train_run(config, folder, stop=stop)
        if stop.signum is not None:
            stop.leave()
    return json.loads((path / "summary.json").read_text())


def run_until(config: Config, path: Path, *, stop_at: int) -> None:
    """Trains, and sends this process a SIGTERM after update `stop_at`."""

    def tick_and_stop(progress: Progress, *arguments: object, **named: object) -> None:
        tick(progress, *arguments, **named)
        if progress.begun_at + progress.ticks == stop_at:
            os.kill(os.getpid(), signal.SIGTERM)

    tick = Progress.tick
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Progress, "tick", tick_and_stop)
        with pytest.raises(Stopped) as caught:
            run(config, path)
    assert caught.value.exit_code == 143
    summary, table = json.loads((path / "summary.json").read_text()), rows(path)
    assert summary["status"] == "interrupted"
    assert summary["train_error"] == (table[-1]["train_error"] if table else None)
    saved = load_checkpoint(path)
    assert saved is not None
    assert saved["state"]["step"] == stop_at


# What a run leaves.


def rows(path: Path) -> list[dict[str, float]]:
    header, *lines = (path / "metrics.csv").read_text().splitlines()
    return [dict(zip(header.split(","), map(float, line.split(",")), strict=True)) for line in lines]


def state_hash(path: Path) -> str:
    """Of everything in the newest checkpoint."""
    digest = hashlib.sha256()

    def feed(node: object) -> None:
        if isinstance(node, dict):
            for key in sorted(node, key=str):
                digest.update(str(key).encode())
                feed(node[key])
        elif isinstance(node, list | tuple):
            for item in node:
                feed(item)
        elif isinstance(node, torch.Tensor):
            digest.update(node.contiguous().numpy().tobytes())
        else:
            digest.update(repr(node).encode())

    feed(load_checkpoint(path))
    return digest.hexdigest()


def same(one: Path, other: Path) -> bool:
    """Whether two runs have the same bytes of `metrics.csv` and the same state."""
    tables = [(path / "metrics.csv").read_bytes() for path in (one, other)]
    return tables[0] == tables[1] and state_hash(one) == state_hash(other)


def assert_same(parts: Path, whole: Path) -> None:
    """The same records and the same weights, every point of the curve in TensorBoard, and no scraps."""
    assert (parts / "metrics.csv").read_bytes() == (whole / "metrics.csv").read_bytes()
    assert state_hash(parts) == state_hash(whole)
    assert json.loads((parts / "summary.json").read_text())["status"] == "completed"
    names = [{file.name for file in folder.iterdir() if "tfevents" not in file.name} for folder in (parts, whole)]
    assert names[0] == names[1]
    shown = EventAccumulator(str(parts), size_guidance={"scalars": 0}).Reload()
    steps = [int(row["step"]) for row in rows(whole)]
    for tag in ("train/loss", "test/error", "lr"):
        assert [event.step for event in shown.Scalars(tag)] == steps, tag
    assert len(shown.Scalars("final/test_error")) == 1


def statuses(study: Path) -> list[str]:
    return sorted(json.loads(file.read_text())["status"] for file in study.glob("*/seed*/summary.json"))


def write_run(
    study: Path, family: str, depth: int, seed: int, errors: list[float], *, suffix: str = "", **summary: object
) -> Path:
    """A run folder with one row of metrics per entry of `errors`; the test error is the training error plus one."""
    name = f"{family}{depth}{suffix}"
    folder = study / name / f"seed{seed}"
    folder.mkdir(parents=True)
    lines = ["step,epoch,lr,train_loss,train_error,test_loss,test_error"]
    for index, error in enumerate(errors, start=1):
        lines.append(f"{100 * index},{index},0.1,1.5,{error},1.6,{error + 1}")
    (folder / "metrics.csv").write_text("\n".join(lines) + "\n")
    values = {
        **{"name": name, "family": family, "depth": depth, "block": "v1", "shortcut": "A", "width": 16},
        **{"seed": seed, "steps": 100 * len(errors), "status": "completed", "first_bad_step": None},
        **{"train_error": errors[-1] if errors else None, "train_error_clean": 5.0, "n_train": 5000},
        **{"test_error": errors[-1] + 1 if errors else None, "params": 1, "macs": 2, "device": "cpu"},
        "dataset": {"name": "test data <1>", "fingerprint": "abc", "image_size": 16},
        "choices": {"milestones": [200], "precision": "off", "augmentation": "crop and flip"},
    }
    (folder / "summary.json").write_text(json.dumps(values | summary))
    return folder


def load_runs(folder: Path) -> list[Run]:
    """The runs below a folder, all of which are ours."""
    runs, left_out = read_study(folder)
    assert left_out == []
    return runs


# An evaluation.


def make_evaluated(
    *, classes: tuple[str, ...] = ("cat", "dog", "ship"), per_class: int = 8, **changes: Any
) -> Evaluated:
    """Random predictions of `per_class` images of each class, right by half, with both kinds of BN statistics."""
    random = np.random.default_rng(0)
    labels = np.repeat(np.arange(len(classes)), per_class)

    def predictions() -> Predictions:
        right = random.random(len(labels)) < 0.5
        other = (labels + random.integers(1, len(classes), len(labels))) % len(classes)
        rank = np.where(right, 1, random.integers(2, len(classes) + 1, len(labels)))
        return Predictions(np.where(right, labels, other), random.uniform(0.1, 1, len(labels)).round(5), rank)

    both = {"stored": predictions(), "re-estimated": predictions()}
    confused = most_confused(labels, both["stored"])
    values = {
        "subject": Subject("resnet20", 0, "shapes", 1500, "newest checkpoint"),
        "classes": list(classes),
        "scores": [Score("train", "stored", 90, 0.25, 10.0), Score("test", "stored", len(labels), 1.5, 50.0)],
        **{"labels": labels, "predictions": both, "confused": confused},
        "pixels": random.integers(0, 256, (len(confused), 4, 4, 3)).astype(np.uint8),
    }
    return Evaluated(**(values | changes))


# A diagnosis.


def make_diagnosis(
    what: str,
    name: str,
    rows: Sequence[Mapping[str, str | int | float]],
    *,
    depth: int = 8,
    block: str = "v1",
    shortcut: str = "A",
    seed: int = 0,
    step: int = 60,
    choices: Mapping[str, Any] = types.MappingProxyType({}),
    **more: Any,
) -> Diagnosis:
    """Of a run called `name` after `step` of 60 steps, with these rows; `more` goes to the net's settings."""
    spec = net_spec(NetConfig(depth, block, shortcut, False, 4, **more), image_size=8)
    subject = Questioned(name, seed, spec.to_dict(), "shapes", 1000, 8, 60)
    return Diagnosis(what, subject, {"step": step} | dict(choices), list(map(dict, rows)))


# The real command.


def start(cwd: Path, *arguments: str, **options: Any) -> ForkedProcess:
    """Begins the command in a folder, warnings as errors; options as `ForkServer.start` has them."""
    cwd.mkdir(exist_ok=True)
    return server().start(*arguments, cwd=cwd, **options)


def start_fresh(cwd: Path, *arguments: str, program: tuple[str, ...] = COMMAND) -> subprocess.Popen[str]:
    """The same in a fresh interpreter, where what happens while it imports is the point."""
    cwd.mkdir(exist_ok=True)
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([*program, *arguments], cwd=cwd, text=True, **pipes)


def finish(process: ForkedProcess | subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


def run_folder(cwd: Path, name: str = "resnet8") -> Path:
    return cwd / "outputs" / "default" / name / "seed0"


def complete(cwd: Path, *arguments: str) -> Path:
    """Runs the command to its end; returns its run folder."""
    code, _, err = finish(start(cwd, *arguments))
    assert (code, err) == (0, "")
    return run_folder(cwd)


def assert_one_message(code: int, err: str, *parts: str) -> None:
    assert code == 1, err
    assert "Traceback" not in err
    assert len(err.splitlines()) <= LINES
    for part in parts:
        assert part in err


def holder(file: Path) -> int | None:
    """The process that has a file open (Linux)."""
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        with contextlib.suppress(OSError):
            if link.readlink() == file:
                return int(link.parts[2])
    return None


def alive(pid: int) -> bool:
    """Whether there is such a process, and it has not ended (Linux)."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def wait_until(
    ready: Callable[[], object],
    what: str,
    *,
    process: ForkedProcess | subprocess.Popen[str] | None = None,
    seconds: float = 120,
) -> None:
    """Fails if it takes too long, or if `process`, which is to bring it about, has ended."""
    deadline = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < deadline, f"{what} never came"
        assert process is None or process.poll() is None, (what, process.communicate())
        time.sleep(0.05)


def row_written(folder: Path, step: int) -> Callable[[], bool]:
    file = folder / "metrics.csv"
    return lambda: file.exists() and f"\n{step}," in file.read_text()


# The documents.


def commands_of(page: str) -> list[str]:
    """What stands in a page for a shell, a line each, without comments."""
    blocks = re.findall(r"```sh\n(.*?)```", page, re.DOTALL)
    return [line.partition("#")[0].strip() for block in blocks for line in block.splitlines()]
