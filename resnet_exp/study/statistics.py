"""Means, intervals and verdicts over seeds. Pure numbers: reads no files. The intervals are scipy's.

Errors are in %, and so are their means, standard deviations, intervals and differences. In every difference the first
arm is the shallower and the second the deeper one, so above 0 is degradation.

Values that are all equal leave the spread unknown and no interval defined: errors come in steps of one image (0.01 % of
10,000), so a few equal ones leave any spread below that step open, and a run counted twice looks the same.
"""

import math
import statistics
import warnings
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from scipy import stats

CONFIDENCE = 0.95  # of every interval; each test is two-sided at 1 - CONFIDENCE
MARGIN = 1.0  # points of %; a difference within it is none that matters here: plain nets degrade by many
RESAMPLES = 9999  # of a bootstrap, always drawn alike
POWER = 0.80  # probability of finding a difference that is there: Cohen's convention (1988)
SEEDS_LIMIT = 10_000  # per arm; a difference that needs more is none that anybody will measure
NONCENTRALITY_LIMIT = 1e3  # the power is 1.0 in double precision here; scipy's noncentral t is nan from about 1e10
ROUNDING = 1e-12  # points of %; values up to 100 that differ by less are equal but for rounding


@dataclass(frozen=True)
class Estimate:
    """The mean of one arm over its seeds in %; `sd` with n - 1; `low` to `high` the interval of the mean, not of a run.

    With one seed, which says nothing about the spread, these three are None. Of equal values `sd` is 0 and there is no
    interval.
    """

    values: tuple[float, ...]
    mean: float
    sd: float | None
    low: float | None
    high: float | None

    @property
    def n(self) -> int:
        return len(self.values)


@dataclass(frozen=True)
class Difference:
    """Deeper minus shallower in %, `low` to `high` its interval, `t` on `df` degrees of freedom.

    `seeds_needed` is per arm, and only known of independent seeds. What too few seeds, or equal values, leave unknown
    is None.
    """

    value: float
    low: float | None
    high: float | None
    t: float | None
    df: float | None
    paired: bool
    seeds_needed: int | None


class Verdict(StrEnum):
    """What depth does to the error, as far as the seeds tell."""

    DEGRADES = "degrades"
    IMPROVES = "improves"
    NO_DEGRADATION = "no degradation"
    INCONCLUSIVE = "inconclusive"


def all_equal(values: Sequence[float]) -> bool:
    """Whether the values, in %, differ by no more than their rounding."""
    largest = max(abs(value) for value in values)
    return max(values) - min(values) <= ROUNDING * max(1.0, largest / 100)


def estimate(values: Sequence[float]) -> Estimate:
    """The mean of `values` in %, one per seed, with its t-interval.

    Raises:
        ValueError: there are no values, or one is not finite.
    """
    numbers = tuple(float(value) for value in values)
    if not numbers:
        raise ValueError("no values: a mean is over at least one run")
    for number in numbers:
        if not math.isfinite(number):
            raise ValueError(f"{number} among the {len(numbers)} values: not a finite number")
    mean = statistics.mean(numbers)  # sums exactly: of equal values it is that value
    if len(numbers) == 1:
        return Estimate(numbers, mean, None, None, None)
    if all_equal(numbers):
        return Estimate(numbers, mean, 0.0, None, None)
    sd = statistics.stdev(numbers)
    low, high = stats.t.interval(CONFIDENCE, len(numbers) - 1, loc=mean, scale=sd / math.sqrt(len(numbers)))
    return Estimate(numbers, mean, sd, float(low), float(high))


def standard_error(sds: tuple[float, float], *, ns: tuple[int, int]) -> tuple[float, float]:
    """Standard error of a difference of two means in %, and its Welch-Satterthwaite degrees of freedom. [Welch 1947]

    One of `sds` is above 0.
    """
    errors = [sd / math.sqrt(n) for sd, n in zip(sds, ns, strict=True)]
    error = math.hypot(*errors)
    # as shares of the whole, since fourth powers of a small spread underflow
    return error, 1 / sum((part / error) ** 4 / (n - 1) for part, n in zip(errors, ns, strict=True))


def seeds_needed(first: Estimate, second: Estimate, *, power: float = POWER) -> int | None:
    """Seeds per arm with which Welch's test finds a difference of the observed size with probability `power`.

    Finds: significant, and with the right sign. By the noncentral t, with both sds as observed, equal n and the
    Welch-Satterthwaite degrees of freedom at that n. An order of magnitude, as size and spread are themselves from few
    seeds: after a significant result it tends to be too low. And the test estimates its degrees of freedom, which costs
    power that this leaves out: of 0.80 there are 0.48 left at n = 2, 0.70 at 3, 0.76 at 4 and 0.79 at 8 (equal sds,
    simulated), so 2 to 4 mean "few".

    None if it cannot be known (one seed in an arm, or no spread in either), if there is no difference to find, or above
    SEEDS_LIMIT.

    Raises:
        ValueError: power is not between 0 and 1.
    """
    if not 0 < power < 1:
        raise ValueError(f"power={power}: a probability between 0 and 1, both excluded")
    value = abs(second.mean - first.mean)
    if first.sd is None or second.sd is None or value == 0 or first.sd == second.sd == 0:
        return None
    sds = (first.sd, second.sd)

    def suffices(n: int) -> bool:
        error, df = standard_error(sds, ns=(n, n))
        critical = stats.t.ppf((1 + CONFIDENCE) / 2, df)
        return float(stats.nct.sf(critical, df, min(value / error, NONCENTRALITY_LIMIT))) >= power

    candidates = range(2, SEEDS_LIMIT + 1)
    found = bisect_left(candidates, True, key=suffices)  # the power only rises with n
    return candidates[found] if found < len(candidates) else None


def welch(first: Estimate, second: Estimate) -> Difference:
    """Second minus first over independent seeds, the arms' spreads and sizes unequal.

    The value alone with one seed in an arm, or if neither arm has any spread. [Welch 1947]
    """
    value = second.mean - first.mean
    if first.sd is None or second.sd is None or first.sd == second.sd == 0:
        return Difference(value, None, None, None, None, paired=False, seeds_needed=None)
    with warnings.catch_warnings():
        # An arm without spread has a variance of 0, and that is exact.
        warnings.filterwarnings("ignore", "Precision loss occurred", RuntimeWarning)
        test = stats.ttest_ind(second.values, first.values, equal_var=False)
    interval = test.confidence_interval(CONFIDENCE)
    return Difference(
        value,
        float(interval.low),
        float(interval.high),
        float(test.statistic),
        float(test.df),
        paired=False,
        seeds_needed=seeds_needed(first, second),
    )


def paired(first: Mapping[int, float], second: Mapping[int, float]) -> Difference | None:
    """Second minus first, error in % by seed, over the seeds that both have; None if fewer than two match.

    Narrower than Welch's interval only if a seed does the same to both arms. The value alone if all differences are
    equal.

    Raises:
        ValueError: an error of a shared seed is not finite.
    """
    shared = sorted(first.keys() & second.keys())
    if len(shared) < 2:
        return None
    over = estimate([second[seed] - first[seed] for seed in shared])
    if over.low is None:
        return Difference(over.mean, None, None, None, None, paired=True, seeds_needed=None)
    test = stats.ttest_rel([second[seed] for seed in shared], [first[seed] for seed in shared])
    interval = test.confidence_interval(CONFIDENCE)
    return Difference(
        over.mean,
        float(interval.low),
        float(interval.high),
        float(test.statistic),
        float(test.df),
        paired=True,
        seeds_needed=None,
    )


def bootstrap(first: Estimate, second: Estimate) -> tuple[float, float] | None:
    """The interval of the difference that resampling the seeds of each arm gives.

    None with one seed in an arm, or if neither arm has any spread: then every resample gives the same difference.

    It asks for no distribution, but of few seeds it is too narrow: resamples hold none but the values that are there.
    Percentiles over RESAMPLES, each arm by itself, as Agarwal et al. take them (arXiv 2108.13264, section 4).
    """
    if first.sd is None or second.sd is None or first.sd == second.sd == 0:
        return None

    def difference(one: Any, other: Any, axis: int) -> Any:
        return other.mean(axis=axis) - one.mean(axis=axis)

    drawn = stats.bootstrap(
        (first.values, second.values),
        difference,
        n_resamples=RESAMPLES,
        confidence_level=CONFIDENCE,
        method="percentile",
        vectorized=True,
        rng=0,
    )
    return float(drawn.confidence_interval.low), float(drawn.confidence_interval.high)


def probability_worse(first: Estimate, second: Estimate) -> float | None:
    """How probable it is that a run of the second arm ends with the higher error; None with one seed in an arm.

    Over all pairs of their seeds, equal errors counted half: Mann and Whitney's U over the number of pairs, which
    Agarwal et al. call the probability of improvement (arXiv 2108.13264, section 4.3).
    """
    if first.n < 2 or second.n < 2:
        return None
    wins = sum((b > a) + (b == a) / 2 for a in first.values for b in second.values)
    return wins / (first.n * second.n)


def judge(difference: Difference, *, margin: float = MARGIN) -> Verdict:
    """What the interval says of depth.

    Improves if all of it lies below 0; no degradation if all of it lies within `margin` of 0; else degrades if all of
    it lies above 0. Inconclusive if it holds 0 and reaches over the margin, or if there is none: these seeds cannot
    tell.

    Within the margin: both one-sided tests, that the difference is below the margin and that it is above its negative,
    hold at (1 - CONFIDENCE) / 2 each (Schuirmann 1987).

    Args:
        margin: points of % below which a difference does not matter; 0: there is none.
    """
    low, high = difference.low, difference.high
    if low is None or high is None:
        return Verdict.INCONCLUSIVE
    if high < 0:
        return Verdict.IMPROVES
    if -margin < low and high < margin:
        return Verdict.NO_DEGRADATION
    return Verdict.DEGRADES if low > 0 else Verdict.INCONCLUSIVE
