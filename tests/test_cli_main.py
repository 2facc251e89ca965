"""What `job` does for a sweep; what a user sees of it is in test_cli_command.py."""

import weakref
from pathlib import Path
from types import SimpleNamespace

import pytest
from hydra.types import RunMode
from omegaconf import DictConfig

from resnet_exp.cli import main
from resnet_exp.cli.messages import JobFailedError


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
        main.job(DictConfig({}))
    assert isinstance(kept.value.__cause__, ValueError)
    assert alive[0]() is None
