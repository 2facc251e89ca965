"""The figures of an evaluation show its numbers, with names, and say what they are of."""

import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from resnet_exp.runs.evaluation import Evaluated, Predictions, Subject
from resnet_exp.study import figure as figures
from resnet_exp.study.evaluation import calibration_of, class_errors, confusion_of
from resnet_exp.study.evaluation_figures import (
    described,
    draw_confusion,
    draw_most_confused,
    draw_reliability,
    shortened,
)
from resnet_exp.study.figure import save
from tests.helpers import make_evaluated

TEN = tuple(f"class{index}" for index in range(10))
HUNDRED = tuple(f"class{index}" for index in range(100))
Draw = Callable[[Evaluated], Figure]
DRAW = (draw_confusion, draw_reliability, draw_most_confused)


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def with_images(figure: Figure) -> list[Axes]:
    return [panel for panel in figure.axes if panel.images]


def without_bn(evaluated: Evaluated) -> Evaluated:
    return replace(evaluated, predictions={"stored": evaluated.predictions["stored"]})


@pytest.mark.parametrize("draw", DRAW)
def test_every_figure_says_of_what_it_is(draw: Draw) -> None:
    caption = "resnet20 seed 0, step 1,500 · shapes, 24 test images of 3 classes"
    assert caption in texts(draw(make_evaluated()))
    assert described(make_evaluated()) == caption
    foreign = make_evaluated(subject=Subject("net", 1, "CIFAR-10", None, "weights.pt"))
    assert described(foreign) == "net seed 1, weights.pt · CIFAR-10, 24 test images of 3 classes"


@pytest.mark.parametrize(("draw", "titles"), [*zip(DRAW, (2, 2, 1), strict=True)])
def test_kinds_of_bn_statistics_are_told_apart_where_there_are_two(draw: Draw, titles: int) -> None:
    shown = [text for text in texts(draw(make_evaluated())) if "BN statistics" in text]
    assert len(shown) == titles
    assert "stored BN statistics" in shown[0]
    alone = draw(without_bn(make_evaluated()))
    assert not [text for text in texts(alone) if "BN" in text]


def test_the_confusion_has_the_counts_of_each_kind_in_its_cells() -> None:
    evaluated = make_evaluated(classes=TEN)
    panels = draw_confusion(evaluated).axes[:2]
    for panel, (mode, predictions) in zip(panels, evaluated.predictions.items(), strict=True):
        confusion = confusion_of(evaluated.labels, predictions, num_classes=10)
        written = {(int(t.get_position()[1]), int(t.get_position()[0])): t.get_text() for t in panel.texts}
        expected = {(i, j): f"{confusion[i, j]}" for i in range(10) for j in range(10) if confusion[i, j]}
        assert written == expected
        share = np.asarray(panel.images[0].get_array())
        assert share.sum(1) == pytest.approx(np.full(10, 100))
        assert share.diagonal() == pytest.approx(100 - class_errors(confusion))
        error = 100 * np.mean(predictions.predicted != evaluated.labels)
        assert panel.get_title() == f"{mode} BN statistics: error {error:.2f} %"
        assert [label.get_text() for label in panel.get_xticklabels()] == list(TEN)
    assert [label.get_text() for label in panels[0].get_yticklabels()] == list(TEN)


def test_a_hundred_classes_have_few_names_at_their_places_and_no_counts() -> None:
    panel = draw_confusion(make_evaluated(classes=HUNDRED, per_class=2)).axes[0]
    assert len(panel.texts) == 0
    labels = panel.get_yticklabels()
    assert len(labels) == 20
    for place, label in zip(panel.get_yticks(), labels, strict=True):
        assert label.get_text() == f"class{place:.0f}"


def test_a_class_without_images_has_an_empty_row() -> None:
    evaluated = make_evaluated(classes=(*TEN[:3], "none"))
    some = evaluated.labels != 3
    predictions = {
        mode: Predictions(of.predicted[some], of.confidence[some], of.rank[some])
        for mode, of in evaluated.predictions.items()
    }
    panel = draw_confusion(replace(evaluated, labels=evaluated.labels[some], predictions=predictions)).axes[0]
    assert np.asarray(panel.images[0].get_array())[3].tolist() == [0] * 4


def test_bars_are_accuracies_beside_mean_confidences() -> None:
    evaluated = make_evaluated(classes=TEN)
    figure = draw_reliability(evaluated)
    columns = zip(figure.axes[:2], figure.axes[2:], evaluated.predictions.items(), strict=True)
    for upper, lower, (mode, predictions) in columns:
        calibration = calibration_of(predictions)
        assert upper.get_title() == f"{mode} BN statistics: ECE {calibration.ece:.2f} %"
        held = np.flatnonzero(calibration.images)
        bars = [bar for bar in upper.patches if bar.get_url()]
        assert [bar.get_x() for bar in bars] == pytest.approx(100 * calibration.edges[held])
        assert [bar.get_height() for bar in bars] == pytest.approx(100 * calibration.accuracy[held])
        lines = [line for line in upper.get_lines() if line.get_url()]
        means = [line.get_ydata()[0] for line in lines]
        assert means == pytest.approx(100 * calibration.confidence[held])
        for bar, count in zip(bars, calibration.images[held], strict=True):
            assert f": {count} image" in bar.get_url()
        assert sum(bar.get_height() for bar in lower.patches) == pytest.approx(100)


def test_confidences_that_are_no_numbers_are_drawn_around(tmp_path: Path) -> None:
    evaluated = make_evaluated()
    stored = evaluated.predictions["stored"]
    nothing = replace(stored, confidence=np.full(len(stored.rank), np.nan))
    figure = draw_reliability(replace(evaluated, predictions={"stored": nothing}))
    assert figure.axes[0].get_title() == "ECE not defined"
    save(figure, tmp_path / "reliability")


def test_the_most_confused_images_have_their_names_and_confidences() -> None:
    evaluated = make_evaluated(classes=TEN)
    figure = draw_most_confused(evaluated)
    stored = evaluated.predictions["stored"]
    panels = with_images(figure)
    assert len(panels) == len(evaluated.confused) == 20
    for panel, index, pixels in zip(panels, evaluated.confused, evaluated.pixels, strict=True):
        true, predicted = TEN[evaluated.labels[index]], TEN[stored.predicted[index]]
        assert panel.get_title() == f"{true}\n→ {predicted}\n{100 * stored.confidence[index]:.1f} %"
        assert np.array_equal(panel.images[0].get_array(), pixels)
    wrong = int((stored.predicted != evaluated.labels).sum())
    assert f"20 of {wrong} wrong images" in figure.get_suptitle()


@pytest.mark.parametrize(("wrong", "panels"), [(0, 0), (1, 1), (7, 7)])
def test_fewer_wrong_images_leave_the_other_places_empty(tmp_path: Path, wrong: int, panels: int) -> None:
    evaluated = make_evaluated()
    figure = draw_most_confused(
        replace(evaluated, confused=evaluated.confused[:wrong], pixels=evaluated.pixels[:wrong])
    )
    assert len(with_images(figure)) == panels
    assert all(not panel.axison for panel in figure.axes)
    assert ("no image is wrong" in figure.get_suptitle()) == (wrong == 0)
    save(figure, tmp_path / "figure")


def test_names_are_no_formulas_and_letters_without_a_glyph_no_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "FORMATS", {"svg": figures.FORMATS["svg"]})  # faster
    evaluated = make_evaluated(classes=("a$x^$b", "c$_{", "犬"))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for draw in DRAW:
            save(draw(evaluated), tmp_path / draw.__name__)
    assert caught == []
    assert "a$x^$b" in (tmp_path / "draw_confusion.svg").read_text()
    assert "犬" in (tmp_path / "draw_most_confused.svg").read_text()


def test_long_names_keep_both_ends() -> None:
    assert shortened("sixteen_letters_") == "sixteen_letters_"
    assert shortened("a_long_name_of_a_class_1") == "a_long_…_class_1"
    assert len(shortened("x" * 200)) == 16
