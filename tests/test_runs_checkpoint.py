from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from resnet_exp.files import read_sealed, write_sealed
from resnet_exp.runs import checkpoint
from resnet_exp.runs.checkpoint import (
    NAME,
    SPARE,
    WRITTEN,
    is_finite,
    keep_weights,
    load_checkpoint,
    repair,
    save_checkpoint,
)
from resnet_exp.runs.schema import SCHEMA


def content(step: int) -> dict[str, Any]:
    """What reading a checkpoint looks at, and a step to tell one from another."""
    return {"state": {"step": step}, "origin": {"settings": {"schema": SCHEMA, "grow_from": None}}}


def test_the_one_before_is_kept(tmp_path: Path) -> None:
    assert load_checkpoint(tmp_path) is None
    for step in (1, 2, 3):
        save_checkpoint(tmp_path, content(step))
    assert load_checkpoint(tmp_path) == {"schema": SCHEMA} | content(3)
    (tmp_path / NAME).unlink()
    assert load_checkpoint(tmp_path) == {"schema": SCHEMA} | content(2)
    assert sorted(file.name for file in tmp_path.iterdir()) == [SPARE]


def test_a_damaged_newest_falls_back_loudly(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for step in (1, 2):
        save_checkpoint(tmp_path, content(step))
    (tmp_path / NAME).write_bytes(b"")
    assert load_checkpoint(tmp_path) == {"schema": SCHEMA} | content(1)
    assert "damaged" in caplog.text
    (tmp_path / SPARE).write_bytes((tmp_path / SPARE).read_bytes()[:-1])
    with pytest.raises(ValueError, match="every checkpoint is damaged") as caught:
        load_checkpoint(tmp_path)
    assert "fresh=true" in str(caught.value)


def test_a_damaged_newest_never_becomes_the_spare(tmp_path: Path) -> None:
    for step in (1, 2):
        save_checkpoint(tmp_path, content(step))
    (tmp_path / NAME).write_bytes(b"")
    repair(tmp_path)
    assert load_checkpoint(tmp_path) == {"schema": SCHEMA} | content(1)
    save_checkpoint(tmp_path, content(3))
    (tmp_path / NAME).unlink()
    assert load_checkpoint(tmp_path) == {"schema": SCHEMA} | content(1)


def test_one_that_was_written_and_not_yet_moved_is_found(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        save_checkpoint(tmp_path, content(step))
    (tmp_path / NAME).replace(tmp_path / WRITTEN)  # as a kill between the two moves of a save leaves it
    assert load_checkpoint(tmp_path) == {"schema": SCHEMA} | content(3)
    repair(tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {NAME, SPARE}
    assert load_checkpoint(tmp_path) == {"schema": SCHEMA} | content(3)


def test_whoever_only_looks_changes_nothing(tmp_path: Path) -> None:
    """Neither a damaged checkpoint nor one that another process is just moving."""
    for step in (1, 2, 3):
        save_checkpoint(tmp_path, content(step))
    (tmp_path / NAME).write_bytes(b"")
    (tmp_path / WRITTEN).write_bytes((tmp_path / SPARE).read_bytes())
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    assert load_checkpoint(tmp_path) == {"schema": SCHEMA} | content(2)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_a_checkpoint_that_is_moved_while_one_looks_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for step in (1, 2, 3):
        save_checkpoint(tmp_path, content(step))
    (tmp_path / NAME).replace(tmp_path / WRITTEN)
    looks = []

    def read(path: Path) -> dict[str, Any]:
        looks.append(path.name)
        if path.name == WRITTEN:  # the other process ends its save at this very moment
            path.replace(tmp_path / NAME)
        return read_sealed(path)

    monkeypatch.setattr(checkpoint, "read_sealed", read)
    assert load_checkpoint(tmp_path) == {"schema": SCHEMA} | content(3)
    assert looks == [NAME, WRITTEN, NAME]


def test_one_of_a_newer_version_is_refused_not_passed_over(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, content(1))
    save_checkpoint(tmp_path, content(2))
    write_sealed(tmp_path / NAME, content(3) | {"schema": SCHEMA + 1})
    before = (tmp_path / NAME).read_bytes()
    with pytest.raises(ValueError, match=f"{NAME}: written by a newer version of resnet-exp .schema {SCHEMA + 1}"):
        load_checkpoint(tmp_path)
    assert (tmp_path / NAME).read_bytes() == before


def test_finite_looks_at_weights_and_at_bn_statistics() -> None:
    net = nn.BatchNorm2d(3)
    assert is_finite(net)
    assert net.running_var is not None
    net.running_var[1] = torch.inf
    assert not is_finite(net)


def test_a_complete_run_keeps_its_weights_alone(tmp_path: Path) -> None:
    for step in (1, 2):
        state = {"model": {"w": torch.ones(step)}, "optimizer": {"momentum": torch.ones(1000)}, "step": step}
        save_checkpoint(tmp_path, content(step) | {"state": state, "metrics": "step\n"})
    before = (tmp_path / NAME).stat().st_size
    keep_weights(tmp_path)
    kept = load_checkpoint(tmp_path)
    assert kept is not None
    assert kept["state"].keys() == {"model", "step"}
    assert (kept["state"]["step"], kept["metrics"]) == (2, "step\n")
    assert torch.equal(kept["state"]["model"]["w"], torch.ones(2))
    assert (tmp_path / NAME).stat().st_size < before - 3000
    assert not (tmp_path / SPARE).exists()
