"""Run folders, as the study sees them: what `summary.json` and `metrics.csv` say. Reads files only."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnet_exp.runs.find import run_folders
from resnet_exp.runs.folder import FINISHED
from resnet_exp.runs.known import as_it_is
from resnet_exp.runs.schema import upgrade_summary

Floats = NDArray[np.float64]
TAIL = 0.1  # share of the rows, the last ones, over which the final running error is averaged
AT_CHANCE = 0.95  # of the error of guessing: a net above it has learnt next to nothing
COLUMNS = ("step", "train_error", "test_error")  # of `metrics.csv`, those that a study cannot do without


# What a summary must hold to be one of ours; keys with dots.
NEEDED: dict[str, type] = dict.fromkeys(("name", "family", "status", "dataset.name"), str)
NEEDED.update(dict.fromkeys(("depth", "seed", "steps", "n_train", "dataset.image_size"), int))
NEEDED["choices"] = dict


@dataclass(frozen=True)
class Run:
    """One run folder.

    Args:
        summary: its `summary.json`, with what older versions left out.
        status: as `resnet-exp-status` shows it, see `runs.known.as_it_is`.
        metrics: the columns of its `metrics.csv`, each (rows,).
    """

    path: Path
    summary: dict[str, Any]
    status: str
    metrics: dict[str, Floats]

    @property
    def rows(self) -> int:
        return len(self.metrics["step"])

    @property
    def finished(self) -> bool:
        """Whether there are final errors: a diverged run is a result, one that goes on or failed is not."""
        return self.status in FINISHED

    @property
    def chance(self) -> float:
        """The error of guessing in %, as if all classes were equally frequent, which no run records."""
        return 100 * (1 - 1 / (self.summary["dataset"].get("classes") or 10))

    def final(self, key: str) -> float | None:
        """A final error in %; None of a run that has not finished, and where it was not measured (a lost file).

        `train_error_last_tenth` is the running error over the last tenth of the rows; the others stand in
        `summary.json`. A diverged run has the error of guessing, whichever is asked for: its weights are no numbers,
        and what it had reached before is not what it ended with.
        """
        if not self.finished:
            return None
        if self.status == "diverged":
            return self.chance
        if key == "train_error_last_tenth":
            tail = self.metrics["train_error"][-math.ceil(TAIL * self.rows) :]
            value = float(tail.mean()) if self.rows else None
        else:
            value = self.summary.get(key)
        return float(value) if isinstance(value, int | float) and math.isfinite(value) else None

    @property
    def at_chance(self) -> bool:
        """Whether it was completed with a training error like that of guessing."""
        error = self.final("train_error_last_tenth")
        return self.status == "completed" and error is not None and error >= AT_CHANCE * self.chance > 0


def read_study(*folders: Path) -> tuple[list[Run], list[str]]:
    """Every run folder at or under `folders`, each once, in order of their paths; and what is left out, a line each.

    Other programs have a `summary.json` too (wandb), and a copy may be damaged: neither stops a comparison.

    Raises:
        ValueError: there is no run.
    """
    runs, left_out = [], []
    for path in run_folders(*folders):
        try:
            runs.append(load_run(path))
        except ValueError as error:
            left_out.append(str(error))
    if left_out and not runs:
        raise ValueError(left_out[0])
    if not runs:
        where = ", ".join(map(str, folders))
        raise ValueError(f"{where}: no run folder below it (none holds a summary.json)")
    return runs, left_out


def load_run(path: Path) -> Run:
    """One run folder.

    Raises:
        ValueError: its `summary.json` or `metrics.csv` is not one of ours, or of a newer version.
    """
    file = path / "summary.json"
    summary, status = as_it_is(path, read_summary(file), again=lambda: read_summary(file))
    return Run(path, summary, status, read_metrics(path / "metrics.csv"))


def read_summary(file: Path) -> dict[str, Any]:
    """What a `summary.json` says of its run, with what older versions left out.

    Raises:
        ValueError: it is not one of ours, or of a newer version.
    """
    try:
        summary = json.loads(file.read_text())
        for key, kind in NEEDED.items():
            if type(recorded(summary, key)) is not kind:
                raise ValueError(f"{key} is no {kind.__name__}")
    except (ValueError, OSError) as error:
        raise ValueError(f"{file}: not the summary of a run") from error
    return upgrade_summary(summary, path=file)


def recorded(summary: Any, key: str) -> Any:
    """The value under a dotted key, or None."""
    for part in key.split("."):
        summary = summary.get(part) if isinstance(summary, Mapping) else None
    return summary


def read_metrics(file: Path) -> dict[str, Floats]:
    """The columns of `metrics.csv`, each (rows,); rows without their line's end, still being written, are left out.

    Raises:
        ValueError: a row is not of numbers or not as long as the header, or a column is missing.
    """
    text = file.read_text(errors="replace") if file.exists() else ""
    header, _, body = text[: text.rfind("\n") + 1].partition("\n")
    names = header.split(",") if header else [*COLUMNS]
    try:
        if not {*COLUMNS} <= {*names}:
            raise ValueError(f"no column {', no column '.join(sorted({*COLUMNS} - {*names}))}")
        lines = body.splitlines()
        rows = np.loadtxt(lines, delimiter=",", comments=None, ndmin=2) if lines else np.empty((0, len(names)))
        return dict(zip(names, np.ascontiguousarray(rows.T), strict=True))
    except ValueError as error:
        raise ValueError(f"{file}: not the metrics of a run ({str(error).splitlines()[0]})") from error
