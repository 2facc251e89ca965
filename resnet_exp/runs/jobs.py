"""`.jobs.json` in the folder of a study: what sweeps are to train there, written before their first job begins."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from resnet_exp.files import replace_text

FILE, SCHEMA = ".jobs.json", 1


@dataclass(frozen=True)
class Job:
    """A run that is to be trained.

    Args:
        name: of its folder in the study.
        steps: updates.
        work: multiply-adds of one update's forward pass, about.
    """

    name: str
    seed: int
    steps: int
    work: float

    @property
    def folder(self) -> Path:
        """Of the run, in the study's."""
        return Path(self.name, f"seed{self.seed}")


def add_jobs(study: Path, jobs: Iterable[Job]) -> None:
    """Adds jobs to those of earlier sweeps; one with the same folder is replaced.

    Raises:
        OSError: the folder cannot be written.
    """
    listed = {job.folder: job for job in (*read_jobs(study), *jobs)}
    study.mkdir(parents=True, exist_ok=True)
    record = {"schema": SCHEMA, "jobs": [asdict(job) for job in listed.values()]}
    replace_text(study / FILE, json.dumps(record, indent=1) + "\n")


def read_jobs(study: Path) -> list[Job]:
    """The jobs of a study's sweeps; none if there is no list that can be read."""
    try:
        entries = json.loads((study / FILE).read_text())["jobs"]
        return [Job(str(e["name"]), int(e["seed"]), int(e["steps"]), float(e["work"])) for e in entries]
    except (OSError, ValueError, KeyError, TypeError):
        return []
