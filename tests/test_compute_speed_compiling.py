"""Blocks are compiled where that pays, once for all equal ones, and for training alone."""

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch._dynamo.testing import CompileCounter

from resnet_exp.compute import speed
from resnet_exp.compute.assess import evaluate_run
from resnet_exp.compute.device import Precision
from resnet_exp.compute.speed import CastWeights, choose_compile, compile_blocks
from resnet_exp.runs.folder import RunFolder
from tests.helpers import TINY, Settings, make_net, rows, run, run_folder

# torch looks at it itself while it compiles
pytestmark = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")
CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)


@pytest.mark.parametrize(
    ("asked", "device", "problem", "expected"),
    [
        ("auto", CPU, None, False),
        ("auto", GPU, None, True),
        ("auto", GPU, "no gcc", False),
        (True, CPU, None, True),
        (True, GPU, "no gcc", False),
        (False, GPU, None, False),
    ],
)
def test_compiling_is_for_gpus_and_for_those_who_have_a_compiler(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    asked: bool | str,
    device: torch.device,
    problem: str | None,
    expected: bool,
) -> None:
    monkeypatch.setattr(speed, "compiler_problem", lambda device: problem)
    with caplog.at_level(logging.WARNING):
        assert choose_compile(asked, device) is expected
    assert len(caplog.records) == (problem is not None)
    assert not problem or problem in caplog.text


def programs(depth: int, precision: Precision, **net: object) -> int:
    """How many programs the blocks of a net need in training."""
    torch._dynamo.reset()
    counter = CompileCounter()  # compiles to what it was given
    model = make_net(depth=depth, width=4, **net)
    cast = CastWeights(model, dtype=precision.dtype)
    with torch.compiler.set_stance("default", force_backend=counter):
        compile_blocks(model.blocks)
        for _ in range(3):
            with precision.autocast():
                logits = cast(torch.randn(4, 3, 8, 8))
            logits.float().sum().backward()
            cast.return_gradients()
    return counter.frame_count


@pytest.mark.parametrize(
    ("net", "amp"),
    [
        ({}, "off"),
        ({}, "bf16"),
        ({"block": "v2"}, "bf16"),
        ({"shortcut": "none"}, "bf16"),
        ({"shortcut": "C"}, "bf16"),
        ({"bottleneck": True, "shortcut": "B"}, "bf16"),
    ],
    ids=str,
)
def test_a_deeper_net_needs_no_more_programs(net: dict[str, object], amp: str) -> None:
    period = 9 if net.get("bottleneck") else 6
    shallow, deep = (programs(period * blocks + 2, Precision(amp, "cpu"), **net) for blocks in (3, 12))
    assert shallow == deep
    assert 5 <= deep <= 9


@contextmanager
def counted() -> Iterator[CompileCounter]:
    """Runs compile, to what they were given; counts the programs."""
    torch._dynamo.reset()
    counter = CompileCounter()
    with torch.compiler.set_stance("default", force_backend=counter), pytest.MonkeyPatch.context() as patch:
        patch.setattr(speed, "compiler_problem", lambda device: None)
        yield counter


def test_blocks_are_compiled_for_training_alone(settings: Settings, tmp_path: Path) -> None:
    with counted() as counter:
        summary = run(settings(*TINY, "depth=8", "compile=true"), tmp_path / "compiled")
    run(settings(*TINY, "depth=8"), tmp_path / "eager")
    assert counter.frame_count == 3, "a block for each stage, and neither evaluation nor recomputed BN"
    assert summary["choices"]["compile"] is summary["environment"]["compile"] is True
    assert rows(tmp_path / "compiled") == rows(tmp_path / "eager")


def test_the_runs_of_one_process_do_not_add_up_to_the_limit(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a sweep: of every net three programs, of which no more than four may be kept."""
    monkeypatch.setattr(speed, "MOST_PROGRAMS", 4)
    with counted() as counter:
        for number, net in enumerate(("width=4", "width=2", "shortcut=none", "block=v2"), start=1):
            summary = run(settings(*TINY, "depth=8", net, "compile=true", "train.steps=2"), tmp_path / net)
            assert summary["status"] == "completed"
            assert counter.frame_count == 3 * number


def test_a_compiled_run_is_evaluated_without_a_warning(
    settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Evaluating compiles nothing, which is no change of the run's environment."""
    config = settings(*TINY, "depth=8", "compile=true")
    with counted():
        summary = run(config, tmp_path)
        assert summary["environment"]["compile"] is True
    with caplog.at_level(logging.INFO), RunFolder(tmp_path) as folder:
        evaluate_run(config, folder)
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
    assert f"test images 50  loss {rows(tmp_path)[-1]['test_loss']:.4g}  error" in caplog.text


@pytest.mark.slow  # the compiler takes most of a minute
@pytest.mark.parametrize("amp", ["off", "bf16"])
def test_compiled_blocks_compute_the_same(settings: Settings, tmp_path: Path, amp: str) -> None:
    torch._dynamo.reset()
    short = ("depth=8", "train.steps=2", "train.eval_every=1", f"amp={amp}")
    run(settings(*TINY, *short), tmp_path / "eager")
    run(settings(*TINY, *short, "compile=true"), tmp_path / "compiled")
    for eager, compiled in zip(rows(tmp_path / "eager"), rows(tmp_path / "compiled"), strict=True):
        assert compiled["train_loss"] == pytest.approx(eager["train_loss"], rel=1e-3 if amp == "off" else 1e-2)


@pytest.mark.slow
def test_without_a_compiler_a_run_says_so_once_and_goes_on(tmp_path: Path) -> None:
    """The real command, with a C++ compiler that does not exist."""
    environment = os.environ | {"CXX": "/nonexistent", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache")}
    done = subprocess.run(  # fresh: torch reads CXX when it is imported
        [sys.executable, "-m", "resnet_exp", *TINY, "depth=8", "compile=true"],
        cwd=tmp_path, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (done.stdout + done.stderr).count("no working compiler") == 1
    summary = json.loads((run_folder(tmp_path) / "summary.json").read_text())
    assert summary["status"] == "completed"
    assert summary["environment"]["compile"] is False
