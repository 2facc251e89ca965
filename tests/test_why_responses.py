"""What is drawn and said of the layers' responses."""

import math
from dataclasses import replace

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from resnet_exp.runs.diagnostics import Diagnosis, Row
from resnet_exp.why.responses import draw, sentence
from tests.helpers import make_diagnosis


def diagnosis(name: str, strengths: list[float], *, shortcut: str, seed: int = 0, norm: str = "batch") -> Diagnosis:
    """With these strengths of the seven layers at the end, 1 before the first step, and 9 with stored statistics."""
    rows: list[Row] = []
    for step, mode, values in (
        *((0.0, "batch", [1.0] * 7), (60.0, "batch", strengths)),
        *((0.0, "stored", [9.0] * 7), (60.0, "stored", [9.0] * 7)),
    ):
        rows += [{"step": step, "batch_norm": mode, "layer": n, "std": v} for n, v in enumerate(values, 1)]
    if norm == "none":
        rows = [row | {"batch_norm": "stored"} for row in rows if row["batch_norm"] == "batch"]
    return make_diagnosis("responses", name, rows, shortcut=shortcut, seed=seed, norm=norm)


PLAIN = diagnosis("plain8", [4.0, 3.0, 2.0, 2.0, 1.0, 1.0, 2.0], shortcut="none")
RESIDUAL = [
    diagnosis("resnet8", [1.0, 3.0, 1.0, 1.0, 1.0, 0.5, 1.0], shortcut="A"),
    diagnosis("resnet8", [1.0, 3.0, 1.2, 1.2, 1.2, 0.5, 1.2], shortcut="A", seed=1),
]


def lines(panel: Axes, style: str) -> list[list[float]]:
    return [list(line.get_ydata()) for line in panel.lines if line.get_linestyle() == style and len(line.get_ydata())]


def panels(figure: Figure) -> list[Axes]:
    return figure.axes


def test_a_line_a_seed_in_order_above_and_by_strength_below() -> None:
    plain, residual, plain_sorted, residual_sorted = panels(draw([PLAIN, *RESIDUAL]))
    assert [plain.get_title(), residual.get_title()] == ["plain", "resnet"]
    assert lines(plain, "-") == [[4, 3, 2, 2, 1, 1, 2]]
    assert lines(plain_sorted, "-") == [[4, 3, 2, 2, 2, 1, 1]]
    assert lines(residual, "-") == [[1, 3, 1, 1, 1, 0.5, 1], [1, 3, 1.2, 1.2, 1.2, 0.5, 1.2]]
    assert lines(residual_sorted, "-")[1] == [3, 1.2, 1.2, 1.2, 1.2, 1, 0.5]
    assert lines(plain, ":") == [[1] * 7]


def test_the_sentence_compares_twins_over_their_seeds() -> None:
    second = diagnosis("plain8", [2.0, 3.0, 2.0, 2.0, 1.0, 1.0, 2.0], shortcut="none", seed=1)
    assert sentence([PLAIN, second, *RESIDUAL]) == (
        "The median layer responds with a standard deviation of 2.00 (plain8) and 1.10 (resnet8)."
        " resnet8 responds 0.55 times as strongly as plain8 (95 % interval 0.17 to 1.74, 2 seeds)."
        " Before the first step it was 1.000 in every layer."
    )


def test_a_seed_whose_layers_do_not_respond_is_left_out_and_said_so() -> None:
    for lost in (0.0, math.nan):
        dead = diagnosis("plain8", [lost] * 7, shortcut="none", seed=1)
        text = sentence([PLAIN, dead, *RESIDUAL])
        assert "resnet8 responds 0.50 times as strongly as plain8 (1 of 2 seeds)." in text
        assert "nan" not in text
        text = sentence([dead, RESIDUAL[1]])
        assert "times as strongly" not in text
        assert "resnet8 is not compared with plain8: a median is zero or not finite." in text
    assert "Not every seed of plain8 has a median response that is finite." in text


def test_a_net_that_was_not_trained_as_far_is_not_compared() -> None:
    begun = replace(PLAIN, choices={"step": 0})
    assert "times as strongly" not in sentence([begun, *RESIDUAL])
    text = sentence([PLAIN, replace(PLAIN, choices={"step": 0}, subject=replace(PLAIN.subject, seed=1))])
    assert text.startswith("The median layer responds with a standard deviation of 2.00 (plain8).")


def test_a_net_alone_is_compared_with_nobody() -> None:
    assert sentence(RESIDUAL[:1]) == (
        "The median layer responds with a standard deviation of 1.00 (resnet8)."
        " Before the first step it was 1.000 in every layer."
    )


def test_a_net_without_bn_shows_what_it_has() -> None:
    bare = diagnosis("plain8-nobn", [4.0, 3.0, 2.0, 2.0, 1.0, 1.0, 2.0], shortcut="none", norm="none")
    assert "2.00 (plain8-nobn)" in sentence([bare])
    assert lines(panels(draw([bare]))[0], "-") == [[4, 3, 2, 2, 1, 1, 2]]


def test_a_layer_far_above_all_others_does_not_hide_them() -> None:
    wild = diagnosis("plain8", [4000.0, 3.0, 2.0, 2.0, 1.0, 1.0, 2.0], shortcut="none")
    assert {panel.get_yscale() for panel in panels(draw([wild, *RESIDUAL]))} == {"log"}
    assert {panel.get_yscale() for panel in panels(draw([PLAIN, *RESIDUAL]))} == {"linear"}
    lost = diagnosis("plain8", [math.nan] * 7, shortcut="none", seed=1)
    assert {panel.get_yscale() for panel in panels(draw([lost]))} == {"linear"}
    assert {panel.get_yscale() for panel in panels(draw([lost, wild]))} == {"log"}
