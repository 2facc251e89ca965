"""What must be known before the numbers are read: which data, how many seeds and steps, which runs came to no end."""

from collections.abc import Callable
from typing import Any

from resnet_exp.study.arms import Arm
from resnet_exp.study.runs import Run
from resnet_exp.text import span


def describe_study(runs: list[Run], arms: list[Arm]) -> str:
    """Which data, how many seeds, how many steps: the line under every figure and table."""

    def distinct(get: Callable[[Run], Any]) -> list[Any]:
        return sorted({get(run) for run in runs})

    data = distinct(
        lambda run: (
            f"{run.summary['dataset']['name']}, {run.summary['n_train']:,} training images of"
            f" {run.summary['dataset']['image_size']}x{run.summary['dataset']['image_size']}"
        )
    )
    seeds = sorted(len(arm.runs) for arm in arms)
    parts = [" / ".join(data), span(seeds, "seed"), span(distinct(lambda run: run.summary["steps"]), "step")]
    return " · ".join([*parts, *flags(runs)])


def flags(runs: list[Run]) -> list[str]:
    """How many runs are unfinished, diverged, at chance; nothing of what none is."""
    counts = {
        "unfinished": sum(not run.finished for run in runs),
        "diverged": sum(run.status == "diverged" for run in runs),
        "at chance": sum(run.at_chance for run in runs),
    }
    return [f"{count} of {len(runs)} runs {what}" for what, count in counts.items() if count]
