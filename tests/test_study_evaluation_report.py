"""What is drawn and written beside the data of an evaluation, and what is said on the screen."""

import csv
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from resnet_exp.runs.evaluation import Predictions, write_evaluation
from resnet_exp.study import evaluation_report
from resnet_exp.study.evaluation import calibration_of, confusion_of, top5_error_of
from resnet_exp.study.evaluation_report import class_table, draw_evaluation, numbers_table, pairs_sentence
from tests.helpers import make_evaluated


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """No figures, which take most of the time."""
    monkeypatch.setattr(evaluation_report, "DRAW", {})


def test_figures_and_tables_lie_beside_the_data(tmp_path: Path) -> None:
    evaluated = make_evaluated()
    write_evaluation(tmp_path, evaluated)
    shown = draw_evaluation(tmp_path)
    figures = {f"{name}.{end}" for name in evaluation_report.FIGURES for end in ("png", "svg", "pdf")}
    data = {"evaluation.json", "predictions.csv", "most_confused.npz"}
    assert {file.name for file in tmp_path.iterdir()} == figures | data | {"confusion.csv", "evaluation.md"}
    for name in evaluation_report.FIGURES:
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        ET.parse(tmp_path / f"{name}.svg")
    assert f"evaluation: {tmp_path / 'evaluation.md'}" in shown.splitlines()
    assert "resnet20 seed 0, step 1,500 · shapes, 24 test images of 3 classes" in shown.splitlines()
    assert pairs_sentence(evaluated) in shown.splitlines()


@pytest.mark.usefixtures("undrawn")
def test_the_confusion_as_a_table(tmp_path: Path) -> None:
    evaluated = make_evaluated(classes=("cat", 'a,"b"', "ship"))
    write_evaluation(tmp_path, evaluated)
    draw_evaluation(tmp_path)
    with (tmp_path / "confusion.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["batch_norm", "true class", "cat", 'a,"b"', "ship"]
    assert [row[:2] for row in rows] == [[mode, name] for mode in evaluated.predictions for name in header[2:]]
    for mode, predictions in evaluated.predictions.items():
        counts = [[int(cell) for cell in row[2:]] for row in rows if row[0] == mode]
        assert counts == confusion_of(evaluated.labels, predictions, num_classes=3).tolist()


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(("num_classes", "top5"), [(10, False), (11, True)])
def test_numbers_stand_side_by_side_for_each_kind_of_bn_statistics(
    tmp_path: Path, num_classes: int, top5: bool
) -> None:
    evaluated = make_evaluated(classes=tuple(f"c{index}" for index in range(num_classes)))
    table = numbers_table(evaluated)
    assert table.header == ["BN statistics", "error (%)", *(["top-5 error (%)"] if top5 else []), "ECE (%)"]
    for row, (mode, predictions) in zip(table.rows, evaluated.predictions.items(), strict=True):
        numbers = [predictions.error, top5_error_of(predictions), calibration_of(predictions).ece]
        assert row == [mode, *(f"{number:.2f}" for number in (numbers if top5 else numbers[::2]))]
    write_evaluation(tmp_path, evaluated)
    shown, written = draw_evaluation(tmp_path), (tmp_path / "evaluation.md").read_text()
    for row in table.rows:
        (line,) = [line for line in shown.splitlines() if line.startswith(f"| {row[0]}")]
        assert [cell.strip() for cell in line.split("|")[1:-1]] == row
        assert line in written


@pytest.mark.usefixtures("undrawn")
def test_errors_of_splits_and_classes_are_written(tmp_path: Path) -> None:
    evaluated = make_evaluated()
    write_evaluation(tmp_path, evaluated)
    draw_evaluation(tmp_path)
    lines = (tmp_path / "evaluation.md").read_text().splitlines()
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line.startswith("|")]
    assert ["train", "stored", "90", "0.25", "10.00"] in cells
    assert ["test", "stored", "24", "1.5", "50.00"] in cells
    for index, name in enumerate(evaluated.classes):
        of_class = evaluated.labels == index
        errors = [100 * np.mean(p.predicted[of_class] != index) for p in evaluated.predictions.values()]
        taken = [int(p) for p in evaluated.predictions["stored"].predicted[of_class] if p != index]
        most = max(sorted(set(taken)), key=taken.count)
        last = f"{evaluated.classes[most]} ({taken.count(most)})"
        assert [name, "8", *(f"{error:.2f}" for error in errors), last] in cells


def test_nothing_wrong_and_no_images_of_a_class() -> None:
    labels = np.array([0, 1, 1])
    right = Predictions(labels, np.array([0.5, 0.75, np.nan]), np.ones(3, np.int64))
    evaluated = make_evaluated(labels=labels, predictions={"stored": right}, confused=labels[:0])
    assert class_table(evaluated).rows == [
        ["cat", "1", "0.00", "-"],
        ["dog", "2", "0.00", "-"],
        ["ship", "0", "-", "-"],
    ]
    assert pairs_sentence(evaluated) == "no test image is wrong"
    assert numbers_table(evaluated).rows == [["stored", "0.00", "-"]]


def test_the_worst_pairs_are_named_with_both_directions() -> None:
    labels = np.repeat([0, 1, 2], [5, 4, 3])
    predicted = np.array([1, 1, 1, 2, 0, 0, 1, 1, 2, 2, 2, 2])  # 3 cats are dogs, 1 dog is a cat; 1 cat, 1 dog a ship
    stored = Predictions(predicted, np.full(12, 0.5), np.where(labels == predicted, 1, 2))
    evaluated = replace(make_evaluated(), labels=labels, predictions={"stored": stored})
    assert pairs_sentence(evaluated) == (
        "most confused: cat → dog 3, dog → cat 1; cat → ship 1, ship → cat 0; dog → ship 1, ship → dog 0"
    )


def test_a_damaged_evaluation_is_not_drawn(tmp_path: Path) -> None:
    write_evaluation(tmp_path, make_evaluated())
    (tmp_path / "predictions.csv").write_text("index\n")
    with pytest.raises(ValueError, match=r"predictions\.csv"):
        draw_evaluation(tmp_path)
    assert not (tmp_path / "evaluation.md").exists()
