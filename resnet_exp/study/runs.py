"""Run folders -> runs -> nets: what the figure and the tables are made of. Reads files only; knows no torch."""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnet_exp.runs.folder import FINISHED
from resnet_exp.study.statistics import Estimate, estimate

Floats = NDArray[np.float64]
TAIL = 0.1  # share of the rows, the last ones, over which the final running error is averaged
AT_CHANCE = 0.95  # of the error of guessing: a net above it has learnt next to nothing
COLUMNS = ("step", "train_error", "test_error")  # of `metrics.csv`, those that analysis cannot do without


@dataclass(frozen=True)
class Run:
    """One run folder: its `summary.json`, and the columns of its `metrics.csv`, each (rows,)."""

    path: Path
    summary: dict[str, Any]
    metrics: dict[str, Floats]

    @property
    def rows(self) -> int:
        return len(self.metrics["step"])

    @property
    def status(self) -> str:
        return str(self.summary.get("status"))

    @property
    def finished(self) -> bool:
        """Whether there are final errors: a diverged run is a result, one that goes on is not."""
        return self.status in FINISHED

    @property
    def chance(self) -> float:
        """The error of guessing, in %."""
        return 100 * (1 - 1 / self.summary["dataset"].get("classes", 10))

    def final(self, key: str) -> float | None:
        """A final error in %; None of a run that goes on, and where it was not measured (a lost file).

        `train_error` is the running error over the last tenth of the rows; the others stand in `summary.json`. A
        diverged run has the error of guessing, whichever is asked for: its weights are no numbers, and what it had
        reached before is not what it ended with.
        """
        if not self.finished:
            return None
        if self.status == "diverged":
            return self.chance
        if key == "train_error":
            value = float(self.metrics[key][-math.ceil(TAIL * self.rows) :].mean()) if self.rows else None
        else:
            value = self.summary.get(key)
        return float(value) if isinstance(value, int | float) and math.isfinite(value) else None

    @property
    def at_chance(self) -> bool:
        """Whether it was completed with a training error like that of guessing."""
        error = self.final("train_error")
        return self.status == "completed" and error is not None and error >= AT_CHANCE * self.chance


@dataclass(frozen=True)
class Net:
    """All seeds of one net."""

    name: str
    variant: str  # the name without the depth: nets of one variant share a panel
    depth: int
    runs: list[Run]

    def curve(self, key: str) -> tuple[Floats, Floats, Floats]:
        """Steps, mean and standard deviation over the seeds that reached them (0 with one seed), each (rows,)."""
        columns = [(run.metrics["step"], run.metrics[key]) for run in self.runs if key in run.metrics]
        if not columns:
            return np.empty(0), np.empty(0), np.empty(0)
        values = np.concatenate([value for _, value in columns])
        steps, where, count = np.unique(
            np.concatenate([step for step, _ in columns]), return_inverse=True, return_counts=True
        )
        mean = np.bincount(where, values, len(steps)) / count
        squares = np.bincount(where, (values - mean[where]) ** 2, len(steps))
        return steps, mean, np.sqrt(squares / np.maximum(count - 1, 1))

    def by_seed(self, key: str) -> dict[int, float]:
        """The final error (%) of every seed that has one."""
        return {run.summary["seed"]: value for run in self.runs if (value := run.final(key)) is not None}

    def final(self, key: str) -> Estimate | None:
        """The final error in % over all finished runs, diverged ones and those at chance included; None without any."""
        values = [value for run in self.runs if (value := run.final(key)) is not None]
        return estimate(values) if values else None


def load_runs(folder: Path) -> list[Run]:
    """Every run folder under `folder`, in order of their paths.

    Raises:
        ValueError: there is none.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder")
    runs = [load_run(file.parent) for file in sorted(folder.rglob("summary.json"))]
    if not runs:
        raise ValueError(f"{folder}: no run folder below it (none holds a summary.json)")
    return runs


def load_run(path: Path) -> Run:
    """One run folder.

    Raises:
        ValueError: its `summary.json` is not one of ours.
    """
    try:
        summary = json.loads((path / "summary.json").read_text())
        summary["name"], summary["family"], summary["depth"], summary["seed"], summary["status"], summary["steps"]
        summary["dataset"]["name"], summary["dataset"]["image_size"], summary["n_train"], summary["choices"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path / 'summary.json'}: not the summary of a run") from error
    return Run(path, summary, read_metrics(path / "metrics.csv"))


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


def group_nets(runs: list[Run]) -> list[Net]:
    """Runs by net; plain nets first, then by variant and depth."""
    by_name: dict[str, list[Run]] = {}
    for run in runs:
        by_name.setdefault(run.summary["name"], []).append(run)
    nets = []
    for name, group in by_name.items():
        family, depth = group[0].summary["family"], group[0].summary["depth"]
        variant = name.replace(f"{family}{depth}", family)
        nets.append(Net(name, variant, depth, sorted(group, key=lambda run: run.summary["seed"])))
    return sorted(nets, key=lambda net: (not net.variant.startswith("plain"), net.variant, net.depth))


def describe_study(runs: list[Run]) -> str:
    """Which data, how many seeds, how many steps: the line under every figure and table."""

    def distinct(get: Callable[[Run], Any]) -> list[Any]:
        return sorted({get(run) for run in runs})

    def span(values: list[int], unit: str) -> str:
        low, high = f"{values[0]:,}", f"{values[-1]:,}"
        return f"{low if low == high else f'{low} to {high}'} {unit}{'' if values[-1] == 1 else 's'}"

    data = distinct(
        lambda run: (
            f"{run.summary['dataset']['name']}, {run.summary['n_train']:,} training images of"
            f" {run.summary['dataset']['image_size']}x{run.summary['dataset']['image_size']}"
        )
    )
    seeds = sorted(len(net.runs) for net in group_nets(runs))
    parts = [" / ".join(data), span(seeds, "seed"), span(distinct(lambda run: run.summary["steps"]), "step")]
    return " · ".join([*parts, *flags(runs)])


def flags(runs: list[Run]) -> list[str]:
    """What must be known before the numbers are read: how many runs are unfinished, diverged, at chance."""
    counts = {
        "unfinished": sum(not run.finished for run in runs),
        "diverged": sum(run.status == "diverged" for run in runs),
        "at chance": sum(run.at_chance for run in runs),
    }
    return [f"{count} of {len(runs)} runs {what}" for what, count in counts.items() if count]
