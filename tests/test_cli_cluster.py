"""Sweeps that are handed to a cluster: here with commands of Slurm's that only note what they were asked."""

import os
from pathlib import Path

import pytest

from resnet_exp.runs.status import statuses
from tests.helpers import TINY, finish, start

pytest.importorskip("submitit")
WORDS = ("hydra/launcher=slurm_leave", "hydra.launcher.partition=gpu", *TINY, "model=plain", "depth=8,14")


@pytest.fixture
def slurm(tmp_path: Path) -> dict[str, str]:
    """An environment in which `sbatch` takes a job array and nothing else does anything."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, text in (
        ("sbatch", 'echo "$@" >> "$SAID"; echo "Submitted batch job 12"'),
        ("squeue", "echo waited >> $SAID"),
        ("sacct", "echo waited >> $SAID"),
        ("srun", ":"),
    ):
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)
    return os.environ | {"PATH": f"{folder}:{os.environ['PATH']}", "SAID": str(tmp_path / "said")}


def test_a_submitted_sweep_is_left(slurm: dict[str, str], tmp_path: Path) -> None:
    code, out, err = finish(start(tmp_path, "-m", *WORDS, env=slurm))
    assert (code, err) == (0, "")
    assert "submitted 2 jobs to Slurm: 12_0, 12_1" in out
    assert "`resnet-exp-status outputs/default` says how they are" in out
    (script,) = (tmp_path / "said").read_text().splitlines()  # nobody asked how the jobs are
    text = Path(tmp_path / script).read_text()
    for line in ("#SBATCH --array=0-1", "#SBATCH --partition=gpu", "#SBATCH --gpus-per-node=1", "#SBATCH --time=60"):
        assert line in text
    assert not list(tmp_path.rglob("metrics.csv"))
    assert [s.status for s in statuses(tmp_path / "outputs")] == ["waiting", "waiting"]
    assert not list(tmp_path.rglob("report"))


def test_what_is_impossible_is_refused_before_anything_is_submitted(slurm: dict[str, str], tmp_path: Path) -> None:
    code, _, err = finish(start(tmp_path, "-m", *WORDS, "width=0", env=slurm))
    assert code == 1
    assert "width=0" in err
    assert not (tmp_path / "said").exists()
