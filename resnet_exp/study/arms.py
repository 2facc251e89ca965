"""Runs -> arms, which a study compares: all runs of one net under one setting, one per seed."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from resnet_exp.study.identity import net_called, net_of
from resnet_exp.study.runs import Floats, Run
from resnet_exp.study.statistics import Estimate, estimate


@dataclass(frozen=True)
class Arm:
    """All runs of one net under one setting, one per seed.

    Args:
        name: as shown; that of its runs, and what tells it from other arms of that name.
        variant: the name without the depth: arms of one variant share a panel.
        setting: what was varied besides the net, see `setting_of`.
        depth: of the net, in layers.
        runs: in order of their seeds.
    """

    name: str
    variant: str
    setting: str
    depth: int
    runs: list[Run]

    @property
    def finished(self) -> bool:
        """Whether any of its runs has."""
        return any(run.finished for run in self.runs)

    def curve(self, key: str) -> tuple[Floats, Floats, Floats]:
        """A column of `metrics.csv`: steps, mean and standard deviation over the seeds that reached them, each (rows,).

        The standard deviation is 0 with one seed.
        """
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


def setting_of(name: str, *, net: str) -> str:
    """What a sweep varied besides the net, as the name of the run says: `resnet20-B-lr0.05` -> `-lr0.05`.

    A name that the user made up says no net: all of it is the setting.

    Args:
        net: what the run's net is called.
    """
    return name[len(net) :] if name == net or name.startswith(f"{net}-") else name


# What tells arms of one name apart, in this order, as far as needed.
DETAILS: tuple[Callable[[dict[str, Any]], str], ...] = (
    net_called,
    lambda summary: f"width {summary.get('width')}",
    lambda summary: f"{summary.get('params', 0):,} parameters",
    lambda summary: f"{summary.get('macs', 0):,} multiply-adds",
)


def group_arms(runs: list[Run]) -> list[Arm]:
    """Runs by net and setting; plain nets first, then by variant and depth."""
    groups: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        setting = setting_of(run.summary["name"], net=net_called(run.summary))
        key = json.dumps(net_of(run.summary), sort_keys=True), setting
        groups.setdefault(key, []).append(run)
    names = shown_names([group[0].summary for group in groups.values()])
    arms = []
    for name, ((_, setting), group) in zip(names, groups.items(), strict=True):
        family, depth = group[0].summary["family"], group[0].summary["depth"]
        variant = name.replace(f"{family}{depth}", family)
        arms.append(Arm(name, variant, setting, depth, sorted(group, key=lambda run: run.summary["seed"])))

    def place(arm: Arm) -> tuple[bool, str, int]:
        summary = arm.runs[0].summary
        is_plain = summary["family"].startswith("plain") or summary.get("shortcut") == "none"
        return not is_plain, arm.variant, arm.depth

    return sorted(arms, key=place)


def shown_names(summaries: list[dict[str, Any]]) -> list[str]:
    """A name for each arm, from the summary of one of its runs: `mine`, or, of several, `mine (plain20)`."""
    names = [summary["name"] for summary in summaries]
    more: list[list[str]] = [[] for _ in summaries]
    for detail in DETAILS:
        count = Counter(names)
        for index, summary in enumerate(summaries):
            if count[names[index]] > 1 and (said := detail(summary)) != summary["name"]:
                more[index].append(said)
        names = [
            f"{summary['name']} ({', '.join(details)})" if details else summary["name"]
            for summary, details in zip(summaries, more, strict=True)
        ]
    return names
