from pathlib import Path

import pytest
import torch
from torch import nn

from resnet_exp.runs.checkpoint import NAME, SPARE, WRITTEN, is_finite, load_checkpoint, save_checkpoint


def test_the_one_before_is_kept(tmp_path: Path) -> None:
    assert load_checkpoint(tmp_path) is None
    for step in (1, 2, 3):
        save_checkpoint(tmp_path, {"step": step})
    assert load_checkpoint(tmp_path) == {"step": 3}
    (tmp_path / NAME).unlink()
    assert load_checkpoint(tmp_path) == {"step": 2}
    assert sorted(file.name for file in tmp_path.iterdir()) == [SPARE]


def test_a_damaged_newest_falls_back_loudly(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for step in (1, 2):
        save_checkpoint(tmp_path, {"step": step})
    (tmp_path / NAME).write_bytes(b"")
    assert load_checkpoint(tmp_path) == {"step": 1}
    assert "damaged" in caplog.text
    (tmp_path / SPARE).write_bytes((tmp_path / SPARE).read_bytes()[:-1])
    with pytest.raises(ValueError, match="every checkpoint is damaged") as caught:
        load_checkpoint(tmp_path)
    assert "fresh=true" in str(caught.value)


def test_a_damaged_newest_never_becomes_the_spare(tmp_path: Path) -> None:
    for step in (1, 2):
        save_checkpoint(tmp_path, {"step": step})
    (tmp_path / NAME).write_bytes(b"")
    assert load_checkpoint(tmp_path) == {"step": 1}
    save_checkpoint(tmp_path, {"step": 3})
    (tmp_path / NAME).unlink()
    assert load_checkpoint(tmp_path) == {"step": 1}


def test_one_that_was_written_and_not_yet_moved_is_found(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        save_checkpoint(tmp_path, {"step": step})
    (tmp_path / NAME).replace(tmp_path / WRITTEN)  # as a kill between the two moves of a save leaves it
    assert load_checkpoint(tmp_path) == {"step": 3}


def test_finite_looks_at_weights_and_at_bn_statistics() -> None:
    net = nn.BatchNorm2d(3)
    assert is_finite(net)
    assert net.running_var is not None
    net.running_var[1] = torch.inf
    assert not is_finite(net)
