"""What each run of a study is doing, from its folder alone: no torch, no process is asked, nothing is written."""

import math
import os
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from resnet_exp.runs.find import SUMMARY, walk
from resnet_exp.runs.folder import FAILURE, FINISHED, LOCK
from resnet_exp.runs.jobs import FILE as JOBS
from resnet_exp.runs.jobs import Job, read_sweeps
from resnet_exp.runs.known import number, recorded, what_is_known
from resnet_exp.runs.liveness import last_rows

ACTIVE = ("running", "waiting")  # what may still change by itself
UNDONE = ("interrupted", "failed", "dead")  # what the same command goes on with
STATUSES = (*ACTIVE, *UNDONE, *FINISHED)
PREPARING = LOCK  # all that a run has before its first step, besides its log


@dataclass(frozen=True)
class RunStatus:
    """One run, as it is now; what is not known is None.

    Args:
        path: the run folder.
        study: the folder that it lies in.
        status: one of STATUSES.
        step: updates done when it last said so, at its last row or its end; `steps`: of the whole training.
        train_error: of the last row of `metrics.csv`, in %; `test_error` likewise.
        images_per_second: of the updates alone.
        seconds_per_step: on the clock, evaluations included.
        seconds_left: until its end, about; of one that waits, from its beginning. None unless it runs or waits.
        work: multiply-adds of one update's forward pass.
        host: the machine that trains it or did.
        reason: why it failed, in one line.
    """

    path: Path
    study: str
    name: str
    seed: int
    status: str
    step: int = 0
    steps: int | None = None
    train_error: float | None = None
    test_error: float | None = None
    images_per_second: float | None = None
    seconds_per_step: float | None = None
    seconds_left: float | None = None
    work: float | None = None
    host: str | None = None
    reason: str | None = None

    @property
    def complete(self) -> bool:
        """Whether there is nothing more to train: to have diverged is a result."""
        return self.status in FINISHED

    def to_dict(self) -> dict[str, Any]:
        """For JSON: the path as text, numbers that are not finite as None."""
        values = asdict(self) | {"path": str(self.path)}
        return {key: None if isinstance(v, float) and not math.isfinite(v) else v for key, v in values.items()}


def listed(job: Job, path: Path, status: RunStatus | None, *, lives: bool, since: float) -> RunStatus:
    """A job of a sweep, as it is now: what the sweep has not come to waits as long as it lives.

    Args:
        path: of its run.
        status: of the run, if it has a folder.
        lives: whether its sweep does.
        since: when that was listed, in seconds since 1970.
    """
    if status is None:
        word = "waiting" if lives else "interrupted"
        return RunStatus(path, study_of(path), job.name, job.seed, word, steps=job.steps, work=job.work)
    if status.steps is None:
        status = replace(status, steps=job.steps, work=job.work)
    if lives and status.status in UNDONE and said_at(path) < since:
        status = replace(status, status="waiting", reason=None)
    return status


def said_at(path: Path) -> float:
    """When a run last said how it is, in seconds since 1970."""
    return max((file.stat().st_mtime for name in (SUMMARY, FAILURE) if (file := path / name).exists()), default=0.0)


def study_of(path: Path) -> str:
    return path.absolute().parent.parent.name


def status_of(path: Path) -> RunStatus:
    """The run in a folder, alone: one that prepares its first step is `running`, too.

    Raises:
        ValueError: the folder holds no run of ours.
    """
    known, status, reason = what_is_known(path)
    row = next(iter(last_rows(path, most=1)), {})
    steps, batch = number(known, "steps"), number(recorded(known, "choices"), "batch_size")
    step = number(known, "step")
    if step is None:  # older versions
        step = steps if status == "completed" and steps is not None else row.get("step", 0)
    speed, pace, macs = (number(known, key) for key in ("images_per_second", "seconds_per_step", "macs"))
    if pace is None and speed and batch:
        pace = batch / speed
    found = RunStatus(
        path,
        study_of(path),
        name=str(known.get("name") or path.absolute().parent.name),
        seed=int(known.get("seed") or 0),
        status=status,
        step=int(step),
        steps=None if steps is None else int(steps),
        train_error=row.get("train_error"),
        test_error=row.get("test_error"),
        images_per_second=speed,
        seconds_per_step=pace,
        work=macs * batch if macs and batch else None,
        host=str(known["host"]) if known.get("host") else None,
        reason=reason,
    )
    return with_times([found])[0]


def in_order(path: Path) -> list[list[str | int]]:
    """A key that sorts numbers in a path by their value."""
    return [[int(word) if word.isdecimal() else word for word in re.split(r"(\d+)", part)] for part in path.parts]


def with_times(found: Sequence[RunStatus]) -> list[RunStatus]:
    """The runs, with the time that is left of those whose own pace is not known yet."""
    return [
        replace(status, seconds_left=(status.steps - status.step) * pace)
        if status.status in ACTIVE and status.steps is not None and (pace := pace_of(status, found)) is not None
        else status
        for status in found
    ]


def pace_of(status: RunStatus, found: Sequence[RunStatus]) -> float | None:
    """Seconds that an update takes: its own, or that of the study's runs of the same net, or of all its nets, of which
    a multiply-add takes as long."""
    timed = [s for s in found if s.study == status.study and s.seconds_per_step is not None]
    for same in ([s for s in timed if s is status], [s for s in timed if s.name == status.name]):
        if same:
            return fmean(s.seconds_per_step for s in same if s.seconds_per_step is not None)
    paces = [s.seconds_per_step / s.work for s in timed if s.seconds_per_step is not None and s.work]
    return status.work * fmean(paces) if status.work and paces else None


def seconds_left(found: Sequence[RunStatus]) -> float | None:
    """Until the last of the runs has ended, about, if as many run at once as do now; None if nothing runs, or it is not
    known."""
    times = [status.seconds_left for status in found if status.status in ACTIVE]
    known = [seconds for seconds in times if seconds is not None]
    at_once = sum(status.status == "running" for status in found)
    if not at_once or len(known) < len(times):
        return None
    return max(max(known), sum(known) / at_once)


def statuses(folder: Path) -> list[RunStatus]:
    """Every run at or below a folder, links followed, and every job of its sweeps that has not begun, in order of their
    paths (`plain20` before `plain110`), with the time that each needs.

    Raises:
        ValueError: there is no such folder.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder")
    found: dict[str, RunStatus] = {}
    top = Path(os.path.realpath(folder))
    studies = [top.parent, top.parent.parent]  # of a folder within a study
    for path, names in walk(folder):
        if JOBS in names:
            studies.append(path)
        if {SUMMARY, FAILURE, PREPARING} & {*names}:
            try:
                found[os.path.realpath(path)] = status_of(path)
            except ValueError:  # another program's, or nothing of a run is left but its lock
                continue
    for study in studies:
        # Those that live last: a job waits if any of its sweeps will begin it.
        for lives, sweep in sorted(((sweep.lives(study), sweep) for sweep in read_sweeps(study)), key=lambda s: s[0]):
            for job in sweep.jobs:
                path = study / job.folder
                real = os.path.realpath(path)
                if real in found or Path(real).is_relative_to(top):
                    found[real] = listed(job, path, found.get(real), lives=lives, since=sweep.began)
    return with_times(sorted(found.values(), key=lambda status: in_order(status.path.absolute())))


def counted(found: Sequence[RunStatus]) -> dict[str, int]:
    """How many runs there are of each status, in the order of STATUSES; none that has none."""
    present = [status.status for status in found]
    return {status: present.count(status) for status in dict.fromkeys((*STATUSES, *present)) if status in present}
