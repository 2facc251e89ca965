"""Ratios over seeds whose answers are known, and how they are written."""

import math

import pytest

from resnet_exp.why.ratios import by_seed, number, over_seeds, times


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *((1.6e9, "1.6e+09"), (1.6e8, "160 million"), (1.2e6, "1.2 million"), (17_234.0, "17,000"), (43.4, "43")),
        *((9.97, "10"), (1.25, "1.2"), (1.0, "1.0"), (0.48, "0.48"), (0.0086, "0.0086"), (0.00996, "0.010")),
        *((3.14e-9, "3.1e-09"), (0.0, "0.0e+00")),
    ],
)
def test_numbers_have_two_figures(value: float, text: str) -> None:
    assert number(value) == text


def test_over_seeds_the_mean_is_geometric_and_so_is_its_interval() -> None:
    """Logarithms to base ten of 1 and 3: the mean is 2, its standard error 1, t with one degree of freedom 12.706."""
    over = over_seeds([10.0, 1000.0])
    assert over is not None
    assert over.mean == pytest.approx(100)
    assert (over.low, over.high, over.n) == (pytest.approx(1.98e-11, rel=1e-2), pytest.approx(5.06e14, rel=1e-2), 2)
    assert over.known == "95 % interval 2.0e-11 to 5.1e+14, 2 seeds"


def test_seeds_without_a_number_are_counted() -> None:
    over = over_seeds([2.0, math.nan, 0.0])
    assert over is not None
    assert (over.text, over.known) == ("2.0", "1 of 3 seeds")
    assert over_seeds([math.inf]) is None
    assert over_seeds([]) is None


def test_times_have_two_places_or_two_figures() -> None:
    assert list(map(times, (0.004, 0.715, 12.0, 99.99, 100.0, 12_345.0, 2.3e7))) == [
        *("0.00", "0.71", "12.00", "99.99", "100", "12,000", "23 million"),
    ]


def test_ratios_are_of_the_seeds_that_both_have() -> None:
    assert by_seed({0: 3.0, 1: 8.0, 2: 1.0}, {1: 2.0, 0: 1.0}) == [3.0, 4.0]
    dead = by_seed({0: 3.0, 1: 8.0, 2: 0.0, 3: 1.0}, {0: 0.0, 1: math.nan, 2: 2.0, 3: math.inf})
    assert len(dead) == 4
    assert all(map(math.isnan, dead))


def test_it_does_not_matter_which_stands_above() -> None:
    """A decay of 0.001 on the nets that were recorded: F is 0.4944 and 0.5516 times as large."""
    shares = [0.4944, 0.5516]
    one, other = over_seeds(shares), over_seeds([1 / share for share in shares])
    assert one is not None
    assert other is not None
    assert one.low is not None
    assert other.high is not None
    assert one.mean * other.mean == pytest.approx(1)
    assert one.low * other.high == pytest.approx(1)
