"""Numbers and tables as a terminal shows them."""

import pytest

from resnet_exp.text import aligned, counted, duration, size, span


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    rows = [("net", "seed", "why"), ("plain20", "0", ""), ("a", "10", "full disk")]
    assert aligned(rows, words=(0, 2)) == ["net      seed  why", "plain20     0", "a          10  full disk"]


def test_durations_are_short() -> None:
    seconds = (0.4, 59, 61, 3599, 3 * 3600 + 1200, 5 * 86400)
    assert [*map(duration, seconds)] == ["0 s", "59 s", "1 min", "1 h 0 min", "3 h 20 min", "5 days"]


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (3_140_000, "3.1 MB"), (999_600_000, "1 GB"), (2 * 10**11, "200 GB")],
)
def test_sizes_are_short(count: int, text: str) -> None:
    assert size(count) == text


@pytest.mark.parametrize(
    ("values", "shown"), [([1], "1 step"), ([3], "3 steps"), ([1, 1], "1 step"), ([1, 16000], "1 to 16,000 steps")]
)
def test_numbers_have_their_unit_and_from_two_on_its_plural(values: list[int], shown: str) -> None:
    assert span(values, "step") == shown
    assert counted(values[-1], "step") == shown.rpartition("to ")[2]
