"""`resnet-exp-status DIR --prune`: what completed runs could do without, said or removed."""

from collections.abc import Iterator, Sequence

from resnet_exp.runs.folder import InUseError
from resnet_exp.runs.prune import prunable, prune
from resnet_exp.runs.status import RunStatus
from resnet_exp.text import size


def pruned(found: Sequence[RunStatus], *, remove: bool) -> Iterator[str]:
    """Removes what completed runs could do without, or only looks for it; yields what to say, a line a run.

    Raises:
        OSError: a folder cannot be written.
    """
    total = runs = 0
    for status in found:
        if status.status != "completed":
            continue
        where = f"{status.name} seed {status.seed}"
        try:
            could = prune(status.path) if remove else prunable(status.path)
        except InUseError:
            yield f"{where}: left, another process has it open"
            continue
        if could.files:
            names = sorted({"snapshots" if f.parent != status.path else f.name for f in could.files})
            yield f"{where}: {', '.join(names)}: {size(could.freed)}"
            total, runs = total + could.freed, runs + 1
        if could.kept:
            yield f"{where}: {could.kept}"
    if not runs:
        yield "nothing to remove"
    elif remove:
        yield f"removed: {size(total)} of {runs} completed runs"
    else:
        yield f"this would free {size(total)} of {runs} completed runs; --prune --yes does it"
