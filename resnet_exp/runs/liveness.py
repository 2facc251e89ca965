"""Whether a run that says `running` has a process, asked on its machine or, over a shared file system, on another.

The run's lock says it for certain where it can be seen. Another machine's may not be: then a run is taken for dead once
it has been silent for far longer than it has ever been between two rows.
"""

import socket
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from resnet_exp.runs.folder import LOCK
from resnet_exp.runs.locks import is_held

SILENT_ROWS = 5  # as long as so many rows take a run of another machine may write nothing
LEAST = 600.0  # seconds: so long it may always, as clocks differ
UNPACED = 3600.0  # seconds: so long before its pace is known, as images are decoded and nets compiled


def this_host() -> str:
    """How a run records the machine that trains it."""
    return socket.gethostname()


def has_process(path: Path, summary: Mapping[str, Any], *, now: float | None = None) -> bool:
    """Whether some process trains the run in a folder whose summary says `running`.

    Args:
        summary: its `summary.json`. Runs of older versions record no `host`; the lock alone tells of them.
        now: seconds since 1970.
    """
    locked = is_held(path / LOCK)
    if locked:
        return True
    host = summary.get("host")
    if host is None or (host == this_host() and locked is False):
        return False
    silent = (time.time() if now is None else now) - last_written(path.iterdir())
    return silent < patience(summary, row_steps(path))


def last_written(files: Iterable[Path]) -> float:
    """When one of the files was last written, in seconds since 1970; 0 without any. Locks, which whoever looks may
    touch, do not count."""
    times = [0.0]
    for file in files:
        with suppress(OSError):  # gone in the meantime
            if file.name != LOCK and file.is_file():
                times.append(file.stat().st_mtime)
    return max(times)


def patience(summary: Mapping[str, Any], steps: Sequence[int]) -> float:
    """Seconds for which a run may write nothing.

    Args:
        steps: of its rows.
    """
    pace = summary.get("seconds_per_step")
    if not isinstance(pace, int | float) or not steps:
        return UNPACED
    between = steps[-1] - (steps[-2] if len(steps) > 1 else 0)
    return max(LEAST, SILENT_ROWS * between * pace)


def row_steps(path: Path) -> list[int]:
    """The steps of the last two whole rows of `metrics.csv`."""
    return [int(row["step"]) for row in last_rows(path, most=2) if "step" in row]


def last_rows(path: Path, *, most: int) -> list[dict[str, float]]:
    """The last whole rows of `metrics.csv`, in order; a row that cannot be read is left out."""
    try:
        text = (path / "metrics.csv").read_text(errors="replace")
    except OSError:
        return []
    header, *lines = text[: text.rfind("\n") + 1].splitlines() or [""]
    rows = []
    for line in lines[-most:]:
        with suppress(ValueError):
            rows.append(dict(zip(header.split(","), map(float, line.split(",")), strict=True)))
    return rows
