"""What a user sees while a run goes on; its lines are read in test_cli_command.py."""

from pathlib import Path

import pytest

from tests.helpers import TINY, Settings, run


def test_a_long_cpu_run_says_so_once(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("resnet_exp.training.progress.LONG", 1e-6)
    with caplog.at_level("WARNING"):
        run(settings(*TINY, "train.steps=12", "train.eval_every=12"), tmp_path)
    hints = [record.getMessage() for record in caplog.records if "experiment=quick" in record.getMessage()]
    assert hints == ["this run will take about 0 s on this CPU; experiment=quick shows the effect in minutes"]
