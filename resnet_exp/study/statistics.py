"""Means, intervals and verdicts over seeds. Pure numbers: reads no files, knows no torch.

Errors are in %, and so are their means, standard deviations, intervals and differences. In every difference the first
net is the shallower and the second the deeper one, so above 0 is degradation. Student's t and its noncentral
form are scipy's.
"""

import math
import statistics
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from scipy import stats

CONFIDENCE = 0.95  # of every interval; each test is two-sided at 1 - CONFIDENCE
POWER = 0.80  # probability of finding a difference that is there: Cohen's convention (1988)
SEEDS_LIMIT = 10_000  # per arm; a difference that needs more is none that anybody will measure
NONCENTRALITY_LIMIT = 1e3  # the power is 1.0 in double precision here; scipy's noncentral t is nan from about 1e10


@dataclass(frozen=True)
class Estimate:
    """The mean of one net over `n` seeds in %; `sd` with n - 1; `low` to `high` the interval of the mean, not of a run.

    With one seed, which says nothing about the spread, these three are None.
    """

    mean: float
    sd: float | None
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True)
class Difference:
    """Deeper minus shallower in %, `low` to `high` its interval, `t` on `df` degrees of freedom.

    `seeds_needed` is per arm, and only known of independent seeds. What too few seeds leave unknown is None.
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
    INCONCLUSIVE = "inconclusive"


def critical_t(df: float) -> float:
    """Student's t that is exceeded, on either side, with probability 1 - CONFIDENCE."""
    return float(stats.t.ppf((1 + CONFIDENCE) / 2, df))


def t_ratio(value: float, *, error: float) -> float:
    """`value` in standard errors; without any spread ±inf, or 0 if there is no difference either."""
    if error == 0:
        return math.copysign(math.inf, value) if value else 0.0
    return value / error


def standard_error(sds: tuple[float, float], *, ns: tuple[int, int]) -> tuple[float, float | None]:
    """Standard error of a difference of two means in %, and its Welch-Satterthwaite degrees of freedom.

    The degrees of freedom are None if neither arm has any spread: the formula is 0/0 there. [Welch 1947]
    """
    errors = [sd / math.sqrt(n) for sd, n in zip(sds, ns, strict=True)]
    error = math.hypot(*errors)
    if error == 0:
        return 0.0, None
    # as shares of the whole, since fourth powers of a small spread underflow
    return error, 1 / sum((part / error) ** 4 / (n - 1) for part, n in zip(errors, ns, strict=True))


def estimate_from(*, mean: float, sd: float | None, n: int) -> Estimate:
    """An estimate from moments in %, as papers print them: mean ± sd over n runs, sd taken as that with n - 1.

    Raises:
        ValueError: n is below 1, a moment is not finite, sd is negative, or sd is missing with several runs or given
            with one.
    """
    if n < 1:
        raise ValueError(f"n={n}: a mean is over at least one run")
    if not math.isfinite(mean):
        raise ValueError(f"mean={mean}: not a finite number")
    if (sd is None) != (n == 1):
        raise ValueError(f"sd={sd} with n={n}: one run has no sd (None), several have one")
    if sd is None:
        return Estimate(mean, None, None, None, n)
    if not math.isfinite(sd) or sd < 0:
        raise ValueError(f"sd={sd}: neither 0 nor a finite number above")
    margin = critical_t(n - 1) * sd / math.sqrt(n)
    return Estimate(mean, sd, mean - margin, mean + margin, n)


def estimate(values: Sequence[float]) -> Estimate:
    """The mean of `values` in %, one per seed, with its t-interval; of equal values sd and width are 0.

    Raises:
        ValueError: there are no values, or one is not finite.
    """
    numbers = [float(value) for value in values]
    if not numbers:
        raise ValueError("no values: a mean is over at least one run")
    for number in numbers:
        if not math.isfinite(number):
            raise ValueError(f"{number} among the {len(numbers)} values: not a finite number")
    # `statistics` sums exactly: equal values have sd 0, where floating point leaves 1e-17 and a t of 1e15
    sd = statistics.stdev(numbers) if len(numbers) > 1 else None
    return estimate_from(mean=statistics.mean(numbers), sd=sd, n=len(numbers))


def seeds_needed(first: Estimate, second: Estimate, *, power: float = POWER) -> int | None:
    """Seeds per arm with which Welch's test finds a difference of the observed size with probability `power`.

    Finds: significant, and with the right sign. By the noncentral t, with both sds as observed, equal n and the
    Welch-Satterthwaite degrees of freedom at that n. An order of magnitude, as size and spread are themselves from few
    seeds: after a significant result it tends to be too low. And the test estimates its degrees of freedom, which costs
    power that this leaves out: of 0.80 there are 0.48 left at n = 2, 0.70 at 3, 0.76 at 4 and 0.79 at 8 (equal sds,
    simulated), so 2 to 4 mean "few".

    None if it cannot be known (one seed in an arm), if there is no difference to find, or above SEEDS_LIMIT.
    Without any spread it is 2, the fewest that show so.

    Raises:
        ValueError: power is not between 0 and 1.
    """
    if not 0 < power < 1:
        raise ValueError(f"power={power}: a probability between 0 and 1, both excluded")
    value = abs(second.mean - first.mean)
    if first.sd is None or second.sd is None or value == 0:
        return None
    sds = (first.sd, second.sd)

    def suffices(n: int) -> bool:
        error, df = standard_error(sds, ns=(n, n))
        if df is None:
            return True
        noncentrality = min(value / error, NONCENTRALITY_LIMIT)
        return float(stats.nct.sf(critical_t(df), df, noncentrality)) >= power

    candidates = range(2, SEEDS_LIMIT + 1)
    found = bisect_left(candidates, True, key=suffices)  # the power only rises with n
    return candidates[found] if found < len(candidates) else None


def welch(first: Estimate, second: Estimate) -> Difference:
    """Second minus first over independent seeds, the arms' spreads and sizes unequal; the value alone with one seed.

    If no arm has any spread, the interval has width 0, t is ±inf (0 without a difference) and df None. That is all
    the numbers say, not certainty: errors come in steps of one image (0.01 % of 10,000), so a few equal ones leave a
    spread below that step open, and a run counted twice looks the same.
    """
    value = second.mean - first.mean
    if first.sd is None or second.sd is None:
        return Difference(value, None, None, None, None, paired=False, seeds_needed=None)
    error, df = standard_error((first.sd, second.sd), ns=(first.n, second.n))
    margin = 0.0 if df is None else critical_t(df) * error
    return Difference(
        value,
        value - margin,
        value + margin,
        t_ratio(value, error=error),
        df,
        paired=False,
        seeds_needed=seeds_needed(first, second),
    )


def paired(first: Mapping[int, float], second: Mapping[int, float]) -> Difference | None:
    """Second minus first, error in % by seed, over the seeds that both have; None if fewer than two match.

    Narrower than Welch's interval only if a seed does the same to both nets. Equal differences have an interval of
    width 0, to be read as in `welch`.

    Raises:
        ValueError: an error of a shared seed is not finite.
    """
    shared = sorted(first.keys() & second.keys())
    if len(shared) < 2:
        return None
    over = estimate([second[seed] - first[seed] for seed in shared])
    assert over.sd is not None  # of two values or more
    t = t_ratio(over.mean, error=over.sd / math.sqrt(over.n))
    return Difference(over.mean, over.low, over.high, t, float(over.n - 1), paired=True, seeds_needed=None)


def judge(difference: Difference) -> Verdict:
    """Degrades if the whole interval lies above 0, improves if below; inconclusive if it touches 0 or there is none.

    Inconclusive is not "no difference": these seeds cannot tell.
    """
    if difference.low is not None and difference.low > 0:
        return Verdict.DEGRADES
    if difference.high is not None and difference.high < 0:
        return Verdict.IMPROVES
    return Verdict.INCONCLUSIVE
