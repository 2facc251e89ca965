"""Weights kept at chosen steps, and that keeping them changes nothing."""

from pathlib import Path

import pytest
import torch

from resnet_exp.compute.weights import load_into, read
from resnet_exp.config import Config
from resnet_exp.files import DamagedFileError
from resnet_exp.runs.checkpoint import load_checkpoint
from resnet_exp.runs.folder import RunFolder
from resnet_exp.runs.snapshots import read_snapshot, snapshot_file, snapshot_steps, write_snapshot
from tests.helpers import TINY, Settings, make_net, run, run_until

STEPS = ("train.steps=12", "train.eval_every=4", "train.save_every=5")


def weights(path: Path, *, steps: int) -> dict[str, torch.Tensor]:
    """Those of a run of another length, at its end."""
    checkpoint = load_checkpoint(path)
    assert checkpoint is not None
    assert checkpoint["state"]["step"] == steps
    state: dict[str, torch.Tensor] = checkpoint["state"]["model"]
    return state


def alike(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def test_snapshots_hold_the_weights_of_their_step_and_change_nothing(settings: Settings, tmp_path: Path) -> None:
    run(settings(*TINY, *STEPS), tmp_path / "without")
    run(settings(*TINY, *STEPS, "train.snapshots=[0,7,12,99]"), tmp_path / "with")
    tables = [(tmp_path / name / "metrics.csv").read_bytes() for name in ("with", "without")]
    assert tables[0] == tables[1]
    assert alike(weights(tmp_path / "with", steps=12), weights(tmp_path / "without", steps=12))
    assert snapshot_steps(tmp_path / "with") == [0, 7, 12]
    assert not (tmp_path / "without" / "snapshots").exists()
    run(settings(*TINY, *STEPS, "train.steps=7"), tmp_path / "short")
    assert alike(read_snapshot(snapshot_file(tmp_path / "with", 7)), weights(tmp_path / "short", steps=7))
    assert alike(read_snapshot(snapshot_file(tmp_path / "with", 12)), weights(tmp_path / "with", steps=12))
    drawn = read_snapshot(snapshot_file(tmp_path / "with", 0))
    assert float(drawn["bn1.num_batches_tracked"]) == 0
    assert not torch.equal(drawn["conv1.weight"], weights(tmp_path / "with", steps=12)["conv1.weight"])


def test_of_weights_that_are_no_numbers_there_is_no_snapshot(settings: Settings, tmp_path: Path) -> None:
    summary = run(settings(*TINY, *STEPS, "optim.lr=1e30", "train.snapshots=[0,1,2,3,4,5,6,7,8]"), tmp_path)
    assert summary["status"] == "diverged"
    kept = snapshot_steps(tmp_path)
    assert 0 in kept
    assert 4 not in kept  # the loss is looked at there for the first time
    for step in kept:
        assert all(weight.isfinite().all() for weight in read_snapshot(snapshot_file(tmp_path, step)).values()), step


def test_a_stopped_run_keeps_the_same_snapshots(settings: Settings, tmp_path: Path) -> None:
    config = settings(*TINY, *STEPS, "train.snapshots=[2,7,9]")
    run(config, tmp_path / "whole")
    run_until(config, tmp_path / "parts", stop_at=7)
    assert snapshot_steps(tmp_path / "parts") == [2, 7]
    run(config, tmp_path / "parts")
    for step in (2, 7, 9):
        files = [snapshot_file(tmp_path / name, step) for name in ("whole", "parts")]
        assert files[0].read_bytes() == files[1].read_bytes()


def test_weights_of_the_past_cannot_be_asked_for(
    settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config: Config = settings(*TINY, *STEPS)
    run_until(config, tmp_path, stop_at=6)
    with caplog.at_level("WARNING"):
        run(config.updated({"train.snapshots": [3, 8]}), tmp_path)
    assert "the weights of [3] are gone; fresh=true trains from the start" in caplog.text
    assert snapshot_steps(tmp_path) == [8]


def test_a_snapshot_is_read_like_any_weights(settings: Settings, tmp_path: Path) -> None:
    run(settings(*TINY, *STEPS, "train.snapshots=[7]"), tmp_path)
    found = read(snapshot_file(tmp_path, 7))
    assert found.record is not None
    assert found.record.classes
    model = make_net(depth=20, width=4)
    load_into(model, found)
    assert alike(dict(model.state_dict()), read_snapshot(snapshot_file(tmp_path, 7)))


def test_a_damaged_snapshot_is_refused(tmp_path: Path) -> None:
    write_snapshot(tmp_path, {"weight": torch.ones(3)}, step=5)
    file = snapshot_file(tmp_path, 5)
    content = bytearray(file.read_bytes())
    content[-9] ^= 1
    file.write_bytes(content)
    with pytest.raises(DamagedFileError):
        read_snapshot(file)


def test_fresh_removes_them_and_what_a_killed_process_left(tmp_path: Path) -> None:
    write_snapshot(tmp_path, {"weight": torch.ones(3)}, step=5)
    (tmp_path / "snapshots" / ".step9.pt.77.tmp").touch()
    (tmp_path / "snapshots" / "note.txt").touch()
    RunFolder(tmp_path).clear()
    assert [file.name for file in (tmp_path / "snapshots").iterdir()] == ["note.txt"]


@pytest.mark.parametrize("steps", ["[5,3]", "[3,3]", "[-1]"])
def test_steps_must_rise(settings: Settings, steps: str) -> None:
    with pytest.raises(ValueError, match=r"train\.snapshots=.*: must be rising steps"):
        settings(f"train.snapshots={steps}")
