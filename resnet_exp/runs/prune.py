"""What a completed run keeps that nobody needs any more: the spare checkpoint, what a killed writer left, and snapshots
once every question that looks back on them is answered. All else stays."""

from dataclasses import dataclass, replace
from pathlib import Path

from resnet_exp.files import SCRAPS, is_whole
from resnet_exp.runs.checkpoint import NAME, SPARE, WRITTEN
from resnet_exp.runs.diagnostics import read_diagnosis
from resnet_exp.runs.folder import RunFolder, is_alive
from resnet_exp.runs.known import read
from resnet_exp.runs.snapshots import snapshot_file, snapshot_steps
from resnet_exp.runs.status import status_of

LOOK_BACK = ("responses", "gradients", "branches", "information", "surface")  # the questions that snapshots answer


@dataclass(frozen=True)
class Prunable:
    """What a run folder could do without.

    Args:
        files: that nobody needs.
        freed: bytes on the disk.
        kept: why some stay that might seem superfluous; empty: none does.
    """

    files: tuple[Path, ...]
    freed: int
    kept: str = ""


def prunable(run: Path, *, ours: bool = False) -> Prunable:
    """What a run could do without: nothing unless it is complete and no process has it open.

    Args:
        ours: it is this process that has it open.
    """
    if status_of(run).status != "completed" or (not ours and is_alive(run)):
        return Prunable((), 0)
    files, kept = list(run.glob(SCRAPS)), []
    spares = [run / name for name in (SPARE, WRITTEN) if (run / name).exists()]
    if spares and is_whole(run / NAME):
        files += spares
    elif spares:
        kept.append(f"{NAME} is missing or damaged, so {SPARE} stays")
    if steps := snapshot_steps(run):
        if missing := unanswered(run):
            kept.append(f"snapshots stay for task=diagnose what={','.join(missing)}")
        else:
            files += [snapshot_file(run, step) for step in steps]
    return Prunable(tuple(files), sum(file.stat().st_size for file in files), "; ".join(kept))


def unanswered(run: Path) -> list[str]:
    """The questions that look back on snapshots and have no complete answer about the weights at the end of the run."""
    summary = read(run / "summary.json")
    asked = [what for what in LOOK_BACK if what != "branches" or summary.get("shortcut") != "none"]
    return [what for what in asked if not answered(run, what, step=summary.get("steps"))]


def answered(run: Path, what: str, *, step: object) -> bool:
    try:
        found = read_diagnosis(run, what)
    except ValueError:
        return False
    return found is not None and found.complete and found.choices.get("step") == step


def prune(run: Path) -> Prunable:
    """Removes what `prunable` says of a run, with its folder locked; returns what it removed.

    Raises:
        InUseError: another process has the folder open.
        OSError: it cannot be written.
    """
    before = prunable(run)
    if not before.files:  # then nothing is touched, nor need it be writable
        return before
    sizes = {file: file.stat().st_size for file in before.files}
    with RunFolder(run):  # which removes what a killed writer left
        for file in prunable(run, ours=True).files:
            file.unlink()
    removed = tuple(file for file in before.files if not file.exists())
    return replace(before, files=removed, freed=sum(sizes[file] for file in removed))
