"""`.jobs.json` in the folder of a study: what sweeps are to train there, each listed before its first job begins.

A sweep whose jobs end with it holds a lock as long as it lives: so a job that waits is told from one that nobody will
begin.
"""

import atexit
import json
import os
import secrets
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from filelock import FileLock

from resnet_exp.files import replace_text
from resnet_exp.runs.liveness import UNPACED, last_written, this_host
from resnet_exp.runs.locks import is_held

FILE, SCHEMA = ".jobs.json", 2
GUARD = ".jobs.lock"  # held by whoever writes the list


@dataclass(frozen=True)
class Job:
    """A run that is to be trained.

    Args:
        name: of its folder in the study.
        steps: updates.
        work: multiply-adds of one update's forward pass, about.
        settings: equal to those of another job if both are the same run, whatever their folders are called.
    """

    name: str
    seed: int
    steps: int
    work: float
    settings: str = ""

    @property
    def folder(self) -> Path:
        """Of the run, in the study's."""
        return Path(self.name, f"seed{self.seed}")

    def is_same(self, other: "Job") -> bool:
        return self.folder == other.folder or (bool(self.settings) and self.settings == other.settings)


@dataclass(frozen=True)
class Sweep:
    """What one command is to train in a study.

    Args:
        jobs: in order.
        began: when it listed them, in seconds since 1970.
        lock: the file in the study's folder that it holds. None: a cluster begins its jobs, whoever lives.
        host: its machine.
    """

    jobs: tuple[Job, ...]
    began: float
    lock: str | None = None
    host: str | None = None

    def lives(self, study: Path) -> bool:
        """Whether it will begin those of its jobs that have not begun, as far as can be told.

        Another machine's lock may not be seen here: then it has ended once nothing was written in the study for long.
        """
        if self.lock is None:
            return True
        file = study / self.lock
        if not file.exists():
            return False
        held = is_held(file)
        if held is False and self.host == this_host():
            return False
        return bool(held) or time.time() - last_written([study / FILE, *study.glob("*/seed*/*")]) < UNPACED


def add_jobs(study: Path, jobs: Sequence[Job], *, ours: bool = False) -> None:
    """Lists the jobs of a sweep; from the lists of sweeps that have ended go those that are the same runs.

    Args:
        ours: nobody begins them once this process has ended. It holds a lock from now on.

    Raises:
        OSError: the folder cannot be written.
    """
    study.mkdir(parents=True, exist_ok=True)
    with FileLock(study / GUARD):
        listed = []
        for sweep in read_sweeps(study):
            replaced = (sweep.lock is None and not ours) or not sweep.lives(study)
            left = [job for job in sweep.jobs if not (replaced and any(job.is_same(new) for new in jobs))]
            if left:
                listed.append(replace(sweep, jobs=tuple(left)))
            elif sweep.lock:
                remove(study / sweep.lock)
        listed.append(Sweep(tuple(jobs), time.time(), hold(study) if ours else None, this_host()))
        record = {"schema": SCHEMA, "sweeps": [asdict(sweep) for sweep in listed]}
        replace_text(study / FILE, json.dumps(record, indent=1) + "\n")


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


def read_sweeps(study: Path) -> list[Sweep]:
    """The sweeps of a study; none if there is no list that can be read. Older versions' told no sweep from another."""
    try:
        return [
            Sweep(tuple(Job(**job) for job in sweep["jobs"]), sweep["began"], sweep["lock"], sweep["host"])
            for sweep in json.loads((study / FILE).read_text())["sweeps"]
        ]
    except (OSError, ValueError, KeyError, TypeError):
        return []
