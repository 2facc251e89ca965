"""What the command does around a job and a run; what a user sees of it is in test_cli_command.py."""

import errno
import os
import weakref
from pathlib import Path
from types import SimpleNamespace

import pytest
from hydra.types import RunMode
from omegaconf import DictConfig

from resnet_exp.cli import main
from resnet_exp.cli.messages import JobFailedError
from resnet_exp.runs.folder import RunFolder
from tests.helpers import TINY, Settings


class Net:
    """Stands for what lies on a GPU."""


def test_a_failed_job_of_a_sweep_leaves_nothing_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Although Hydra keeps its error until the sweep ends."""
    alive: list[weakref.ref[Net]] = []

    def run(config: object, path: Path, *, given: set[str], in_sweep: bool) -> None:
        net = Net()
        alive.append(weakref.ref(net))
        raise ValueError("no room")

    hydra = SimpleNamespace(
        runtime=SimpleNamespace(output_dir="plain20/seed0"), mode=RunMode.MULTIRUN, overrides=SimpleNamespace(task=[])
    )
    monkeypatch.setattr(main, "HydraConfig", SimpleNamespace(get=lambda: hydra))
    monkeypatch.setattr(main, "to_config", lambda composed: composed)
    monkeypatch.setattr(main, "run", run)
    with pytest.raises(JobFailedError, match="no room") as kept:
        main.job(DictConfig({"task": "train", "from_": None}))
    assert isinstance(kept.value.__cause__, ValueError)
    assert alive[0]() is None


def test_a_run_stays_complete_where_its_checkpoint_cannot_be_trimmed(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Trimming writes the smaller file beside the larger one: a full disk has no room for it."""

    def full(folder: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder / "checkpoint.pt"))

    monkeypatch.setattr(main, "keep_weights", full)
    folder = RunFolder(tmp_path)
    config = settings(*TINY, "model=plain20")
    main.train(config, folder)
    assert folder.summary["status"] == "completed"
    assert f"{tmp_path}: keeps what it takes to go on, too: No space left on device" in caplog.text
    assert main.finished(folder, config)
    with pytest.raises(ValueError, match=r"a run with other settings: optim\.lr"):  # trained while somebody waited
        main.train(config.updated({"optim.lr": 0.5}), folder)
