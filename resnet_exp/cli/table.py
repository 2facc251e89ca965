"""A table of runs as text: what each is doing, a line a run."""

import os
import shutil
import sys
from collections.abc import Sequence

from resnet_exp.runs.folder import FINISHED
from resnet_exp.runs.status import STATUSES, RunStatus, counted, seconds_left
from resnet_exp.text import aligned, duration

HEAD = ("net", "seed", "status", "step", "train %", "test %", "images/s", "left", "")
WORDS = (0, 2, 8)  # the columns of words
COLOURS = {"running": 36, "waiting": 2, "completed": 32, "diverged": 35, "interrupted": 33, "failed": 31, "dead": 31}


class LiveTable:
    """A table on a terminal that takes the place of the one before."""

    def __init__(self) -> None:
        self.drawn = 0  # lines

    def show(self, found: Sequence[RunStatus]) -> None:
        lines = table_for_stdout(found, whole=False)
        print(self.back + "\n".join(lines), flush=True)
        self.drawn = len(lines)

    def clear(self) -> None:
        """Makes room for what else there is to say; the next table stands below it."""
        print(self.back, end="", flush=True)
        self.drawn = 0

    @property
    def back(self) -> str:
        """The codes that take the cursor to the table's first line, and wipe what follows."""
        return f"\x1b[{self.drawn}A\x1b[J" if self.drawn else ""


def table_for_stdout(found: Sequence[RunStatus], *, whole: bool) -> list[str]:
    """The table as it fits what it is printed to.

    Args:
        whole: also where it is higher than the terminal, which then scrolls.
    """
    if not sys.stdout.isatty():
        return table(found)
    size = shutil.get_terminal_size()
    colour = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return table(found, width=size.columns, height=None if whole else size.lines - 1, colour=colour)


def table(
    found: Sequence[RunStatus], *, width: int | None = None, height: int | None = None, colour: bool = False
) -> list[str]:
    """A line of names, a line a run, and a line that counts them.

    Args:
        width: letters that a line may have; what is longer is cut. None: any.
        height: lines that there may be; complete runs are left out first, then those that wait. None: any.
        colour: with the codes of a terminal, which need no room.
    """
    shown = fitting(found, None if height is None else max(1, height - 3))
    names = {status.study for status in found}
    rows = [HEAD, *(cells(status, with_study=len(names) > 1) for status in shown)]
    at = sum(max(len(row[column]) for row in rows) + 2 for column in range(HEAD.index("status")))
    lines = []
    for text, status in zip(aligned(rows, words=WORDS), [None, *shown], strict=True):
        line = cut(text, width)
        lines.append(coloured(line, status, at=at) if colour and status else line)
    if len(shown) < len(found):
        lines.append(cut(f"and {len(found) - len(shown)} more", width))
    return [*lines, cut(summed_up(found), width)]


def fitting(found: Sequence[RunStatus], most: int | None) -> list[RunStatus]:
    """At most so many of the runs, in their order: those first of which there is something to see."""
    shown = list(found)
    for dispensable in (FINISHED, ("waiting",), STATUSES):
        for status in reversed(found):
            if most is None or len(shown) <= most:
                return shown
            if status.status in dispensable and status in shown:
                shown.remove(status)
    return shown


def cells(status: RunStatus, *, with_study: bool) -> tuple[str, ...]:
    """One row of the table."""
    errors = ["-" if error is None else f"{error:.2f}" for error in (status.train_error, status.test_error)]
    return (
        f"{status.study}/{status.name}" if with_study else status.name,
        str(status.seed),
        status.status,
        f"{status.step}/{'?' if status.steps is None else status.steps}",
        *errors,
        "-" if status.images_per_second is None else f"{status.images_per_second:.0f}",
        "-" if status.seconds_left is None else duration(status.seconds_left),
        status.reason or "",
    )


def cut(line: str, width: int | None) -> str:
    return line if width is None or len(line) <= width else line[: max(0, width - 1)] + "…"


def coloured(line: str, status: RunStatus, *, at: int) -> str:
    """The line with its status in colour, as much of it as there is."""
    word = line[at : at + len(status.status)]
    code = COLOURS.get(status.status)
    return f"{line[:at]}\x1b[{code}m{word}\x1b[0m{line[at + len(word) :]}" if word and code else line


def summed_up(found: Sequence[RunStatus]) -> str:
    """`3 running, 2 waiting, 7 completed; about 12 min left`"""
    left = seconds_left(found)
    counts = ", ".join(f"{count} {status}" for status, count in counted(found).items())
    return counts + (f"; about {duration(left)} left" if left is not None else "")
