"""The command `resnet-exp-status`: what each run of a study is doing."""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from resnet_exp.cli.messages import fail_by
from resnet_exp.cli.prune import pruned
from resnet_exp.cli.table import LiveTable, table_for_stdout
from resnet_exp.grammar import expanded
from resnet_exp.runs.status import ACTIVE, RunStatus, statuses

LOOK_EVERY = 2.0  # seconds
DONE, GOES_ON, BROKEN = 0, 3, 4
EPILOG = """\
status: waiting (a sweep that lives will come to it), running, interrupted (it was asked to stop, or its sweep ended
before it began), failed (with its reason), dead (it says running, but no process has it any more), diverged, completed.
The same command goes on with all but the last two.

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
        fail_by(error)
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


def exit_code(found: Sequence[RunStatus]) -> int:
    if any(status.status in ACTIVE for status in found):
        return GOES_ON
    return DONE if all(status.complete for status in found) else BROKEN


def listed(found: Sequence[RunStatus], *, lines: int | None) -> str:
    """As JSON, in one line or in many."""
    return json.dumps([status.to_dict() for status in found], indent=None if lines == 1 else 2, allow_nan=False)


if __name__ == "__main__":
    from resnet_exp.cli.start import status

    status()
