"""Errors against depth: what is drawn where."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes

from resnet_exp.study.arms import group_arms
from resnet_exp.study.depth_figure import draw_depth
from resnet_exp.study.report import write_report
from resnet_exp.study.statistics import estimate
from tests.helpers import load_runs, write_run


def lines(panel: Axes, *, marker: str) -> dict[tuple[float, ...], list[float]]:
    """What is drawn with a marker, by its depths."""
    return {
        tuple(map(float, line.get_xdata())): list(map(float, line.get_ydata()))
        for line in panel.lines
        if line.get_marker() == marker
    }


def test_a_line_a_kind_of_net_through_the_means_with_their_intervals(study: Path) -> None:
    figure = draw_depth(group_arms(load_runs(study)), caption="which data")
    assert figure is not None
    training, test = figure.axes
    plain, residual = (line for line in training.lines if line.get_label() in ("plain", "resnet"))
    assert list(plain.get_xdata()) == [20, 56]
    assert list(plain.get_ydata()) == [31, 51]  # of 30 and 32, of 50 and 52
    assert list(residual.get_ydata()) == [28, 25]
    assert [list(line.get_ydata()) for line in test.lines if line.get_label() == "resnet"] == [[29, 26]]
    bars = {tuple(np.round(line.get_ydata(), 3)) for line in training.lines if len({*line.get_xdata()}) == 1}
    low, high = estimate([30.0, 32.0]).low, estimate([30.0, 32.0]).high
    assert low is not None
    assert high is not None
    assert (round(low, 3), round(high, 3)) in bars
    assert training.get_ylim()[0] == test.get_ylim()[0] == 0
    assert [text.get_text() for text in training.get_xticklabels()] == ["20", "56"]
    assert figure.get_supxlabel() == "which data"
    assert plain.get_color() != residual.get_color()


def test_what_failed_is_hollow(study: Path) -> None:
    write_run(study, "plain", 110, 0, [90.0, 90.0, 90.0])
    figure = draw_depth(group_arms(load_runs(study)), caption="")
    assert figure is not None
    faces = {
        float(line.get_xdata()[0]): line.get_markerfacecolor()
        for line in figure.axes[0].lines
        if line.get_marker() == "o" and line.get_ydata()[0] in (90, 51)
    }
    assert faces[110.0] == "white"
    assert faces[56.0] != "white"


def test_one_depth_of_each_kind_is_nothing_to_draw_and_an_earlier_figure_goes(study: Path, tmp_path: Path) -> None:
    out = tmp_path / "report"
    write_report(study, out=out)
    assert (out / "depth.svg").exists()
    assert "Error against depth" in (out / "report.html").read_text()
    single = tmp_path / "single"
    write_run(single, "plain", 20, 0, [60.0, 50.0])
    write_run(single, "resnet", 56, 0, [60.0, 50.0])
    assert draw_depth(group_arms(load_runs(single)), caption="") is None
    write_report(single, out=out)
    assert not list(out.glob("depth.*"))
    assert "Error against depth" not in (out / "report.html").read_text()


def test_runs_that_go_on_have_no_point(study: Path) -> None:
    write_run(study, "resnet", 110, 0, [60.0, 20.0], status="running")
    figure = draw_depth(group_arms(load_runs(study)), caption="")
    assert figure is not None
    assert {float(x) for line in figure.axes[0].lines for x in line.get_xdata()} == {20.0, 56.0}


@pytest.mark.parametrize("depths", [(8, 14, 20, 32, 44, 56, 110), (20, 1202)])
def test_many_depths_are_told_apart(tmp_path: Path, depths: tuple[int, ...]) -> None:
    for depth in depths:
        write_run(tmp_path, "resnet", depth, 0, [60.0, 50.0 - depth / 100])
    figure = draw_depth(group_arms(load_runs(tmp_path)), caption="")
    assert figure is not None
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in figure.axes[0].get_xticklabels()]
    assert all(one.x1 < other.x0 for one, other in pairwise(boxes))
