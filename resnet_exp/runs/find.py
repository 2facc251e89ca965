"""Where run folders lie."""

import os
from collections.abc import Iterator
from pathlib import Path

SUMMARY = "summary.json"


def walk(*folders: Path) -> Iterator[tuple[Path, list[str]]]:
    """Every folder at or below some, links followed, with the names of its files; each once whatever leads to it.

    Not those that a run folder holds.
    """
    seen = set()
    for folder in folders:
        for where, inner, files in os.walk(folder, followlinks=True):
            real = os.path.realpath(where)
            if real in seen:  # a link back up
                inner.clear()
                continue
            seen.add(real)
            inner.sort()
            if ".hydra" in inner or {SUMMARY, "config.yaml"} <= {*files}:
                inner.clear()
            yield Path(where), files


def study_of(run: Path, *, seed: int) -> Path:
    """The folder of a run's study, which holds `<name>/seed<k>`; the run's own where it lies alone. As short as the run
    was named, if that says it."""
    whole = Path(os.path.normpath(run.absolute()))  # of `seed0` and `.`, too; links stay
    if whole.name != f"seed{seed}":
        return run
    return run.parent.parent if len(run.parts) > 2 and ".." not in run.parts else whole.parent.parent


def run_folders(*folders: Path) -> list[Path]:
    """The folders at or below some that hold a `summary.json`, in order of their paths.

    Raises:
        ValueError: one of them is none.
    """
    for folder in folders:
        if not folder.is_dir():
            raise ValueError(f"{folder}: no such folder")
    return sorted(path for path, files in walk(*folders) if SUMMARY in files)
