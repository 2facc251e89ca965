"""What is drawn and said of gradients."""

import math

import numpy as np
import pytest
from matplotlib.axes import Axes

from resnet_exp.runs.diagnostics import Diagnosis, Row
from resnet_exp.why.gradients import draw, sentence
from tests.helpers import make_diagnosis

STAGES = [0, 1, 1, 2, 2, 3, 3]


def diagnosis(
    name: str, factor: float, *, trained: float = 1.0, steps: tuple[int, ...] = (0, 40, 60), **more: object
) -> Diagnosis:
    """Seven layers whose gradient grows by `factor` a layer before the first step and by `trained` at the end."""
    rows: list[Row] = [
        {"step": step, "layer": n, "stage": stage, "response": 1.0, "weight": 2.0 if step == 0 else 4.0}
        | {"output": 0.5 * (trained if step == 60 else factor) ** (7 - n), "weight_gradient": 8.0 - n}
        for step in steps
        for n, stage in enumerate(STAGES, 1)
    ]
    return make_diagnosis("gradients", name, rows, choices={"zero_init": False}, step=steps[-1], **more)


PLAIN = diagnosis("plain8", 4.0, shortcut="none")
RESIDUAL = diagnosis("resnet8", 2.0, trained=1.5)


def lines(panel: Axes, style: str) -> list[list[float]]:
    return [list(line.get_ydata()) for line in panel.lines if line.get_linestyle() == style]


def test_solid_at_first_dashed_at_last_and_theory_beside() -> None:
    panels = draw([PLAIN, RESIDUAL]).axes
    assert len(panels) == 6
    plain, residual = panels[:2]
    assert [plain.get_title(), residual.get_title()] == ["plain", "resnet"]
    assert lines(plain, "-") == [[0.5 * 4**n for n in range(6, -1, -1)]]
    assert lines(plain, "--") == [[0.5] * 7]
    assert lines(residual, "--") == [[0.5 * 1.5**n for n in range(6, -1, -1)]]
    (theory,) = lines(plain, "-.")
    assert theory[-1] == 0.5
    assert theory[0] / theory[-1] == pytest.approx((math.pi / (math.pi - 1)) ** 3)
    assert lines(residual, "-.") == []
    assert lines(panels[2], "-") == [[1.0] * 7]
    assert lines(panels[4], "--") == [[(8 - n) / 4 for n in range(1, 8)]]
    assert {panel.get_yscale() for panel in panels} == {"log"}


def test_a_line_a_seed_and_a_colour_a_depth() -> None:
    deeper = diagnosis("plain14", 4.0, shortcut="none", depth=14)
    panel = draw([PLAIN, diagnosis("plain8", 3.0, shortcut="none", seed=1), deeper]).axes[0]
    solid = [line for line in panel.lines if line.get_linestyle() == "-"]
    assert len(solid) == 3
    assert len({line.get_color() for line in solid}) == 2


def test_of_a_net_that_nobody_trained_the_start_is_drawn() -> None:
    panel = draw([diagnosis("plain8", 4.0, shortcut="none", steps=(0,))]).axes[0]
    assert (len(lines(panel, "-")), len(lines(panel, "--"))) == (1, 0)


def test_what_is_zero_or_no_number_is_a_gap() -> None:
    sizes = {1: math.inf, 2: 0.0, 3: math.nan}
    rows = [dict(row, output=sizes.get(int(row["layer"]), 1.0)) for row in PLAIN.rows[:7]]
    broken = make_diagnosis("gradients", "plain8", rows, shortcut="none", choices={"zero_init": False}, step=0)
    (line,) = lines(draw([broken]).axes[0], "-")
    np.testing.assert_array_equal(line, [math.nan] * 3 + [1.0] * 4)
    assert "In plain8 the gradient is zero or not finite at the first or the last layer before the first step." in (
        sentence([broken])
    )


def test_the_sentence_says_what_the_numbers_are() -> None:
    assert sentence([PLAIN, RESIDUAL]) == (
        "On its way back through plain8 the gradient explodes: before the first step, at the output of the first layer,"
        " it is 4,100 (plain8; 1 seed) times as large as at that of the last."
        " Inside the stages each layer hands back 4.000 times as much (1 seed); theory has 1.211 for wide fully"
        " connected nets with BN."
        " On the way forward the signal keeps its size: the last layer responds 1.0 times as strongly as the first"
        " (1 seed)."
        " After 60 steps the gradient at the first layer is 1.0 times that at the last (1 seed)."
        " By then the first layer's weights are 2.0 times as large as they were (1 seed), and their gradient, in units"
        " of the weights, 1.8 instead of 3.5."
        "\n\n"
        "On its way back through resnet8 the gradient grows: before the first step, at the output of the first layer,"
        " it is 64 (resnet8; 1 seed) times as large as at that of the last."
        " Inside the stages each layer hands back 2.000 times as much (1 seed)."
        " On the way forward the signal keeps its size: the last layer responds 1.0 times as strongly as the first"
        " (1 seed)."
        " After 60 steps the gradient at the first layer is 11 times that at the last (1 seed)."
        " By then the first layer's weights are 2.0 times as large as they were (1 seed), and their gradient, in units"
        " of the weights, 1.8 instead of 3.5."
        "\n\n"
        "So before the first step the ratio of the first layer's gradient to the last's is 64 times as large in plain8"
        " as in resnet8 (1 seed)."
    )


def test_a_seed_that_was_not_trained_as_far_tells_of_the_beginning_alone() -> None:
    begun = diagnosis("plain8", 4.0, shortcut="none", seed=1, steps=(0,))
    said = sentence([begun, PLAIN])
    assert "it is 4,100 (plain8; 2 seeds) times as large" in said
    assert "After 60 steps the gradient at the first layer is 1.0 times that at the last (1 seed)." in said
    assert "2.0 times as large as they were (1 seed), and their gradient, in units of the weights, 1.8 instead" in said
    panel = draw([PLAIN, begun]).axes[0]
    assert (len(lines(panel, "-")), len(lines(panel, "--"))) == (2, 1)


def test_twins_are_compared_seed_by_seed_whichever_grows_more() -> None:
    plain = [diagnosis("plain8", factor, shortcut="none", seed=seed) for seed, factor in enumerate((0.5, 0.25))]
    residual = [diagnosis("resnet8", factor, seed=seed) for seed, factor in enumerate((1.0, 0.5))]
    said = sentence([*plain, *residual])
    assert "through plain8 the gradient shrinks:" in said
    # 2 to the power of 6 in either seed, so there is no spread to make an interval of
    assert said.endswith("is 64 times as large in resnet8 as in plain8 (2 seeds).")


def test_shallower_nets_are_named_beside_the_deepest() -> None:
    deeper = diagnosis("plain14", 2.0, shortcut="none", depth=14)
    said = sentence([PLAIN, deeper])
    assert "through plain14 the gradient grows:" in said
    assert "it is 4,100 (plain8) and 64 (plain14; 1 seed) times" in said


def test_a_net_that_nobody_trained_has_no_end() -> None:
    assert "instead of" not in sentence([diagnosis("plain8", 4.0, shortcut="none", steps=(0,))])


def test_nets_that_diverged_are_drawn_all_the_same() -> None:
    nothing = {"output": math.nan, "response": math.inf, "weight_gradient": math.nan, "weight": math.nan}
    rows = [row | nothing if row["step"] == 60 else row for row in PLAIN.rows]
    lost = make_diagnosis("gradients", "plain8", rows, shortcut="none", choices={"zero_init": False})
    assert "After 60 steps the gradient is zero or not finite at the first or the last layer." in sentence([lost])
    nowhere = make_diagnosis("gradients", "plain8", rows[-7:], shortcut="none", choices={"zero_init": False})
    figures = [draw([one]) for one in (lost, nowhere)]
    for figure in figures:
        figure.draw_without_rendering()
    assert figures[1].axes[0].get_ylim() == (0.1, 10)
    assert figures[0].axes[0].get_ylim() != (0.1, 10)
