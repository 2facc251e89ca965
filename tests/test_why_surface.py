"""What is drawn and said of the loss around nets."""

import math
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from resnet_exp.runs.diagnostics import Diagnosis, Row, write_diagnosis
from resnet_exp.why import surface_figures
from resnet_exp.why.measured import grouped
from resnet_exp.why.report import write_report, write_why
from resnet_exp.why.surface import ARGUMENT, draw, draw_path, draw_relief, sentence
from resnet_exp.why.surface_figures import BANDS, HIGHEST, LOWEST, levels_of, ticks_of
from resnet_exp.why.surface_rows import grid, rise, shown
from tests.helpers import make_diagnosis

ALPHAS = [-1.0, -0.5, -0.25, 0.0, 0.25, 0.5, 1.0]


def diagnosis(
    name: str,
    steep: dict[str, float],
    *,
    shortcut: str,
    seed: int = 0,
    least: float = 0.5,
    way: bool = False,
    depth: int = 8,
    **net: str,
) -> Diagnosis:
    """The loss is `least` + steepness * (alpha^2 + beta^2), with a steepness for each kind of BN statistics."""
    rows: list[Row] = []

    def add(kind: str, mode: str, alpha: float, beta: float, *, step: int = 60) -> None:
        loss = least + steep[mode] * (alpha**2 + beta**2)
        row: Row = {"kind": kind, "batch_norm": mode, "step": step, "alpha": alpha, "beta": beta}
        rows.append(row | {"loss": loss, "error": 10.0})

    for mode in steep:
        for alpha in ALPHAS:
            add("line", mode, alpha, 0.0)
            for beta in (-1.0, 0.0, 0.5, 1.0):
                add("plane", mode, alpha, beta)
    if way:
        for step, place in ((0, (2.0, 0.1)), (30, (1.0, -0.5)), (60, (0.0, 0.0))):
            add("trajectory", list(steep)[-1], *place, step=step)
        for alpha in (-0.5, 1.0, 2.5):
            for beta in (-0.75, 0.0, 0.5):
                add("pca", list(steep)[-1], alpha, beta)
    choices = {"chance_loss": math.log(10), "explained": [0.83, 0.12] if way else []}
    return make_diagnosis("surface", name, rows, shortcut=shortcut, seed=seed, choices=choices, depth=depth, **net)


PLAIN = diagnosis("plain8", {"stored": 64.0, "batch": 3.2}, shortcut="none", way=True)
RESIDUAL = diagnosis("resnet8", {"stored": 1.6, "batch": 4.8}, shortcut="A", way=True)
BARE = diagnosis("resnet8-none", {"stored": 1.6}, shortcut="A", norm="none")


def in_panels(figure: Figure, kind: str) -> list[list[tuple[list[float], list[float]]]]:
    """What the lines of each panel with such a marker or style go through."""
    return [
        [(list(x.get_xdata()), list(x.get_ydata())) for x in panel.lines if x.get_marker() == kind]
        for panel in figure.axes
    ]


def test_a_grid_has_rows_of_beta_and_columns_of_alpha() -> None:
    measured = grid(PLAIN, "plane", batch_norm="stored")
    assert measured is not None
    alphas, betas, loss = measured
    assert (alphas.tolist(), betas.tolist()) == (ALPHAS, [-1, 0, 0.5, 1])
    assert loss[2, 4] == 0.5 + 64 * (0.25**2 + 0.5**2)
    assert grid(BARE, "plane", batch_norm="batch") is None


def test_the_rise_is_the_mean_of_both_sides() -> None:
    one = replace(PLAIN, rows=[dict(row) for row in PLAIN.rows])
    for row in one.rows:
        if row["kind"] == "line" and row["alpha"] == 0.25:
            row["loss"] = 8.5
    assert rise(PLAIN, batch_norm="stored", distance=0.25) == 4
    assert rise(one, batch_norm="stored", distance=0.25) == (8.5 + 4.5) / 2 - 0.5


def test_each_net_has_two_planes_with_common_levels_a_row_and_a_line_of_each_kind() -> None:
    second = diagnosis("resnet8", {"stored": 2.0, "batch": 5.0}, shortcut="A", seed=1)
    figure = draw([PLAIN, RESIDUAL, second])
    plain, residual, *_ = figure.axes
    assert [panel.get_title() for panel in (plain, residual)] == ["plain8", "resnet8"]
    filled = [next(c for c in panel.collections if getattr(c, "filled", False)) for panel in figure.axes[:4]]
    np.testing.assert_array_equal(filled[0].levels, filled[1].levels)
    np.testing.assert_array_equal(filled[2].levels, filled[3].levels)
    assert filled[0].levels[[0, -1]] == pytest.approx([0.5, HIGHEST])
    assert filled[2].levels[[0, -1]] == pytest.approx([0.5, 0.5 + 2 * 4.8])
    assert all(part.get_rasterized() for part in filled)
    lines = [[line for line in panel.lines if len(line.get_xdata()) == len(ALPHAS)] for panel in figure.axes[4:6]]
    assert [len(part) for part in lines] == [2, 4]
    assert list(lines[0][0].get_ydata()) == [0.5 + 64 * alpha**2 for alpha in ALPHAS]
    assert list(lines[1][3].get_ydata()) == [0.5 + 5 * alpha**2 for alpha in ALPHAS]
    assert lines[0][0].get_color() != lines[0][1].get_color()
    assert str(figure._supxlabel.get_text()).endswith("surfaces: seed 0")  # type: ignore[attr-defined]


def test_levels_are_even_on_a_logarithmic_scale_and_within_what_is_drawn() -> None:
    def plane(*losses: float) -> surface_figures.Plane:
        return np.arange(len(losses)), np.zeros(1), np.array([losses])

    levels = levels_of([plane(0.01, np.nan), None, plane(1.0, np.inf)])
    assert len(levels) == BANDS + 1
    assert levels[[0, -1]] == pytest.approx([0.01, HIGHEST])
    np.testing.assert_allclose(np.diff(np.log(levels)), np.log(levels[1] / levels[0]))
    assert levels_of([plane(1e-9, 1.0)])[0] == pytest.approx(LOWEST)
    assert levels_of([plane(2.0, 2.0)])[[0, -1]] == pytest.approx([2 / 1.2, 2])
    assert len(levels_of([plane(np.nan)])) == BANDS + 1
    assert ticks_of(levels) == pytest.approx([0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100])
    assert ticks_of(np.linspace(2, 3, 19)) == pytest.approx([2, 2 + 1 / 3, 2 + 2 / 3, 3])


def test_the_path_is_drawn_where_there_is_one() -> None:
    figure = draw_path([PLAIN, RESIDUAL, diagnosis("resnet14", {"stored": 1, "batch": 1}, shortcut="A", depth=14)])
    assert figure is not None
    assert [panel.get_title() for panel in figure.axes] == ["plain8", "resnet8", ""]  # the last is the colour bar
    way, *_ = in_panels(figure, "None")[0]
    assert way == ([2, 1, 0], [0.1, -0.5, 0])
    assert in_panels(figure, "*")[0] == [([0], [0])]
    assert figure.axes[0].get_xlabel() == "component 1 (83 %)"
    assert draw_path([BARE]) is None


def test_a_relief_is_as_high_as_the_logarithm_of_the_loss() -> None:
    figure = draw_relief([PLAIN, BARE])
    plain = figure.axes[0]
    (relief,) = plain.collections
    assert relief.get_rasterized()
    assert plain.get_zlim() == pytest.approx((math.log10(0.5), 2))  # type: ignore[attr-defined]
    corners = np.concatenate([np.asarray(face) for face in relief._faces])  # type: ignore[attr-defined]
    corner = corners[(corners[:, 0] == 0.25) & (corners[:, 1] == 0.5)][0]
    assert corner[2] == pytest.approx(math.log10(0.5 + 64 * (0.25**2 + 0.5**2)))
    assert [panel._axis3don for panel in figure.axes] == [True, True, True, False]  # type: ignore[attr-defined]


def test_of_many_nets_the_shallowest_and_the_deepest_are_shown() -> None:
    def names(*nets: tuple[str, int]) -> list[str]:
        found = [
            diagnosis(
                f"{kind}{depth}", {"stored": 1.0}, shortcut="none" if kind == "plain" else "A", depth=depth, norm="none"
            )
            for kind, depth in nets
        ]
        return [group.name for group in shown(grouped(found))]

    depths = (8, 14, 20, 32, 44, 56, 110)
    assert names(*[("plain", depth) for depth in depths]) == [f"plain{d}" for d in (8, 14, 20, 44, 56, 110)]
    both = names(*[(kind, depth) for kind in ("plain", "resnet") for depth in depths])
    assert both == [f"{kind}{depth}" for kind in ("plain", "resnet") for depth in (8, 32, 110)]
    assert names(("resnet", 8), ("plain", 8)) == ["plain8", "resnet8"]


def test_the_sentence_has_both_kinds_of_statistics_and_the_twin() -> None:
    found = [PLAIN, diagnosis("plain8", {"stored": 32.0, "batch": 3.2}, shortcut="none", seed=1), RESIDUAL]
    found.append(diagnosis("resnet8", {"stored": 1.6, "batch": 4.8}, shortcut="A", seed=1))
    assert sentence(found) == (
        "A random step of 0.25 times the weights' norm raises the loss, with stored BN statistics and with each batch's"
        " own, by 3 and 0.2 (plain8, from 0.5; 2 seeds) and 0.1 and 0.3 (resnet8, from 0.5; 2 seeds). Around plain8 it"
        " rises by 2.9 more with stored statistics (95 % interval -9.81 to 15.6, 2 seeds; it may be none) and 0.1 less"
        " with each batch's own (2 seeds) than around resnet8."
    )


def test_losses_that_are_not_finite_are_said_to_be_so() -> None:
    wild = diagnosis("plain8", {"stored": math.inf, "batch": 3.2}, shortcut="none", seed=1)
    for row in wild.rows:
        if row["alpha"] == 0 and row["beta"] == 0:
            row["loss"] = 0.5
    text = sentence([PLAIN, wild, RESIDUAL])
    assert "by more than a number can hold and 0.2 (plain8, from 0.5; 2 seeds)" in text
    assert "it rises by 3.9 more with stored statistics (1 seed)" in text  # the seed that both have
    text = sentence([wild, diagnosis("resnet8", {"stored": 1.6, "batch": 4.8}, shortcut="A", seed=1)])
    assert text.endswith(
        "Around plain8 it rises by 0.1 less with each batch's own (1 seed) than around resnet8. plain8 and resnet8"
        " cannot be compared with stored statistics: the loss is not finite in 1 of 1 seeds."
    )
    assert isinstance(draw([wild]), Figure)
    assert isinstance(draw_relief([wild]), Figure)


def test_a_net_without_bn_has_one_kind() -> None:
    assert sentence([BARE]).endswith("by 0.1 (resnet8-none, from 0.5; no BN; 1 seed).")
    assert len(draw([PLAIN, BARE]).axes) == 6 + 2  # and the colour bars


def test_the_page_has_three_figures_of_it_and_two_without_a_path(study: Path) -> None:
    write_diagnosis(study / "plain20" / "seed0", PLAIN)
    out = study / "report"
    write_report(study, out=out)
    page = (out / "report.html").read_text()
    why = re.search(r'<section aria-labelledby="heading-why".*?</section>', page, re.DOTALL)
    assert why is not None
    assert why[0].count("<svg") == 3
    captions = re.findall(r'<figcaption id="(caption-why-[^"]*)">([^<]*)', why[0])
    assert [name for name, _ in captions] == ["caption-why-1", "caption-why-1-2", "caption-why-1-3"]
    assert [text.split()[0] for _, text in captions] == ["Loss", "The", "The"]
    figures = [ET.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", why[0], re.DOTALL)]
    images = [sum(element.tag.endswith("image") for element in figure.iter()) for figure in figures]
    assert [number > 0 for number in images] == [True, True, True]  # what is filled is pixels
    for name in (ARGUMENT.what, *(drawing.name for drawing in ARGUMENT.more)):
        assert (out / f"{name}.svg").stat().st_size < 300_000
    write_diagnosis(study / "plain20" / "seed0", diagnosis("plain8", {"stored": 2, "batch": 1}, shortcut="none"))
    write_why(study, out=out, no_comparison="none was asked for")
    assert {file.stem for file in out.glob("surface*.svg")} == {"surface", "surface-3d"}  # an earlier path is gone
