"""Training end to end, in this process: `train_run` into a run folder."""

import hashlib
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from resnet_exp.nets.models import CifarNet, initialise

from resnet_exp.cli.signals import Stopped
from resnet_exp.config import Config
from resnet_exp.data.sets import Dataset, Split
from resnet_exp.data.stream import BatchStream, crop_and_flip, pad
from resnet_exp.runs.checkpoint import load_checkpoint
from resnet_exp.runs.folder import RunFolder
from resnet_exp.training import evaluate
from resnet_exp.training import loop as train
from resnet_exp.training import run as tasks
from resnet_exp.training.device import Precision
from resnet_exp.training.evaluate import Evaluation, recompute_batch_norm, training_batches
from resnet_exp.training.optim import lr_at
from resnet_exp.training.progress import Progress
from resnet_exp.training.step import State, Totals
from tests.conftest import TINY

Settings = Callable[..., Config]
OFF = Precision("off", "cpu")


def run(config: Config, path: Path) -> dict[str, object]:
    with RunFolder(path) as folder:
        tasks.train_run(config, folder)
    return json.loads((path / "summary.json").read_text())


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


def test_thirty_steps_lower_the_loss_and_fill_the_run_folder(settings: Settings, tmp_path: Path) -> None:
    config = settings(*TINY, "train.steps=30", "train.eval_every=10", "optim.lr=0.05", "data.val_size=40")
    summary = run(config, tmp_path)
    table = rows(tmp_path)
    assert list(table[0]) == [
        *("step", "epoch", "lr", "train_loss", "train_error", "test_loss", "test_error"),
        *("val_loss", "val_error"),
    ]
    assert [row["step"] for row in table] == [10, 20, 30]
    assert [row["epoch"] for row in table] == [1.6, 3.2, 4.8]
    assert table[-1]["train_loss"] < table[0]["train_loss"] - 0.1
    assert all(0 <= row["train_error"] <= 100 for row in table)
    for key in ("train_error", "test_error", "val_error"):
        assert summary[key] == table[-1][key]
    expected = {
        **{"name": "resnet20", "family": "resnet", "depth": 20, "block": "v1", "shortcut": "A", "width": 4},
        **{"seed": 0, "steps": 30, "status": "completed", "first_bad_step": None, "n_train": 100, "n_val": 40},
    }
    assert {key: summary[key] for key in expected} == expected
    assert summary["params"] == sum(p.numel() for p in CifarNet(depth=20, width=4).parameters())
    assert summary["images_per_second"] > 0
    assert summary["dataset"]["name"] == "synthetic shapes"
    assert len(summary["dataset"]["fingerprint"]) == 16
    assert summary["choices"]["precision"] == "off"
    assert summary["versions"]["torch"] == torch.__version__
    for name in ("config.yaml", "metrics.csv", "summary.json", "checkpoint.pt", "checkpoint.prev.pt"):
        assert (tmp_path / name).stat().st_size > 0
    assert list(tmp_path.glob("events.out.tfevents.*"))


def test_the_running_error_is_that_of_the_steps_since_the_last_row(settings: Settings, tmp_path: Path) -> None:
    coarse = settings(*TINY, "train.steps=6", "train.eval_every=6")
    fine = settings(*TINY, "train.steps=6", "train.eval_every=2")
    run(coarse, tmp_path / "coarse")
    run(fine, tmp_path / "fine")
    (whole,) = rows(tmp_path / "coarse")
    parts = rows(tmp_path / "fine")
    assert len(parts) == 3
    for key in ("train_loss", "train_error"):
        assert sum(part[key] for part in parts) / 3 == pytest.approx(whole[key], rel=1e-5)
    assert parts[-1]["test_error"] == whole["test_error"], "evaluating must not change the training"


def test_the_last_step_is_always_evaluated(settings: Settings, tmp_path: Path) -> None:
    run(settings(*TINY, "train.steps=5", "train.eval_every=3"), tmp_path)
    assert [row["step"] for row in rows(tmp_path)] == [3, 5]


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(settings: Settings, tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        run(settings(*TINY, f"seed={seed}"), tmp_path / name)
    a, b, c = ((tmp_path / name / "metrics.csv").read_bytes() for name in "abc")
    assert a == b
    assert a != c
    assert state_hash(tmp_path / "a") == state_hash(tmp_path / "b")


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


def test_a_run_stopped_in_an_evaluation_is_saved_and_begins_with_it(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = settings(*TINY, "train.steps=8", "train.eval_every=3", "train.save_every=100", "data.val_size=20")
    run(config, tmp_path / "whole")
    calls, evaluate_split = [], Evaluation.__call__

    def evaluate_and_stop(evaluation: Evaluation, **named: Callable[[], None]) -> tuple[float, float]:
        calls.append(evaluation)
        if len(calls) == 4:  # step 6, the validation split
            os.kill(os.getpid(), signal.SIGTERM)
        return evaluate_split(evaluation, **named)

    with monkeypatch.context() as patch:
        patch.setattr(Evaluation, "__call__", evaluate_and_stop)
        with pytest.raises(Stopped):
            run(config, tmp_path / "parts")
    saved = load_checkpoint(tmp_path / "parts")
    assert saved is not None
    assert saved["state"]["step"] == 6
    assert [row["step"] for row in rows(tmp_path / "parts")] == [3]
    run(config, tmp_path / "parts")
    assert same(tmp_path / "parts", tmp_path / "whole")


@pytest.mark.parametrize("stop_at", range(1, 8))
def test_a_resumed_run_ends_with_the_same_bytes(settings: Settings, tmp_path: Path, stop_at: int) -> None:
    """Two epochs and more, with a row in the middle of an epoch and a milestone after most resumes."""
    config = settings(*TINY, "data.train_limit=50", "train.steps=8", "optim.milestones=[6]")
    run(config, tmp_path / "whole")
    run_until(config, tmp_path / "parts", stop_at=stop_at)
    assert run(config, tmp_path / "parts")["status"] == "completed"
    assert same(tmp_path / "parts", tmp_path / "whole")


def forget_momentum(state: dict[str, Any]) -> None:
    for of_parameter in state["optimizer"]["state"].values():
        of_parameter["momentum_buffer"].zero_()


def forget_bn(state: dict[str, Any]) -> None:
    for name, tensor in state["model"].items():
        if name.endswith(("running_mean", "num_batches_tracked")):
            tensor.zero_()
        elif name.endswith("running_var"):
            tensor.fill_(1.0)


def forget_weights(state: dict[str, Any]) -> None:
    state["model"]["stem.0.weight"].zero_()


def forget_totals(state: dict[str, Any]) -> None:
    state["totals"] = Totals(torch.device("cpu")).state_dict()


def forget_scaler(state: dict[str, Any]) -> None:
    state["scaler"] = torch.amp.GradScaler("cpu").state_dict()


FORGET = [forget_momentum, forget_bn, forget_weights, forget_totals, forget_scaler]


@pytest.mark.parametrize("forget", FORGET, ids=lambda forget: forget.__name__)
def test_the_resume_test_sees_a_checkpoint_that_lacks_a_part(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forget: Callable[[dict[str, Any]], None]
) -> None:
    config = settings(*TINY, "amp=fp16")
    run(config, tmp_path / "whole")
    run_until(config, tmp_path / "parts", stop_at=4)
    saved = load_checkpoint(tmp_path / "parts")
    assert saved is not None
    forget(saved["state"])
    monkeypatch.setattr(tasks, "load_checkpoint", lambda path: saved)
    run(config, tmp_path / "parts")
    assert not same(tmp_path / "parts", tmp_path / "whole")


@pytest.mark.parametrize("what", ["nothing", "schedule", "sampler"])
def test_the_resume_test_sees_a_trainer_that_begins_anew(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """As one would that counts steps from its own start: `lr_at` and `BatchStream.batches` get the steps since then."""
    config = settings(*TINY, "optim.milestones=[5]")
    run(config, tmp_path / "whole")
    run_until(config, tmp_path / "parts", stop_at=4)
    if what == "schedule":
        monkeypatch.setattr(tasks, "lr_at", lambda step, **arguments: lr_at(step - 4, **arguments))
    elif what == "sampler":
        batches = BatchStream.batches
        monkeypatch.setattr(BatchStream, "batches", lambda stream, step, count=1: batches(stream, step - 4, count))
    run(config, tmp_path / "parts")
    assert same(tmp_path / "parts", tmp_path / "whole") == (what == "nothing")


def test_a_scaler_is_not_expected_where_the_run_began_without_one() -> None:
    """A run begun on a CPU, where `amp=auto` is off, and resumed on a GPU that has only fp16."""
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    without, scaled = (
        State(model, optimizer, torch.amp.GradScaler("cpu", enabled=enabled), Totals(torch.device("cpu")), step=step)
        for enabled, step in ((False, 7), (True, 0))
    )
    scaled.load_state_dict(without.state_dict())
    assert scaled.step == 7
    assert scaled.scaler.get_scale() == 65536.0


def test_rows_after_the_checkpoint_are_written_again_not_twice(settings: Settings, tmp_path: Path) -> None:
    config = settings(*TINY, "train.steps=6", "train.eval_every=1", "train.save_every=4")
    run(config, tmp_path)
    whole = (tmp_path / "metrics.csv").read_bytes()
    (tmp_path / "checkpoint.pt").unlink()  # back to step 4, as if killed before step 6 was saved
    run(config, tmp_path)
    assert (tmp_path / "metrics.csv").read_bytes() == whole


def test_a_run_does_not_go_on_with_other_images(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_until(settings(*TINY), tmp_path, stop_at=4)
    before = (tmp_path / "summary.json").read_text()
    monkeypatch.setattr("resnet_exp.data.synthetic.NOISE", 0.07)
    with pytest.raises(ValueError, match="this run began on other images"):
        run(settings(*TINY), tmp_path)
    assert (tmp_path / "summary.json").read_text() == before


def test_divergence_is_a_result(settings: Settings, tmp_path: Path) -> None:
    config = settings(*TINY, "optim.lr=1e30", "train.steps=12", "train.eval_every=6", "train.save_every=1")
    summary = run(config, tmp_path)
    assert summary["status"] == "diverged"
    assert 0 < summary["first_bad_step"] < 12
    saved = load_checkpoint(tmp_path)
    assert saved is None or all(torch.isfinite(t).all() for t in saved["state"]["model"].values())


def test_the_first_bad_step_is_the_first(shapes: Dataset) -> None:
    totals = Totals(torch.device("cpu"))
    for at, loss in enumerate([1.0, 2.0, float("nan"), float("inf"), 1.0]):
        totals.watch(torch.tensor(loss), step=torch.tensor(at))
    assert int(totals.first_bad_step) == 2
    totals.clear()
    assert int(totals.first_bad_step) == 2


def test_totals_are_means_over_images() -> None:
    totals = Totals(torch.device("cpu"))
    assert totals.read() is None
    totals.add(loss=torch.tensor(4.0), wrong=torch.tensor(1), images=4)
    totals.add(loss=torch.tensor(8.0), wrong=torch.tensor(2), images=torch.tensor(2))
    assert totals.read() == (pytest.approx((4 * 1 + 2 * 4) / 6), pytest.approx(100 * 3 / 6))


def net(width: int = 4) -> CifarNet:
    model = CifarNet(depth=8, width=width)
    initialise(model, seed=0)
    return model


def test_evaluation_is_that_of_eval_mode_and_changes_nothing(shapes: Dataset) -> None:
    model = net().train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    loss, error = Evaluation(model, shapes.test, mean=shapes.mean, std=shapes.std, precision=OFF)()
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    assert model.training
    images = shapes.test.images.permute(0, 3, 1, 2).float() / 255
    images = (images - shapes.mean.view(1, 3, 1, 1)) / shapes.std.view(1, 3, 1, 1)
    logits = model.eval()(images)
    assert loss == pytest.approx(torch.nn.functional.cross_entropy(logits, shapes.test.labels).item(), rel=1e-5)
    assert error == pytest.approx(100 * (logits.argmax(1) != shapes.test.labels).float().mean().item())


def seen_by_training(split: Split, *, batch_size: int, augment: bool = True) -> tuple[list[torch.Tensor], BatchStream]:
    """Some batches after the third one, and the stream they come from; normalised by round numbers."""
    stream = BatchStream(num_images=len(split), batch_size=batch_size, padding=1, augment=augment, seed=5)
    mean, std = torch.full((3,), 0.5), torch.full((3,), 0.3)
    return list(training_batches(split, stream, first=3, mean=mean, std=std)), stream


def test_recomputed_bn_statistics_are_those_of_the_batches(shapes: Dataset) -> None:
    model = net()
    batches, _ = seen_by_training(shapes.train, batch_size=40)
    assert [len(batch) for batch in batches] == [40, 40, 40], "an epoch of 100 images"
    recompute_batch_norm(model, batches, precision=OFF)
    outs = [model.stem[0](batch) for batch in batches]
    assert torch.allclose(model.stem[1].running_mean, torch.stack([o.mean((0, 2, 3)) for o in outs]).mean(0), atol=1e-5)
    assert torch.allclose(model.stem[1].running_var, torch.stack([o.var((0, 2, 3)) for o in outs]).mean(0), rtol=1e-4)
    assert model.stem[1].momentum == 0.1


@pytest.mark.parametrize("augment", [True, False])
def test_bn_is_recomputed_on_batches_like_those_of_training(shapes: Dataset, augment: bool) -> None:
    """The next ones of the run's own stream, with their black borders."""
    split = shapes.train
    batches, stream = seen_by_training(split, batch_size=50, augment=augment)
    for step, batch in zip((3, 4), batches, strict=True):
        images = crop_and_flip(pad(split.images, padding=1), stream.batches(step), size=8)
        assert torch.allclose(batch, (images / 255 - 0.5) / 0.3, atol=1e-6)


def test_bn_is_recomputed_on_images_from_all_of_a_sorted_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluate, "BN_IMAGES", 400)
    brightness = torch.arange(1000) // 4
    rising = Split(brightness.to(torch.uint8).view(-1, 1, 1, 1).expand(-1, 8, 8, 3).contiguous(), brightness)
    model, whole = net(), net()
    recompute_batch_norm(model, seen_by_training(rising, batch_size=50)[0], precision=OFF)
    monkeypatch.undo()
    recompute_batch_norm(whole, seen_by_training(rising, batch_size=50)[0], precision=OFF)
    assert torch.allclose(model.stem[1].running_mean, whole.stem[1].running_mean, atol=0.2)
    assert torch.allclose(model.stem[1].running_var, whole.stem[1].running_var, rtol=0.3)


@pytest.mark.parametrize("amp", ["bf16", "fp16"])
def test_autocast_trains_and_keeps_bn_in_float32(settings: Settings, tmp_path: Path, amp: str) -> None:
    summary = run(settings(*TINY, f"amp={amp}", "train.steps=3"), tmp_path)
    assert summary["status"] == "completed"
    assert summary["choices"]["precision"] == amp
    saved = load_checkpoint(tmp_path)
    assert saved is not None
    assert {t.dtype for t in saved["state"]["model"].values()} == {torch.float32, torch.int64}
    assert bool(saved["state"]["scaler"]) == (amp == "fp16")


def test_a_long_cpu_run_says_so_once(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("resnet_exp.training.progress.LONG_HOURS", 1e-9)
    with caplog.at_level("WARNING"):
        run(settings(*TINY, "train.steps=12", "train.eval_every=12"), tmp_path)
    hints = [record.getMessage() for record in caplog.records if "experiment=quick" in record.getMessage()]
    assert len(hints) == 1


def test_columns_name_the_validation_split_only_if_there_is_one(shapes: Dataset) -> None:
    assert train.columns(shapes) == ["step", "epoch", "lr", "train_loss", "train_error", "test_loss", "test_error"]
