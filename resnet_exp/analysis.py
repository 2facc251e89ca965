"""Run folders -> runs -> nets: what the figure and the tables are made of. Reads files only; knows no torch."""

import json
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Run:
    """One run folder: its `summary.json`, and the columns of its `metrics.csv`, each (rows,)."""

    path: Path
    summary: dict[str, Any]
    metrics: dict[str, Floats]

    @property
    def rows(self) -> int:
        return len(self.metrics["step"])

    def error(self, key: str) -> float | None:
        """A final error in %: from the summary, or, of a run that has none yet, from the last row."""
        value = self.summary.get(key)
        if value is None and key in self.metrics and self.rows:
            value = float(self.metrics[key][-1])
        return value


@dataclass(frozen=True)
class Net:
    """All seeds of one net."""

    name: str
    variant: str  # the name without the depth: nets of one variant share a panel
    depth: int
    runs: list[Run]

    def curve(self, key: str) -> tuple[Floats, Floats, Floats]:
        """Steps, mean and standard deviation over the seeds that reached them (0 with one seed), each (rows,)."""
        values: dict[float, list[float]] = {}
        for run in self.runs:
            for step, value in zip(run.metrics["step"], run.metrics[key], strict=True):
                values.setdefault(step, []).append(value)
        steps = sorted(values)
        return (
            np.array(steps),
            np.array([np.mean(values[step]) for step in steps]),
            np.array([np.std(values[step], ddof=1) if len(values[step]) > 1 else 0.0 for step in steps]),
        )

    def final(self, key: str) -> tuple[float, float | None, int] | None:
        """Mean, standard deviation (None below two seeds) and number of seeds of a final error; None without any."""
        values = [value for run in self.runs if (value := run.error(key)) is not None]
        if not values:
            return None
        return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None, len(values)


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
        summary["name"], summary["family"], summary["depth"], summary["seed"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path / 'summary.json'}: not the summary of a run") from error
    return Run(path, summary, read_metrics(path / "metrics.csv"))


def read_metrics(file: Path) -> dict[str, Floats]:
    """The columns of `metrics.csv`, each (rows,); rows without their line's end, still being written, are left out.

    Raises:
        ValueError: a row is not of numbers, or not as long as the header.
    """
    text = file.read_text() if file.exists() else ""
    header, _, body = text[: text.rfind("\n") + 1].partition("\n")
    names = header.split(",") if header else ["step"]
    try:
        rows = np.array(body.replace("\n", ",").split(",")[:-1], dtype=np.float64).reshape(-1, len(names))
    except ValueError as error:
        raise ValueError(f"{file}: not the metrics of a run ({error})") from error
    return dict(zip(names, rows.T, strict=True))


def group_nets(runs: list[Run]) -> list[Net]:
    """Runs by net; plain nets first, then by variant and depth."""
    by_name: dict[str, list[Run]] = {}
    for run in runs:
        by_name.setdefault(run.summary["name"], []).append(run)
    nets = [
        Net(
            name=name,
            variant=name.replace(
                f"{group[0].summary['family']}{group[0].summary['depth']}", group[0].summary["family"]
            ),
            depth=group[0].summary["depth"],
            runs=sorted(group, key=lambda run: run.summary["seed"]),
        )
        for name, group in by_name.items()
    ]
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
    unfinished = sum(run.summary["status"] in ("running", "interrupted") for run in runs)
    diverged = sum(run.summary["status"] == "diverged" for run in runs)
    parts += [
        f"{count} of {len(runs)} runs {what}"
        for count, what in ((unfinished, "unfinished"), (diverged, "diverged"))
        if count
    ]
    return " · ".join(parts)
