"""Ratios over the seeds of a net: their mean is geometric, their interval that of the logarithms.

So it does not matter which of two sizes stands above the other: both ways say the same, and no bound is below zero.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from resnet_exp.study.statistics import estimate
from resnet_exp.text import counted

MILLION = 1e6
WRITTEN_OUT = 1e-4, 1e9  # beyond, a number is written with its power of ten


def ratio(above: float, below: float) -> float:
    """NaN where one is zero or not finite."""
    return above / below if above > 0 and below > 0 and math.isfinite(above) and math.isfinite(below) else math.nan


def by_seed(above: Mapping[int, float], below: Mapping[int, float]) -> list[float]:
    """The ratio of two numbers for every seed that has both, in order of the seeds."""
    return [ratio(above[seed], below[seed]) for seed in sorted(above.keys() & below.keys())]


def number(value: float) -> str:
    """A positive one, to two figures: `88 million`, `17,000`, `43`, `1.2`, `0.0086`, `3.1e-09`."""
    if not WRITTEN_OUT[0] <= value < WRITTEN_OUT[1]:
        return f"{value:.1e}"
    if value >= MILLION:
        return f"{number(value / MILLION)} million"
    rounded = float(f"{value:.2g}")
    return f"{rounded:,.0f}" if rounded >= 10 else f"{rounded:.{1 - math.floor(math.log10(rounded))}f}"


def times(value: float) -> str:
    """How many times as large a thing is: to two places, from a hundred on to two figures: `0.72`, `17,000`."""
    return number(value) if value >= 100 else f"{value:.2f}"


@dataclass(frozen=True)
class Over:
    """A ratio over seeds.

    Args:
        mean: the geometric one.
        low, high: its 95 % interval; None with one seed, or where all are equal.
        n: of how many seeds.
        text: how the mean is written.
        known: `95 % interval 1,000 to 1,400, 3 seeds`.
    """

    mean: float
    low: float | None
    high: float | None
    n: int
    text: str
    known: str


def over_seeds(ratios: Sequence[float], *, form: Callable[[float], str] = number) -> Over | None:
    """The mean of those that are finite and above zero, and how many that are; None if none is."""
    logs = [math.log(value) for value in ratios if math.isfinite(value) and value > 0]
    if not logs:
        return None
    over = estimate(logs)
    mean = math.exp(over.mean)
    low, high = (None if log is None else math.exp(log) for log in (over.low, over.high))
    interval = "" if low is None or high is None else f"95 % interval {form(low)} to {form(high)}, "
    told = f"{over.n} of " if over.n < len(ratios) else ""
    return Over(mean, low, high, over.n, form(mean), f"{interval}{told}{counted(len(ratios), 'seed')}")
