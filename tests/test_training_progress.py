"""What a user sees while a run goes on; its lines are read in test_cli_command.py."""

from pathlib import Path

import pytest

from tests.helpers import TINY, Settings, run


def test_a_long_cpu_run_says_so_once(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("resnet_exp.training.progress.LONG_HOURS", 1e-9)
    with caplog.at_level("WARNING"):
        run(settings(*TINY, "train.steps=12", "train.eval_every=12"), tmp_path)
    hints = [record.getMessage() for record in caplog.records if "experiment=quick" in record.getMessage()]
    assert len(hints) == 1
