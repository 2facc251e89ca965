"""The figure of error curves: what is drawn where."""

import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from resnet_exp.study.arms import group_arms
from resnet_exp.study.curves import draw_curves
from resnet_exp.study.figure import save
from tests.helpers import load_runs, write_run


def test_panels_share_axes_and_colours_and_show_both_errors(study: Path) -> None:
    figure = draw_curves(group_arms(load_runs(study)), caption="which data")
    left, right = figure.axes
    assert (left.get_title(), right.get_title()) == ("plain", "resnet")
    assert left.get_ylim() == right.get_ylim()
    assert left.get_xlim() == right.get_xlim() == (0, 300)

    def curves(panel: object) -> list[tuple[str, float, list[float]]]:
        return [
            (line.get_color(), line.get_linewidth(), np.asarray(line.get_ydata()).tolist())
            for line in panel.get_lines()
            if len(line.get_xdata()) == 3
        ]

    thin20, bold20, thin56, bold56 = curves(left)
    assert thin20[2] == [61, 40, 31]
    assert bold20[2] == [62, 41, 32]
    assert thin20[1] < bold20[1]
    assert thin20[0] == bold20[0] != thin56[0] == bold56[0]
    assert [colour for colour, _, _ in curves(right)] == [thin20[0], thin20[0], thin56[0], thin56[0]]
    low, high = left.get_ylim()
    assert low <= 26
    assert high >= 61
    assert [text.get_text() for text in left.texts] == ["20 layers", "56 layers"]
    assert figure.get_supxlabel() == "which data"


def test_labels_of_curves_that_end_together_do_not_touch(study: Path) -> None:
    for depth in (32, 44):
        write_run(study, "resnet", depth, 0, [50.0, 40.0, 25.0])
    figure = draw_curves(group_arms(load_runs(study)), caption="")
    heights = sorted(text.xy[1] for text in figure.axes[1].texts)
    low, high = figure.axes[1].get_ylim()
    assert len(heights) == 4
    assert np.diff(heights).min() >= 0.05 * (high - low)


def test_many_panels_stand_in_rows_with_their_scales_at_the_edge(tmp_path: Path) -> None:
    for index in range(10):
        write_run(tmp_path, "resnet", 20, 0, [60.0, 50.0], suffix=f"-lr0.{index}")
    figure = draw_curves(group_arms(load_runs(tmp_path)), caption="which data")
    places = [panel.get_position() for panel in figure.axes]
    assert len({round(place.y0, 3) for place in places}) == 3
    assert len({round(place.x0, 3) for place in places}) == 4
    assert [bool(panel.get_ylabel()) for panel in figure.axes] == [number % 4 == 0 for number in range(10)]
    assert [bool(panel.get_xlabel()) for panel in figure.axes] == [number >= 6 for number in range(10)]
    assert len({panel.get_ylim() for panel in figure.axes}) == 1


@pytest.mark.parametrize("panels", [2, 10])
@pytest.mark.parametrize(
    ("steps", "written"),
    [
        (1500, "500"),
        (6000, "2000"),
        (9900, "2000"),
        (10_000, "10k"),
        (15_000, "5k"),
        (64_000, "20k"),
        (600_000, "200k"),
    ],
)
def test_steps_are_written_alike_and_do_not_touch(tmp_path: Path, steps: int, written: str, panels: int) -> None:
    for number in range(panels):
        run = write_run(tmp_path, "resnet", 20, 0, [60.0], suffix=f"-lr0.{number}", steps=steps)
        file = run / "metrics.csv"
        file.write_text(file.read_text().replace("\n100,", f"\n{steps},"))
    figure = draw_curves(group_arms(load_runs(tmp_path)), caption="")
    figure.draw_without_rendering()
    for panel in (panel for panel in figure.axes if panel.get_xlabel()):
        assert panel.get_xlim() == (0, steps)
        texts = [text for text in panel.get_xticklabels() if text.get_position()[0] <= steps]
        zero, *shown = [text.get_text() for text in texts]
        assert zero == "0"
        assert written in shown
        assert 2 <= len(shown) <= 6
        assert all(re.fullmatch(r"\d+k" if steps >= 10_000 else r"\d+", label) for label in shown)
        boxes = [text.get_window_extent() for text in texts]
        assert all(one.x1 + 8 < other.x0 for one, other in pairwise(boxes))


@pytest.mark.parametrize("title", ["prices_$1_to_$5", "$HOME `id` $(id)", "a_b^c"])
def test_the_name_of_the_data_is_no_formula(study: Path, tmp_path: Path, title: str) -> None:
    figure = draw_curves(group_arms(load_runs(study)), caption=title)
    assert title in save(figure, tmp_path / "curves")
