"""Training end to end, in this process: `train_run` into a run folder."""

import json
import logging
import math
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from resnet_exp.compute import device as device_module
from resnet_exp.compute import parts as parts_module
from resnet_exp.compute.device import choose_precision
from resnet_exp.compute.evaluate import Evaluation
from resnet_exp.compute.totals import Totals
from resnet_exp.data.crops import PaddedCrop, Sample
from resnet_exp.data.preprocess import Preprocess
from resnet_exp.data.sets import load_dataset
from resnet_exp.data.stream import BatchStream
from resnet_exp.runs.checkpoint import load_checkpoint
from resnet_exp.training import run as run_module
from resnet_exp.training.loop import columns
from resnet_exp.training.optim import lr_at
from resnet_exp.training.stop import Stopped
from tests.helpers import TINY, Settings, make_net, rows, run, run_until, same, state_hash


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
    assert summary["params"] == sum(p.numel() for p in make_net(depth=20, width=4).parameters())
    assert summary["images_per_second"] > 0
    assert summary["dataset"]["name"] == "synthetic shapes"
    assert len(summary["dataset"]["fingerprint"]) == 16
    assert summary["choices"]["precision"] == choose_precision("auto", torch.device("cpu")).name
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


def act_in_evaluation(patch: pytest.MonkeyPatch, number: int, action: Callable[[], None]) -> None:
    """From now on evaluation `number` (from 1) begins with `action`."""
    calls: list[Evaluation] = []
    evaluate_split = Evaluation.__call__

    def evaluate(evaluation: Evaluation, **named: Callable[[], None]) -> tuple[float, float]:
        calls.append(evaluation)
        if len(calls) == number:
            action()
        return evaluate_split(evaluation, **named)

    patch.setattr(Evaluation, "__call__", evaluate)


def stop_this_process() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def raise_an_error() -> None:
    raise RuntimeError("no more of this\nand more lines")


def test_a_run_stopped_in_an_evaluation_is_saved_and_begins_with_it(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = settings(*TINY, "train.steps=8", "train.eval_every=3", "train.save_every=100", "data.val_size=20")
    run(config, tmp_path / "whole")
    with monkeypatch.context() as patch:
        act_in_evaluation(patch, 4, stop_this_process)  # step 6, the validation split
        with pytest.raises(Stopped):
            run(config, tmp_path / "parts")
    saved = load_checkpoint(tmp_path / "parts")
    assert saved is not None
    assert saved["state"]["step"] == 6
    assert [row["step"] for row in rows(tmp_path / "parts")] == [3]
    run(config, tmp_path / "parts")
    assert same(tmp_path / "parts", tmp_path / "whole")


@pytest.mark.parametrize(
    ("stop_at", "crop"), [*((step, "padded") for step in range(1, 8)), (2, "resized"), (5, "resized")]
)
def test_a_resumed_run_ends_with_the_same_bytes(settings: Settings, tmp_path: Path, stop_at: int, crop: str) -> None:
    """Two epochs and more, with a row in the middle of an epoch and a milestone after most resumes."""
    config = settings(*TINY, "data.train_limit=50", "train.steps=8", "optim.milestones=[6]", f"data.crop={crop}")
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
    state["model"]["conv1.weight"].zero_()


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
    monkeypatch.setattr(parts_module, "load_checkpoint", lambda path: saved)
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
        monkeypatch.setattr(run_module, "lr_at", lambda step, **arguments: lr_at(step - 4, **arguments))
    elif what == "sampler":
        batches = BatchStream.batches
        monkeypatch.setattr(BatchStream, "batches", lambda stream, step, count=1: batches(stream, step - 4, count))
    run(config, tmp_path / "parts")
    assert same(tmp_path / "parts", tmp_path / "whole") == (what == "nothing")


def test_rows_after_the_checkpoint_are_written_again_not_twice(settings: Settings, tmp_path: Path) -> None:
    config = settings(*TINY, "train.steps=6", "train.eval_every=1", "train.save_every=4")
    run(config, tmp_path)
    whole = (tmp_path / "metrics.csv").read_bytes()
    (tmp_path / "checkpoint.pt").unlink()  # back to step 4, as if killed before step 6 was saved
    run(config, tmp_path)
    assert (tmp_path / "metrics.csv").read_bytes() == whole


def test_a_damaged_checkpoint_does_not_become_the_spare(settings: Settings, tmp_path: Path) -> None:
    config = settings(*TINY, "train.save_every=2")
    run_until(config, tmp_path, stop_at=4)
    (tmp_path / "checkpoint.pt").write_bytes(b"")
    run_until(config, tmp_path, stop_at=4)  # from step 2 on
    (tmp_path / "checkpoint.pt").write_bytes(b"")
    saved = load_checkpoint(tmp_path)
    assert saved is not None
    assert saved["state"]["step"] == 2


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


def test_a_run_stopped_behind_the_row_that_shows_its_divergence_has_diverged(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in fp16, whose scaler leaves out the step and keeps the weights."""
    config = settings(*TINY, "train.steps=8", "train.eval_every=2")
    run_until(config, tmp_path, stop_at=4)

    def load(self: Totals, state: dict[str, torch.Tensor]) -> None:
        self.first_bad_step.fill_(3)  # and the sums are empty

    monkeypatch.setattr(Totals, "load_state_dict", load)
    summary = run(config, tmp_path)
    assert (summary["status"], summary["first_bad_step"]) == ("diverged", 3)


@pytest.mark.parametrize("amp", ["bf16", "fp16"])
def test_autocast_trains_and_keeps_bn_in_float32(settings: Settings, tmp_path: Path, amp: str) -> None:
    summary = run(settings(*TINY, f"amp={amp}", "train.steps=3"), tmp_path)
    assert summary["status"] == "completed"
    assert summary["choices"]["precision"] == amp
    saved = load_checkpoint(tmp_path)
    assert saved is not None
    assert {t.dtype for t in saved["state"]["model"].values()} == {torch.float32, torch.int64}
    assert bool(saved["state"]["scaler"]) == (amp == "fp16")


def test_columns_name_the_validation_split_only_if_there_is_one(settings: Settings, tmp_path: Path) -> None:
    run(settings(*TINY), tmp_path)
    header = ["step", "epoch", "lr", "train_loss", "train_error", "test_loss", "test_error"]
    assert list(rows(tmp_path)[0]) == columns(["test"]) == header
    assert columns(["test", "val"]) == [*header, "val_loss", "val_error"]


def test_a_run_that_ends_by_an_error_says_so_and_goes_on(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = settings(*TINY, "train.steps=8", "train.eval_every=2", "train.save_every=3")
    run(config, tmp_path / "whole")
    with monkeypatch.context() as patch:
        act_in_evaluation(patch, 3, raise_an_error)
        with pytest.raises(RuntimeError, match="no more of this"):
            run(config, tmp_path / "parts")
    summary = json.loads((tmp_path / "parts" / "summary.json").read_text())
    assert (summary["status"], summary["step"]) == ("failed", 6)
    assert summary["reason"] == "RuntimeError: no more of this"
    assert [row["step"] for row in rows(tmp_path / "parts")] == [2, 4]
    assert summary["train_error"] == rows(tmp_path / "parts")[-1]["train_error"]
    summary = run(config, tmp_path / "parts")
    assert summary["status"] == "completed"
    assert "reason" not in summary
    assert same(tmp_path / "parts", tmp_path / "whole")


def test_the_pace_is_kept_over_a_stop_in_the_final_errors(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process that goes on has no update of its own to time."""
    config = settings(*TINY)
    with monkeypatch.context() as patch:
        act_in_evaluation(patch, 3, stop_this_process)  # after those of steps 3 and 6
        with pytest.raises(Stopped):
            run(config, tmp_path)
    stopped = json.loads((tmp_path / "summary.json").read_text())
    assert (stopped["status"], "train_error_clean" in stopped) == ("interrupted", True)
    assert stopped["train_error_clean"] is None
    assert stopped["images_per_second"] > 0
    completed = run(config, tmp_path)
    assert completed["status"] == "completed"
    assert completed["train_error_clean"] is not None
    assert completed["images_per_second"] == stopped["images_per_second"]


def test_a_run_without_a_checkpoint_yet_keeps_its_number_of_threads(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [word for word in TINY if not word.startswith("threads=")]
    run_until(settings(*words, "threads=2", "train.eval_every=1"), tmp_path, stop_at=2)
    (tmp_path / "checkpoint.pt").unlink()
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(device_module, "free_cores", lambda: 1)
    assert run(settings(*words), tmp_path)["environment"]["threads"] == 2


def test_where_checkpoints_are_gone_no_row_is_dropped_without_a_word(
    settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = settings(*TINY, "train.steps=8", "train.eval_every=1", "train.save_every=2")
    run_until(config, tmp_path, stop_at=5)
    written = (tmp_path / "metrics.csv").read_bytes()
    for file in tmp_path.glob("*.pt"):
        file.unlink()
    with pytest.raises(ValueError, match="its checkpoints are gone; it was at step 5\nfresh=true starts it again"):
        run(config, tmp_path)
    assert (tmp_path / "metrics.csv").read_bytes() == written
    summary = json.loads((tmp_path / "summary.json").read_text())
    (tmp_path / "summary.json").write_text(json.dumps(summary | {"step": 2}))  # killed before its first save
    assert run(config, tmp_path)["status"] == "completed"
    assert "no checkpoint yet: beginning again at step 0" in caplog.text


def test_another_number_of_threads_is_told_and_recorded(
    settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run_until(settings(*TINY), tmp_path, stop_at=4)
    with caplog.at_level(logging.WARNING):
        summary = run(settings(*TINY, "threads=2"), tmp_path)
    assert summary["status"] == "completed"
    said = [record.message for record in caplog.records if record.name == "resnet_exp.runs.origin"]
    assert said == ["threads: 1 -> 2: from step 4 on, the last digits may differ from an undisturbed run's"]
    assert summary["environment"]["threads"] == 2
    assert summary["environment_changes"] == [{"step": 4, "threads": "1 -> 2"}]


@pytest.mark.parametrize("border", ["mean", "black"])
def test_a_run_sees_its_border_in_training_and_where_bn_is_recomputed(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, border: str
) -> None:
    config = settings(*TINY, f"data.border={border}", "data.image_size=16")
    dataset = load_dataset(config.data)
    colour = torch.zeros(3) if border == "black" else (255 * dataset.mean).round()
    padded: list[tuple[torch.Tensor, torch.Tensor]] = []
    cut = Preprocess.cut

    def watched(preprocess: Preprocess, images: torch.Tensor, sample: Sample) -> torch.Tensor:
        padded.append((images, sample.indices))
        return cut(preprocess, images, sample)

    monkeypatch.setattr(Preprocess, "cut", watched)
    summary = run(config, tmp_path)
    assert len(padded) == 6 + 7, "six steps, and an epoch of 100 images to recompute BN"
    stream = BatchStream(
        num_images=100, batch_size=16, crop=PaddedCrop(16, padding=2, border=border), augment=True, seed=0
    )
    for step, (images, indices) in enumerate(padded):
        border_only = images.clone()
        border_only[:, 2:18, 2:18] = colour.to(torch.uint8)
        assert torch.equal(border_only, colour.to(torch.uint8).expand(len(images), 20, 20, 3))
        assert torch.equal(images[indices, 2:18, 2:18], dataset.train.images[stream.batches(step).indices])
    assert summary["choices"]["border"] == border


@pytest.mark.parametrize(
    ("net", "warmup", "steps"),
    [
        ("depth=56", "auto", 0),
        ("depth=110", "auto", 400),
        ("depth=110", "0", 0),
        ("depth=20", "7", 7),
        ("model=preact20", "auto", 400),
        ("model=preact20", "0", 0),
    ],
)
def test_a_run_warms_up_for_a_fixed_number_of_steps(
    settings: Settings, tmp_path: Path, net: str, warmup: str, steps: int
) -> None:
    summary = run(settings(*TINY, "train.steps=1", net, f"optim.warmup_steps={warmup}"), tmp_path)
    assert summary["choices"]["warmup_steps"] == steps
    assert rows(tmp_path)[0]["lr"] == (0.01 if steps else 0.1)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("model=preact", "depth=8"),
            ["optim.warmup_steps: all of these 6 steps are the paper's warm-up, at lr/10; 0 "],
        ),
        (("model=preact", "depth=8", "optim.warmup_steps=6"), []),  # somebody wants it
        (("depth=8",), []),
    ],
)
def test_a_warm_up_that_takes_most_of_a_short_run_is_said(
    settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture, words: tuple[str, ...], said: list[str]
) -> None:
    with caplog.at_level(logging.WARNING):
        run(settings(*TINY, *words), tmp_path)
    found = [record.message for record in caplog.records if record.name == "resnet_exp.training.run"]
    assert [message[: len(start)] for message, start in zip(found, said, strict=True)] == said


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Wide and tall images of three classes, told apart by their colours."""
    random = np.random.default_rng(0)
    for part, count in (("train", 8), ("test", 3)):
        for channel, label in enumerate(("red", "green", "blue")):
            where = tmp_path / "colours" / part / label
            where.mkdir(parents=True)
            for index in range(count):
                pixels = random.integers(0, 128, (70, 100, 3) if index % 2 else (100, 70, 3), dtype=np.uint8)
                pixels[..., channel] += 100
                Image.fromarray(pixels).save(where / f"{index}.png")
    return tmp_path / "colours"


@pytest.mark.parametrize("augment", ["true", "false"])
@pytest.mark.parametrize(("crop", "stored"), [("padded", 64), ("resized", 73)])
def test_a_folder_of_larger_images_trains(
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    folder: Path,
    crop: str,
    stored: int,
    augment: str,
) -> None:
    seen: list[torch.Size] = []
    cut, whole = Preprocess.cut, Preprocess.whole
    monkeypatch.setattr(Preprocess, "cut", lambda self, *given: noted(cut(self, *given)))
    monkeypatch.setattr(Preprocess, "whole", lambda self, images: noted(whole(self, images)))

    def noted(batch: torch.Tensor) -> torch.Tensor:
        seen.append(batch.shape[1:])
        return batch

    changed = ("data=image_folder", f"data.root={folder}", "data.train_limit=null", "data.test_limit=null", "depth=8")
    changed += ("data.image_size=64", f"data.crop={crop}", f"data.augment={augment}", "train.steps=3", "optim.lr=0.01")
    config = settings(*TINY, *changed)
    assert load_dataset(config.data).train.images.shape == (24, stored, stored, 3)
    summary = run(config, tmp_path / "run")
    assert (summary["status"], summary["n_train"], summary["dataset"]["image_size"]) == ("completed", 24, 64)
    assert {*seen} == {torch.Size((3, 64, 64))}
    assert all(math.isfinite(row["train_loss"]) for row in rows(tmp_path / "run"))
