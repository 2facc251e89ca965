"""Errors against depth: what is drawn where."""

import re
from itertools import combinations, pairwise
from pathlib import Path

import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text

from resnet_exp.study.arms import group_arms
from resnet_exp.study.depth_figure import draw_depth, labels_of
from resnet_exp.study.figure import save
from resnet_exp.study.report import write_report
from resnet_exp.study.statistics import estimate
from tests.helpers import load_runs, write_run

Points = list[tuple[float, float]]


def draw(study: Path) -> Figure:
    """The figure of these runs, laid out as it is shown."""
    figure = draw_depth(group_arms(load_runs(study)), caption="which data")
    assert figure is not None
    figure.draw_without_rendering()
    return figure


def points(line: Line2D) -> Points:
    return [(float(x), float(y)) for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)]


def curves(panel: Axes) -> dict[str, Points]:
    """Each kind of net with the points of its line."""
    return {str(line.get_label()): points(line) for line in panel.lines if line.get_label()}


def bars(panel: Axes) -> list[Points]:
    """The intervals: from their lower to their upper end."""
    return [points(line) for line in panel.lines if len(line.get_xdata()) == 2 and len({*line.get_xdata()}) == 1]


def marks(panel: Axes) -> list[Line2D]:
    return [line for line in panel.lines if line.get_linestyle() == "None"]


def key(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_a_line_a_kind_of_net_goes_through_the_means_over_its_seeds(study: Path) -> None:
    figure = draw(study)
    training, test = figure.axes
    assert curves(training) == {"plain": [(20, 31), (56, 51)], "resnet": [(20, 28), (56, 25)]}  # of 30 and 32, ...
    assert curves(test) == {"plain": [(20, 32), (56, 52)], "resnet": [(20, 29), (56, 26)]}
    assert (training.get_ylabel(), test.get_ylabel()) == ("training error, running (%)", "test error (%)")
    for panel in (training, test):
        marked = [point for mark in marks(panel) for point in points(mark)]
        assert marked == [point for curve in curves(panel).values() for point in curve]
        assert panel.get_ylim()[0] == 0
    assert figure.get_supxlabel() == "which data"


def test_it_is_the_error_of_the_verdict(tmp_path: Path) -> None:
    for depth in (20, 56):
        write_run(tmp_path, "plain", depth, 0, [90.0] * 18 + [depth, depth + 10], train_error=1, train_error_clean=2)
    assert curves(draw(tmp_path).axes[0]) == {"plain": [(20, 25), (56, 61)]}  # of the last tenth of the rows


def test_bars_are_intervals_where_they_are_defined(tmp_path: Path) -> None:
    errors = {8: [50.0, 52.0, 55.0], 14: [40.0], 20: [30.0, 30.0], 32: [1.0, 5.0]}
    for depth, finals in errors.items():
        for seed, error in enumerate(finals):
            write_run(tmp_path, "plain", depth, seed, [error])
    figure = draw(tmp_path)
    wide, cut = bars(figure.axes[0])
    of_three = estimate(errors[8])
    assert wide == [(8, of_three.low), (8, of_three.high)]
    high = estimate(errors[32]).high
    assert cut == [(32, 0), (32, high)]  # no error is below zero
    assert key(figure) == ["plain", "95 % interval"]
    assert figure.axes[0].get_ylim()[1] > of_three.high  # type: ignore[operator]


def test_kinds_of_net_at_one_depth_do_not_hide_each_other(study: Path) -> None:
    panel = draw(study).axes[0]
    places = {
        (line.get_color(), float(line.get_xdata()[0])): line.get_window_extent().x0
        for line in panel.lines
        if line in marks(panel)
    }
    plain, residual = {mark.get_color(): None for mark in marks(panel)}
    for depth in (20.0, 56.0):
        assert places[residual, depth] - places[plain, depth] >= 5  # pixels
    for kind in (plain, residual):
        assert places[kind, 56] - places[kind, 20] > 200


def test_what_diverged_or_ended_at_chance_is_hollow_and_says_so(study: Path) -> None:
    assert "diverged or at chance" not in key(draw(study))
    write_run(study, "plain", 110, 0, [90.0, 90.0, 90.0])
    write_run(study, "resnet", 110, 0, [20.0, 20.0, 20.0])
    write_run(study, "resnet", 110, 1, [20.0, 20.0], status="diverged")
    figure = draw(study)
    hollow = [points(mark)[0] for mark in marks(figure.axes[0]) if mark.get_markerfacecolor() == "white"]
    assert hollow == [(110, 90), (110, 55)]  # a diverged run has the error of guessing
    assert key(figure)[-1] == "diverged or at chance"
    titles = [str(mark.get_url()) for mark in marks(figure.axes[0])]
    assert "plain110: 90.00 % training error, running (1 seed, 1 of 1 runs at chance)" in titles
    assert titles[-1].endswith("1 of 2 runs diverged)")
    assert titles[0] == "plain20: 31.00 % training error, running (2 seeds, 95 % interval 18.29 to 43.71)"
    assert "plain20: 32.00 % test error" in str(marks(figure.axes[1])[0].get_url())


def test_every_mark_is_whole(tmp_path: Path) -> None:
    for depth in (20, 56):
        write_run(tmp_path, "plain", depth, 0, [90.0])
        write_run(tmp_path, "resnet", depth, 0, [0.0])
    panel = draw(tmp_path).axes[0]
    for mark in marks(panel):
        box, (y,) = mark.get_window_extent(), mark.get_ydata()
        assert panel.bbox.x0 < box.x0 < box.x1 < panel.bbox.x1
        assert box.y1 < panel.bbox.y1
        assert panel.bbox.y0 < box.y0 or (y == 0 and not mark.get_clip_on())


def test_one_depth_of_each_kind_is_nothing_to_draw_and_an_earlier_figure_goes(study: Path, tmp_path: Path) -> None:
    out = tmp_path / "report"
    write_report(study, out=out)
    assert sorted(file.suffix for file in out.glob("depth.*")) == [".pdf", ".png", ".svg"]
    page = (out / "report.html").read_text()
    headings = re.findall(r"<h2[^>]*>(.*?)</h2>", page)
    assert headings[:3] == ["Error curves", "Error against depth", "Numbers"]
    ids = re.findall(r'\bid="([^"]*)"', page)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r"url\(#([^)]*)\)", page)) <= set(ids)
    single = tmp_path / "single"
    write_run(single, "plain", 20, 0, [60.0, 50.0])
    write_run(single, "resnet", 56, 0, [60.0, 50.0])
    assert draw_depth(group_arms(load_runs(single)), caption="") is None
    write_report(single, out=out)
    assert not list(out.glob("depth.*"))
    assert "depth" not in " ".join(re.findall(r"<h2[^>]*>(.*?)</h2>", (out / "report.html").read_text()))


def test_a_net_beside_those_of_two_depths_is_a_point(study: Path) -> None:
    write_run(study, "resnet", 20, 0, [60.0, 10.0], suffix="-B", shortcut="B")
    assert curves(draw(study).axes[0])["resnet-B"] == [(20, 10)]


def test_runs_that_go_on_have_no_point(study: Path) -> None:
    write_run(study, "resnet", 110, 0, [60.0, 20.0], status="running")
    write_run(study, "resnet", 56, 2, [60.0, 1.0], status="running")
    assert curves(draw(study).axes[0])["resnet"] == [(20, 28), (56, 25)]


def test_a_lost_test_error_leaves_the_training_error(study: Path) -> None:
    write_run(study, "plain", 110, 0, [70.0], test_error=None)
    training, test = draw(study).axes
    assert curves(training)["plain"][-1] == (110, 70)
    assert curves(test)["plain"][-1] == (56, 52)


def ends_of_words(text: Text) -> tuple[float, float]:
    """Left and right, without the line above a word that stands in the second row."""
    box = text.get_window_extent()
    return box.x0, box.x1


DEPTHS = {
    "figure 6": (20, 32, 44, 56, 110),
    "seven": (8, 14, 20, 32, 44, 56, 110),
    "the deepest": (8, 14, 20, 32, 44, 56, 110, 1202),
    "two": (20, 1202),
    "ImageNet": (18, 34, 50, 101, 152),
}


@pytest.mark.parametrize("depths", DEPTHS.values(), ids=DEPTHS)
def test_every_depth_of_a_study_is_written_and_touches_no_other(tmp_path: Path, depths: tuple[int, ...]) -> None:
    for depth in depths:
        write_run(tmp_path, "resnet", depth, 0, [60.0, 50.0 - depth / 100])
    for panel in draw(tmp_path).axes:
        texts = panel.get_xticklabels()
        assert [text.get_text().strip() for text in texts] == [f"{depth:,}" for depth in depths]
        assert list(panel.get_xticks()) == list(depths)
        for row in (True, False):
            ends = [ends_of_words(text) for text in texts if text.get_text().startswith("\n") == row]
            assert all(one[1] + 3 < other[0] for one, other in pairwise(ends))


def test_of_very_many_depths_as_many_are_written_as_fit() -> None:
    labels = labels_of(list(range(8, 117, 6)))
    assert labels[0] == "8"
    assert labels[-1] == "116"
    assert labels.count("") in range(1, 9)


def test_thirty_kinds_of_net_look_unlike(tmp_path: Path) -> None:
    for number in range(30):
        for depth in (20, 56):
            write_run(tmp_path, "resnet", depth, 0, [50.0 + number], suffix=f"-lr0.{number:02}")
    figure = draw(tmp_path)
    looks = {(mark.get_color(), mark.get_marker()) for mark in marks(figure.axes[0])}
    assert len(looks) == 30
    legend = figure.legends[0].get_window_extent()
    assert legend.x0 >= 0
    assert all(not legend.overlaps(panel.bbox) for panel in figure.axes)
    boxes = [mark.get_window_extent() for mark in marks(figure.axes[0])]
    inside = figure.axes[0].bbox
    assert all(inside.x0 < box.x0 and box.x1 < inside.x1 for box in boxes)
    for one, other in combinations(figure.axes, 2):
        assert not one.bbox.overlaps(other.bbox)


def test_points_tell_their_values_under_the_pointer(study: Path, tmp_path: Path) -> None:
    save(draw(study), tmp_path / "depth")
    titles = re.findall(r"<title>([^<]*)</title>", (tmp_path / "depth.svg").read_text())
    assert sum(title.startswith("plain56: 51.00 % training error") for title in titles) == 2  # the bar tells it, too
    assert sum(title.startswith("plain56: 52.00 % test error") for title in titles) == 2
