"""Means, intervals, seeds needed and verdicts: scipy's, hand-computed and published numbers."""

import itertools
import math
import sys

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from resnet_exp.study.statistics import (
    SEEDS_LIMIT,
    Difference,
    Estimate,
    Verdict,
    bootstrap,
    estimate,
    judge,
    paired,
    probability_worse,
    seeds_needed,
    welch,
)

# Student 1908, "The probable error of a mean": hours of sleep that two drugs gave the same ten patients
DRUG_1 = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
DRUG_2 = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]

UNIT = [value / math.sqrt(2.5) for value in (-2, -1, 0, 1, 2)]  # five values of mean 0 and standard deviation 1


def five(*, mean: float, sd: float) -> Estimate:
    """Of five values with this mean and standard deviation, as papers print them."""
    return estimate([mean + sd * unit for unit in UNIT])


# test errors in %, over 5 runs: two nets that differ beyond doubt, then two that may not
PLAIN_20 = five(mean=9.78, sd=0.13)
PLAIN_56 = five(mean=12.95, sd=0.22)
SD_OF_T_170 = 0.26 / 1.70 * math.sqrt(5 / 2)  # 0.242: of both arms, with which a difference of -0.26 is t = -1.70
RESNET_56 = five(mean=7.40, sd=SD_OF_T_170)
RESNET_110 = five(mean=7.14, sd=SD_OF_T_170)


def samples(rng: np.random.Generator, n: int) -> NDArray[np.float64]:
    """`n` errors in % around a mean and with a spread that vary widely from call to call."""
    return rng.normal(rng.uniform(0, 30), 10 ** rng.uniform(-3, 1), n)


def test_an_estimate_is_scipys_t_interval() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        values = samples(rng, int(rng.integers(2, 40)))
        low, high = stats.t.interval(0.95, len(values) - 1, loc=values.mean(), scale=stats.sem(values))
        got = estimate(values.tolist())
        expected = (values.mean(), values.std(ddof=1), low, high)
        assert (got.mean, got.sd, got.low, got.high) == pytest.approx(expected, rel=1e-9)
        assert got.n == len(values)
        assert got.values == tuple(values)


def test_one_value_has_no_spread_to_speak_of() -> None:
    assert estimate([8.75]) == Estimate((8.75,), 8.75, None, None, None)
    assert estimate([8.75]).n == 1


@pytest.mark.parametrize("value", [0.1, 7.14, 90.0])
@pytest.mark.parametrize("n", [2, 3, 7, 10])
def test_equal_values_have_no_spread_and_no_interval(value: float, n: int) -> None:
    equal = (value,) * n
    assert estimate(equal) == Estimate(equal, value, 0.0, None, None)  # exactly: 0.1 * 3 / 3 is not 0.1


def test_values_that_differ_by_their_rounding_are_equal() -> None:
    got = estimate([0.1 + 0.2, 0.3, 0.3])
    assert (got.sd, got.low, got.high) == (0.0, None, None)
    apart = estimate([0.3 + 1e-9, 0.3])
    assert apart.sd == pytest.approx(1e-9 / math.sqrt(2))
    assert apart.low is not None


@pytest.mark.parametrize(
    ("values", "message"), [([], "no values"), ([7.1, math.nan], "nan among"), ([math.inf], "inf among")]
)
def test_an_estimate_refuses_what_has_no_mean(values: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        estimate(values)


def test_welch_is_scipys() -> None:
    rng = np.random.default_rng(1)
    for _ in range(200):
        first, second = (samples(rng, int(rng.integers(2, 20))) for _ in range(2))
        test = stats.ttest_ind(second, first, equal_var=False)
        interval = test.confidence_interval()
        got = welch(estimate(first.tolist()), estimate(second.tolist()))
        assert (got.value, got.low, got.high, got.t, got.df) == pytest.approx(
            (second.mean() - first.mean(), interval.low, interval.high, test.statistic, test.df), rel=1e-8
        )
        assert (judge(got, margin=0) is not Verdict.INCONCLUSIVE) == (test.pvalue < 0.05)
        assert not got.paired


def test_paired_is_scipys_over_the_shared_seeds() -> None:
    rng = np.random.default_rng(2)
    for _ in range(200):
        n = int(rng.integers(2, 20))
        first, second = samples(rng, n), samples(rng, n)
        test = stats.ttest_rel(second, first)
        interval = test.confidence_interval()
        seeds = rng.permutation(100)[: n + 2].tolist()
        got = paired(
            dict(zip(seeds, [*first.tolist(), 50.0], strict=False)),  # one seed that only the first net has
            dict(reversed([*zip(seeds, second.tolist(), strict=False), (seeds[-1], 0.0)])),  # one only the second has
        )
        assert got is not None
        assert (got.value, got.low, got.high, got.t, got.df) == pytest.approx(
            ((second - first).mean(), interval.low, interval.high, test.statistic, n - 1), rel=1e-8
        )
        assert got.paired


def test_welch_on_students_sleep_data() -> None:
    # means 0.75 and 2.33; variances 28.805 / 9 = 3.200556 and 36.081 / 9 = 4.009000
    # se^2 = 0.3200556 + 0.4009000 = 0.7209556, se = 0.849091, t = 1.58 / 0.849091 = 1.8608
    # df = 0.7209556^2 / (0.3200556^2 / 9 + 0.4009000^2 / 9) = 0.519777 / 0.0292397 = 17.776
    # t(0.975, 17.776) = 2.10282: 1.58 ± 2.10282 * 0.849091 = 1.58 ± 1.78548
    got = welch(estimate(DRUG_1), estimate(DRUG_2))
    assert got.value == pytest.approx(1.58)
    assert got.t == pytest.approx(1.8608, abs=5e-5)
    assert got.df == pytest.approx(17.776, abs=5e-4)
    assert (got.low, got.high) == pytest.approx((-0.2055, 3.3655), abs=5e-5)
    assert judge(got) is Verdict.INCONCLUSIVE


def test_pairing_decides_students_sleep_data() -> None:
    # differences 1.2 2.4 1.3 1.3 0.0 1.0 1.8 0.8 4.6 1.4: sum 15.8, squares 38.58, 38.58 - 15.8^2 / 10 = 13.616
    # sd = sqrt(13.616 / 9) = 1.2300, t = 1.58 / (1.2300 / sqrt(10)) = 4.062, and 1.58 ± 2.262157 * 0.388959
    differences = estimate([second - first for first, second in zip(DRUG_1, DRUG_2, strict=True)])
    assert differences.sd == pytest.approx(1.2300, abs=5e-5)
    got = paired(dict(enumerate(DRUG_1)), dict(enumerate(DRUG_2)))
    assert got is not None
    assert (got.value, got.t, got.df) == pytest.approx((1.58, 4.0621, 9), abs=5e-5)
    assert (got.low, got.high) == pytest.approx((0.7001, 2.4599), abs=5e-5)
    assert judge(got) is Verdict.DEGRADES


def test_a_deeper_plain_net_degrades() -> None:
    # t = 3.17 / sqrt((0.13^2 + 0.22^2) / 5) = 3.17 / 0.114280 = 27.74
    got = welch(PLAIN_20, PLAIN_56)
    assert (got.value, got.t, got.df) == pytest.approx((3.17, 27.739, 6.490), abs=5e-4)
    assert (got.low, got.high) == pytest.approx((2.895, 3.445), abs=5e-4)
    assert got.seeds_needed == 2
    assert judge(got) is Verdict.DEGRADES


def test_five_seeds_cannot_tell_resnet_56_from_110() -> None:
    got = welch(RESNET_56, RESNET_110)
    assert (got.value, got.t, got.df) == pytest.approx((-0.26, -1.70, 8))
    assert (got.low, got.high) == pytest.approx((-0.613, 0.093), abs=5e-4)  # 0.26 / 1.70 * t(0.975, 8) = 0.353
    assert got.seeds_needed == 15
    assert judge(got, margin=0.5) is Verdict.INCONCLUSIVE
    assert judge(got, margin=1.0) is Verdict.NO_DEGRADATION  # whatever it is, it is less than a point


def test_a_deeper_residual_net_improves() -> None:
    got = welch(estimate([8.7, 8.8, 8.6, 8.75, 8.7]), estimate([7.2, 7.1, 7.3, 7.25, 7.1]))
    assert got.high is not None
    assert got.value < got.high < 0
    assert judge(got) is Verdict.IMPROVES


@pytest.mark.parametrize(
    ("first", "second"), [([9.8], [13.0, 12.9]), ([9.8, 9.7], [13.0]), ([9.8], [13.0]), ([13.0], [1.0])]
)
def test_one_seed_is_inconclusive_and_keeps_what_was_seen(first: list[float], second: list[float]) -> None:
    got = welch(estimate(first), estimate(second))
    assert got.value == pytest.approx(np.mean(second) - np.mean(first))
    assert (got.low, got.high, got.t, got.df, got.seeds_needed) == (None, None, None, None, None)
    assert judge(got) is Verdict.INCONCLUSIVE


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (1e-9, 2.0, Verdict.DEGRADES),
        (1e-9, 1.0, Verdict.DEGRADES),  # reaches the margin
        (1e-9, 0.99, Verdict.NO_DEGRADATION),  # more than none, and less than matters
        (-0.99, 0.99, Verdict.NO_DEGRADATION),
        (-0.5, 0.0, Verdict.NO_DEGRADATION),
        (0.0, 0.0, Verdict.NO_DEGRADATION),
        (0.0, 2.0, Verdict.INCONCLUSIVE),  # touches 0
        (-1.0, 0.5, Verdict.INCONCLUSIVE),  # reaches the margin
        (-0.5, 1.0, Verdict.INCONCLUSIVE),
        (-2.0, 0.0, Verdict.INCONCLUSIVE),
        (-2.0, -1e-9, Verdict.IMPROVES),
        (-0.5, -1e-9, Verdict.IMPROVES),  # better is better, however little
        (None, None, Verdict.INCONCLUSIVE),
    ],
)
def test_a_verdict_needs_the_whole_interval(low: float | None, high: float | None, verdict: Verdict) -> None:
    difference = Difference(1.0, low, high, t=None, df=None, paired=False, seeds_needed=None)
    assert judge(difference, margin=1.0) is judge(difference) is verdict


def test_within_the_margin_are_two_one_sided_tests() -> None:
    rng = np.random.default_rng(6)
    seen = set()
    for _ in range(200):
        first, second = (samples(rng, int(rng.integers(2, 20))) for _ in range(2))
        margin = float(rng.uniform(0, 3))
        below = stats.ttest_ind(second - margin, first, equal_var=False, alternative="less").pvalue
        above = stats.ttest_ind(second + margin, first, equal_var=False, alternative="greater").pvalue
        got = judge(welch(estimate(first.tolist()), estimate(second.tolist())), margin=margin)
        assert max(below, above) >= 0.025 or got in (Verdict.NO_DEGRADATION, Verdict.IMPROVES)
        assert max(below, above) < 0.025 or got is not Verdict.NO_DEGRADATION
        seen.add(got)
    assert seen == set(Verdict)


def test_the_order_of_the_nets_is_only_a_sign() -> None:
    rng = np.random.default_rng(3)
    opposite = {Verdict.DEGRADES: Verdict.IMPROVES, Verdict.IMPROVES: Verdict.DEGRADES}
    seen = set()
    for _ in range(200):
        first, second = (estimate(rng.normal(mean, 1.0, 5).tolist()) for mean in (8.0, rng.uniform(5, 11)))
        one, other = welch(first, second), welch(second, first)
        assert one.low is not None
        assert one.high is not None
        assert (other.value, other.low, other.high) == pytest.approx((-one.value, -one.high, -one.low), rel=1e-12)
        assert other.seeds_needed == one.seeds_needed
        assert judge(other, margin=0) is opposite.get(judge(one, margin=0), Verdict.INCONCLUSIVE)
        seen.add(judge(one, margin=0))
    assert seen == {*opposite, Verdict.INCONCLUSIVE}


@pytest.mark.parametrize(("first", "second"), [({0: 9.0}, {0: 9.5}), ({0: 9.0, 1: 9.1}, {1: 9.2, 2: 9.3}), ({}, {})])
def test_fewer_than_two_shared_seeds_are_no_pairs(first: dict[int, float], second: dict[int, float]) -> None:
    assert paired(first, second) is None


def test_only_a_shared_seed_must_be_finite() -> None:
    first, second = {0: 9.0, 1: 9.1, 2: math.nan}, {0: 9.2, 1: 9.5}
    assert paired(first, second) is not None
    with pytest.raises(ValueError, match="nan"):
        paired(first, {**second, 2: 9.0})


@pytest.mark.parametrize("second", [9.0, 7.0, 8.0, 8.01])
def test_no_spread_at_all_is_inconclusive(second: float) -> None:
    value = second - 8.0
    got = welch(estimate([8.0] * 3), estimate([second] * 2))
    assert got == Difference(value, None, None, None, None, paired=False, seeds_needed=None)
    assert judge(got) is Verdict.INCONCLUSIVE
    together = paired({0: 8.0, 1: 8.5, 2: 8.25}, {0: second, 1: second + 0.5, 2: second + 0.25})
    assert together == Difference(pytest.approx(value), None, None, None, None, paired=True, seeds_needed=None)
    assert judge(together) is Verdict.INCONCLUSIVE


def test_pairs_that_differ_by_the_same_but_for_rounding_have_no_interval() -> None:
    assert 90.2 - 90.1 != 10.2 - 10.1 != 0.2 - 0.1
    got = paired({0: 90.1, 1: 10.1, 2: 0.1}, {0: 90.2, 1: 10.2, 2: 0.2})
    assert got == Difference(pytest.approx(0.1), None, None, None, None, paired=True, seeds_needed=None)


def test_no_spread_in_one_arm_leaves_the_other_arms_test() -> None:
    values = [9.1, 9.4, 9.3, 9.7]
    got = welch(estimate([9.0] * 6), estimate(values))
    interval = stats.ttest_1samp(values, 9.0).confidence_interval()  # the constant arm adds neither error nor df
    assert got.df == pytest.approx(3)
    assert (got.low, got.high) == pytest.approx((interval.low - 9.0, interval.high - 9.0))


@pytest.mark.parametrize("spread", [1e-4, 1e-8, 1e-12])
def test_next_to_no_spread_is_no_trouble(spread: float) -> None:
    got = welch(five(mean=8.0, sd=spread), five(mean=9.0, sd=spread))
    assert got.df == pytest.approx(8, rel=1e-4)
    assert got.seeds_needed == 2
    assert judge(got) is Verdict.DEGRADES


@pytest.mark.parametrize("spread", [1e-14, 1e-100, 1e-300])
def test_a_spread_below_the_rounding_is_none(spread: float) -> None:
    got = welch(five(mean=8.0, sd=spread), five(mean=9.0, sd=spread))
    assert (got.low, got.high, got.t, got.seeds_needed) == (None, None, None, None)
    assert judge(got) is Verdict.INCONCLUSIVE


def arms(value: float, *, sds: tuple[float, float] = (1.0, 1.0)) -> tuple[Estimate, Estimate]:
    return five(mean=10.0, sd=sds[0]), five(mean=10.0 + value, sd=sds[1])


@pytest.mark.parametrize(
    ("effect", "power", "n"),
    [(0.2, 0.80, 394), (0.5, 0.80, 64), (0.8, 0.80, 26), (1.0, 0.80, 17), (0.5, 0.90, 86), (0.5, 0.95, 105)],
)
def test_seeds_needed_are_the_tabled_ones(effect: float, power: float, n: int) -> None:
    # two-sided 5 %, equal sds, the difference in sds: Cohen 1992, "A power primer", has 393, 64 and 26 at 0.80 for a
    # small, medium and large one (393.4 are 394 whole ones)
    assert seeds_needed(*arms(effect), power=power) == n
    assert seeds_needed(*arms(-effect), power=power) == n


def rejections(arms: tuple[Estimate, Estimate], n: int, *, rng: np.random.Generator, draws: int = 40_000) -> float:
    """The share of `draws` experiments of `n` seeds per arm in which Welch's test finds the difference."""
    first, second = (rng.normal(arm.mean, arm.sd, (draws, n)) for arm in arms)
    test = stats.ttest_ind(second, first, axis=1, equal_var=False)
    right_sign = test.statistic * (arms[1].mean - arms[0].mean) > 0
    return float(np.mean((test.pvalue < 0.05) & right_sign))


@pytest.mark.parametrize(
    "observed",
    [(RESNET_56, RESNET_110), arms(1.0, sds=(1.0, 0.1)), arms(0.9), arms(0.8, sds=(0.4, 1.1))],
    ids=["resnet", "one-wide", "equal", "unequal"],
)
def test_with_the_seeds_needed_four_experiments_in_five_find_it(observed: tuple[Estimate, Estimate]) -> None:
    n = seeds_needed(*observed)
    assert n is not None
    rng = np.random.default_rng(4)
    assert 0.795 < rejections(observed, n, rng=rng) < 0.825  # one standard error of the share is 0.002
    assert rejections(observed, n - 1, rng=rng) < 0.795


def test_the_search_finds_the_smallest() -> None:
    rng = np.random.default_rng(5)
    n = np.arange(2, 2_000)
    for _ in range(20):
        value, (a, b), power = rng.uniform(0.2, 3), rng.uniform(0.1, 1.5, 2), rng.uniform(0.3, 0.99)
        df = (n - 1) * (a**2 + b**2) ** 2 / (a**4 + b**4)
        powers = stats.nct.sf(stats.t.ppf(0.975, df), df, value / np.sqrt((a**2 + b**2) / n))
        assert seeds_needed(*arms(value, sds=(a, b)), power=power) == n[np.argmax(powers >= power)]


def test_seeds_needed_ends_somewhere() -> None:
    assert SEEDS_LIMIT == 10_000
    # 2 (1.95996 + 0.84162)^2 / n = effect^2, the normal distribution's formula, gives 0.03962 at n = 10,000
    needed = seeds_needed(*arms(0.03963))
    assert needed is not None
    assert 9_990 < needed <= SEEDS_LIMIT
    assert seeds_needed(*arms(0.0396)) is None
    assert seeds_needed(*arms(sys.float_info.epsilon * 100)) is None


def test_seeds_needed_of_what_cannot_be_known() -> None:
    one, several = estimate([9.0]), five(mean=8.0, sd=0.2)
    assert seeds_needed(one, several) is None
    assert seeds_needed(several, one) is None
    assert seeds_needed(several, several) is None  # no difference to find
    assert welch(several, several).seeds_needed is None
    assert seeds_needed(estimate([8.0, 8.0]), estimate([9.0, 9.0])) is None  # no spread to compare it with


@pytest.mark.parametrize("power", [0.0, 1.0, 80.0, math.nan])
def test_a_power_is_a_probability(power: float) -> None:
    with pytest.raises(ValueError, match=f"power={power}"):
        seeds_needed(*arms(1.0), power=power)


def test_a_verdict_prints_as_its_word() -> None:
    assert [f"{verdict}" for verdict in Verdict] == ["degrades", "improves", "no degradation", "inconclusive"]


def test_the_bootstrap_is_of_every_resample_there_is() -> None:
    first, second = [10.0, 11.0, 13.0], [12.0, 12.5, 16.0]
    means = [[sum(chosen) / 3 for chosen in itertools.product(values, repeat=3)] for values in (first, second)]
    all_of_them = [other - one for one in means[0] for other in means[1]]  # 729, each as probable as the others
    got = bootstrap(estimate(first), estimate(second))
    assert got == pytest.approx(np.percentile(all_of_them, [2.5, 97.5]), abs=0.1)
    assert got == bootstrap(estimate(first), estimate(second))  # drawn alike each time


def test_equal_values_define_no_bootstrap_interval() -> None:
    """Of two nets whose seeds all diverged, or of a run that was counted twice, nothing says how far apart they are."""
    assert bootstrap(estimate([90.0, 90.0]), estimate([90.0, 90.0])) is None
    assert bootstrap(estimate([8.0, 8.0]), estimate([9.0, 9.0])) is None
    assert bootstrap(estimate([8.0, 8.0]), estimate([9.0, 11.0])) == (1.0, 3.0)  # one spread is enough


def test_the_bootstrap_of_many_seeds_is_welchs_interval() -> None:
    rng = np.random.default_rng(7)
    first, second = (estimate(rng.normal(mean, 1.0, 200).tolist()) for mean in (8.0, 9.0))
    welchs = welch(first, second)
    assert bootstrap(first, second) == pytest.approx((welchs.low, welchs.high), abs=0.02)


def test_how_probable_a_worse_run_is() -> None:
    first, second = [10.0, 11.0, 12.0], [11.0, 12.0, 13.0]
    u = stats.mannwhitneyu(second, first).statistic
    assert probability_worse(estimate(first), estimate(second)) == u / 9 == 7 / 9  # two ties, half each
    assert probability_worse(estimate(second), estimate(first)) == 2 / 9
    assert probability_worse(PLAIN_20, PLAIN_56) == 1.0


def test_one_seed_has_neither_bootstrap_nor_probability() -> None:
    for one, other in ((estimate([9.0]), PLAIN_20), (PLAIN_20, estimate([9.0]))):
        assert bootstrap(one, other) is None
        assert probability_worse(one, other) is None
