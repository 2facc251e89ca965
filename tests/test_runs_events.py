"""TensorBoard's copy fails, and nothing else does."""

from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from resnet_exp.runs.events import Events

ODD = "caf\udce9"  # how Python reads a byte that is not UTF-8 in a path


def test_settings_that_are_not_utf8_are_shown_as_far_as_they_are(tmp_path: Path) -> None:
    events = Events(tmp_path, step=0)
    events.add_hparams({"data.root": f"/mnt/{ODD}", "depth": 20}, {"test_error": 9.5}, step=10)
    events.close()
    shown = EventAccumulator(str(tmp_path)).Reload()
    assert [event.value for event in shown.Scalars("final/test_error")] == [9.5]


def test_a_folder_that_is_not_utf8_has_no_events_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / ODD
    folder.mkdir()
    events = Events(folder, step=0)
    events.add_row({"step": 1, "lr": 0.1, "train_loss": 2.0})
    events.close()
    assert "metrics.csv goes on without them" in caplog.text
