"""The command `resnet-exp-status`: what each run of a study is doing."""

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from resnet_exp.cli.messages import explain, fail
from resnet_exp.cli.prune import pruned
from resnet_exp.grammar import expanded
from resnet_exp.runs.folder import FINISHED
from resnet_exp.runs.status import ACTIVE, STATUSES, RunStatus, counted, seconds_left, statuses

LOOK_EVERY = 2.0  # seconds
HEAD = ("net", "seed", "status", "step", "train %", "test %", "images/s", "left", "")
LEFT = (0, 2, 8)  # the columns of words
COLOURS = {"running": 36, "waiting": 2, "completed": 32, "diverged": 35, "interrupted": 33, "failed": 31, "dead": 31}
DONE, GOES_ON, BROKEN = 0, 3, 4
EPILOG = """\
status: waiting (a sweep has listed it), running, interrupted (it was asked to stop), failed (with its reason),
dead (it says running, but no process has it any more), diverged, completed. The same command goes on with all
but the last two.

--json prints a list of objects with the keys path, study, name, seed, status, step, steps, train_error, test_error (in
percent, of the last row), images_per_second, seconds_per_step, seconds_left, work (multiply-adds of an update), host,
reason; null is what is not known. With --watch a list a line.

--prune looks at completed runs alone. It offers the spare checkpoint (checkpoint.prev.pt) where the newest is whole,
and snapshots/ once task=diagnose has answered what looks back on them: responses, gradients, branches (not of a plain
net), information, surface. After that do not ask surface again: it would be answered anew, from the checkpoint alone.

exit code: 0 every run is complete (a diverged run is a result); 3 something runs or waits; 4 nothing does, and a run is
interrupted, failed or dead; 1 there is no such folder, or no run below it; 2 wrong usage. With --prune: 0 or 1."""


def main() -> None:
    """Entry point. Exit codes: see EPILOG."""
    parser = argparse.ArgumentParser(
        prog="resnet-exp-status",
        description="Show what each run of a study is doing.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("dir", type=Path, metavar="DIR", help="a study, outputs, or any folder with runs below it")
    parser.add_argument(
        "--watch", action="store_true", help="look again every two seconds as long as one runs or waits"
    )
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument(
        "--prune", action="store_true", help="say what completed runs need no more, and how large it is"
    )
    parser.add_argument("--yes", action="store_true", help="with --prune: remove it")
    arguments = parser.parse_args()
    if arguments.prune and (arguments.watch or arguments.json):
        parser.error("--prune goes with neither --watch nor --json")
    if arguments.yes and not arguments.prune:
        parser.error("--yes goes with --prune")
    folder = expanded(arguments.dir)
    try:
        if arguments.prune:
            for line in pruned(look(folder), remove=arguments.yes):
                print(line)
            code = DONE
        else:
            code = show(folder, watch=arguments.watch, as_json=arguments.json)
    except BrokenPipeError:  # `| head` has seen enough
        code = 1
    except (ValueError, OSError) as error:
        fail(explain(error))
        code = 1
    sys.exit(code)


def look(folder: Path) -> list[RunStatus]:
    """The runs below a folder.

    Raises:
        ValueError: there is no such folder, or no run.
    """
    found = statuses(folder)
    if not found:
        raise ValueError(f"{folder}: no run below it")
    return found


def show(folder: Path, *, watch: bool, as_json: bool) -> int:
    """Prints the runs, again and again if `watch`; returns the exit code.

    On a terminal each table takes the place of the one before; elsewhere there is another one after a change.
    """
    live = LiveTable() if watch and not as_json and sys.stdout.isatty() else None
    before: list[dict[str, object]] = []
    while True:
        found = look(folder)
        now = [status.to_dict() for status in found]  # in which an error that is no number equals itself
        if live:
            live.show(found)
        elif now != before:
            lines = [listed(found, lines=1 if watch else None)] if as_json else table_for_stdout(found, whole=not watch)
            print("\n".join(lines), flush=True)
            before = now
        code = exit_code(found)
        if not watch or code != GOES_ON:
            return code
        time.sleep(LOOK_EVERY)


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


def exit_code(found: Sequence[RunStatus]) -> int:
    if any(status.status in ACTIVE for status in found):
        return GOES_ON
    return DONE if all(status.complete for status in found) else BROKEN


def listed(found: Sequence[RunStatus], *, lines: int | None) -> str:
    """As JSON, in one line or in many."""
    return json.dumps([status.to_dict() for status in found], indent=None if lines == 1 else 2, allow_nan=False)


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
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    lines = []
    for row, status in zip(rows, [None, *shown], strict=True):
        padded = [
            f"{cell:<{w}}" if c in LEFT else f"{cell:>{w}}" for c, (cell, w) in enumerate(zip(row, widths, strict=True))
        ]
        line = cut("  ".join(padded).rstrip(), width)
        lines.append(coloured(line, status, at=sum(widths[:2]) + 4) if colour and status else line)
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


def duration(seconds: float) -> str:
    """`45 s`, `12 min`, `3 h 20 min`, `5 days`."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes / 60 / 24:.0f} days"


def summed_up(found: Sequence[RunStatus]) -> str:
    """`3 running, 2 waiting, 7 completed; about 12 min left`"""
    left = seconds_left(found)
    counts = ", ".join(f"{count} {status}" for status, count in counted(found).items())
    return counts + (f"; about {duration(left)} left" if left is not None else "")


if __name__ == "__main__":
    from resnet_exp.cli.start import status

    status()
