"""`.jobs.json` in the folder of a study: what sweeps are to train there, written before their first job begins.

Jobs that end with their sweep name a lock that it holds as long as it lives: so one that waits is told from one that
nobody will begin.
"""

import atexit
import json
import os
import secrets
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from filelock import FileLock

from resnet_exp.files import replace_text
from resnet_exp.runs.liveness import this_host
from resnet_exp.runs.locks import is_held

FILE, SCHEMA = ".jobs.json", 2
GUARD = ".jobs.lock"  # held by whoever writes the list
SWEEPS = ".sweep-*.lock"


@dataclass(frozen=True)
class Job:
    """A run that is to be trained.

    Args:
        name: of its folder in the study.
        steps: updates.
        work: multiply-adds of one update's forward pass, about.
        sweep: the lock, in the study's folder, that its sweep holds. None: a cluster begins it, whoever lives, or a
            version listed it that held none.
        host: the machine of that sweep.
    """

    name: str
    seed: int
    steps: int
    work: float
    sweep: str | None = None
    host: str | None = None

    @property
    def folder(self) -> Path:
        """Of the run, in the study's."""
        return Path(self.name, f"seed{self.seed}")


def add_jobs(study: Path, jobs: Iterable[Job], *, ours: bool = False) -> None:
    """Adds jobs to those of earlier sweeps; one with the same folder is replaced.

    Args:
        ours: nobody begins them once this process has ended. It holds a lock from now on.

    Raises:
        OSError: the folder cannot be written.
    """
    study.mkdir(parents=True, exist_ok=True)
    with FileLock(study / GUARD):
        if ours:
            sweep, host = hold(study), this_host()
            jobs = [replace(job, sweep=sweep, host=host) for job in jobs]
        listed = {job.folder: job for job in (*read_jobs(study), *jobs)}
        record = {"schema": SCHEMA, "jobs": [asdict(job) for job in listed.values()]}
        replace_text(study / FILE, json.dumps(record, indent=1) + "\n")
        for lock in study.glob(SWEEPS):
            if all(job.sweep != lock.name for job in listed.values()):
                remove(lock)


def hold(study: Path) -> str:
    """Holds a lock in the study's folder until this process ends; returns its name. Who is killed leaves the file."""
    lock = FileLock(study / f".sweep-{this_host()}-{os.getpid()}-{secrets.token_hex(3)}.lock")
    lock.acquire()

    def let_go() -> None:
        remove(Path(lock.lock_file))
        lock.release()

    atexit.register(let_go)
    return Path(lock.lock_file).name


def remove(lock: Path) -> None:
    with suppress(OSError):  # it is gone; or Windows keeps it, as somebody holds it
        lock.unlink()


def read_jobs(study: Path) -> list[Job]:
    """The jobs of a study's sweeps; none if there is no list that can be read."""
    try:
        entries = json.loads((study / FILE).read_text())["jobs"]
        return [
            Job(str(e["name"]), int(e["seed"]), int(e["steps"]), float(e["work"]), e.get("sweep"), e.get("host"))
            for e in entries
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return []


def has_sweep(study: Path, job: Job) -> bool:
    """Whether somebody will begin a job, as far as can be told: another machine's lock may not be seen here."""
    if job.sweep is None:
        return True
    lock = study / job.sweep
    return lock.exists() and (is_held(lock) is not False or job.host != this_host())
