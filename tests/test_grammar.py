"""How words of a command become what Hydra reads."""

import pytest

from resnet_exp.grammar import spelled_out


@pytest.mark.parametrize(
    ("word", "read"),
    [
        ("seed=5x", "seed=0,1,2,3,4"),
        ("seed=1x", "seed=0"),
        ("+seed=2x", "+seed=0,1"),
        ("seed=0x", "seed=0x"),  # no seeds: refused as no number
        ("seed=5", "seed=5"),
        ("name=5x", "name=5x"),
    ],
)
def test_so_many_seeds_are_the_first(word: str, read: str) -> None:
    assert spelled_out(word) == read
