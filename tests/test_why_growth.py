"""Numbers of growth whose answers are known, and the words for them."""

import math
from dataclasses import replace

import pytest

from resnet_exp.runs.diagnostics import Diagnosis, Row
from resnet_exp.why.growth import back, change, forth, growth, prediction, weights_grew
from resnet_exp.why.measured import Group, grouped
from tests.helpers import make_diagnosis

STAGES = [0, 1, 1, 1, 1, 2, 2, 2]


def diagnosis(sizes: list[float], *, shortcut: str = "none", zero_init: bool = False, **more: object) -> Diagnosis:
    """With these gradients at the outputs of a stem, four layers and three more; weights double from step 0 to 60."""
    rows: list[Row] = [
        {"step": step, "layer": n, "stage": stage, "output": size, "response": n, "weight": 1 + step / 60}
        | {"weight_gradient": 3.0}
        for step in (0, 60)
        for n, (size, stage) in enumerate(zip(sizes, STAGES, strict=True), 1)
    ]
    return make_diagnosis("gradients", "net8", rows, shortcut=shortcut, choices={"zero_init": zero_init}, **more)


def group(**more: object) -> Group:
    (one,) = grouped([diagnosis([1.0] * 8, **more)])
    return one


def test_growth_is_the_factor_inside_the_stages() -> None:
    """1.5 a layer; neither the stem nor the jump to the second stage counts."""
    inside = [1.5**-n for n in range(4)]
    one = diagnosis([1000.0, *inside, *(77 * size for size in inside[:3])])
    assert growth(one, step=0) == pytest.approx(1.5)
    assert back(one, step=0) == pytest.approx(1000 / (77 / 1.5**2))
    assert forth(one, step=0) == 8
    assert weights_grew(one, step=60) == 2


def test_a_longer_stage_weighs_more() -> None:
    """The slope of least squares over both: sums of squared distances from the middle are 5 and 2."""
    sizes = [1.0, *(math.exp(-0.1 * n) for n in range(4)), *(math.exp(-0.8 * n) for n in range(3))]
    assert math.log(growth(diagnosis(sizes), step=0)) == pytest.approx((5 * 0.1 + 2 * 0.8) / 7)


@pytest.mark.parametrize("bad", [0.0, math.nan, math.inf])
def test_what_is_no_number_has_no_growth(bad: float) -> None:
    assert math.isnan(growth(diagnosis([1, 1, bad, 1, 1, 1, 1, 1]), step=0))
    assert math.isnan(back(diagnosis([bad, 1, 1, 1, 1, 1, 1, 1]), step=0))
    assert math.isnan(back(diagnosis([1, 1, 1, 1, 1, 1, 1, bad]), step=0))


def test_theory_knows_factors_of_some_nets() -> None:
    with_bn, without = prediction(group()), prediction(group(norm="none"))
    assert with_bn is not None
    assert without is not None
    assert with_bn.factor**2 == pytest.approx(1.467, abs=5e-4)
    assert without.factor == 1
    residual = prediction(group(shortcut="A", norm="none"))
    assert residual is not None
    assert residual.factor**4 == pytest.approx(2)  # two layers double the square
    assert prediction(group(shortcut="A")) is None
    assert prediction(group(shortcut="A", norm="none", zero_init=True)) is None


def test_theory_speaks_of_drawn_weights_alone() -> None:
    one = diagnosis([1.0] * 8)
    copied = replace(one, choices=one.choices | {"initial_weights": "outputs/mine/plain8/seed0"})
    unknown = replace(one, rows=[row for row in one.rows if row["step"] == 60])  # an older record of the same
    for other in (copied, unknown):
        (of_other,) = grouped([other])
        assert prediction(of_other) is None


def test_a_change_has_one_of_five_words() -> None:
    words = [change(factor) for factor in (1e5, 1000, 999, 10, 9.9, 1, 0.11, 0.1, 0.002, 0.001, 0.0)]
    assert words == [
        *("explodes", "explodes", "grows", "grows"),
        *("keeps its size", "keeps its size", "keeps its size"),
        *("shrinks", "shrinks", "vanishes", "vanishes"),
    ]
