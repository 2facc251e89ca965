"""An evaluation for people: its tables, its summary, its figures beside the data."""

import csv
import io
from pathlib import Path

import numpy as np

from resnet_exp.files import replace_text
from resnet_exp.runs.evaluation import Evaluated, read_evaluation
from resnet_exp.study.cells import Table, lines_of, markdown
from resnet_exp.study.evaluation import (
    MIN_CLASSES,
    NUM_BINS,
    calibration_of,
    class_errors,
    confused_pairs,
    confusion_of,
    top5_error_of,
)
from resnet_exp.study.evaluation_figures import described, draw_confusion, draw_most_confused, draw_reliability
from resnet_exp.study.figure import save

FIGURES = {  # what is drawn, and what it shows, in words
    "confusion": "Confusion matrix of the test images: true classes in rows, predicted classes in columns.",
    "reliability": "Accuracy in % against confidence in %, and how many images have that confidence.",
    "most_confused": "Test images that are wrong with the highest confidence: true class, predicted class, confidence.",
}
DRAW = {"confusion": draw_confusion, "reliability": draw_reliability, "most_confused": draw_most_confused}
NOTE = (
    f"Errors in % of the test images. ECE: expected calibration error in {NUM_BINS} bins of equal width"
    " (arXiv 1706.04599). Re-estimated: BN statistics from training batches, for the last weights."
)
MOST_PAIRS = 3


def draw_evaluation(folder: Path) -> str:
    """Draws the evaluation in a folder and writes it in words, beside the data.

    Returns:
        What belongs on the screen: errors, calibration, the pairs of classes that are confused most, where the rest is.

    Raises:
        ValueError: the folder holds no whole evaluation.
        OSError: it cannot be written.
    """
    evaluated = read_evaluation(folder)
    replace_text(folder / "confusion.csv", confusion_csv(evaluated))
    for name, draw in DRAW.items():
        save(draw(evaluated), folder / name)
    head, table, pairs = described(evaluated), numbers_table(evaluated), pairs_sentence(evaluated)
    tables = [scores_table(evaluated), table, class_table(evaluated)]
    replace_text(folder / "evaluation.md", "\n".join([head, "", pairs, *map(markdown, tables)]))
    return "\n".join(["", head, "", *lines_of(table), "", pairs, "", f"evaluation: {folder / 'evaluation.md'}"])


def percent(value: float) -> str:
    return f"{value:.2f}" if np.isfinite(value) else "-"


def scores_table(evaluated: Evaluated) -> Table:
    rows = [[s.split, s.batch_norm, f"{s.images:,}", f"{s.loss:.4g}", percent(s.error)] for s in evaluated.scores]
    return Table("Loss and error, not augmented", ["split", "BN statistics", "images", "loss", "error (%)"], rows)


def numbers_of(evaluated: Evaluated, mode: str) -> dict[str, str]:
    """Error, top-5 error where there are classes enough, ECE, all in %."""
    predictions = evaluated.predictions[mode]
    numbers = {"error (%)": predictions.error}
    if len(evaluated.classes) >= MIN_CLASSES:
        numbers["top-5 error (%)"] = top5_error_of(predictions)
    numbers["ECE (%)"] = calibration_of(predictions).ece
    return {name: percent(value) for name, value in numbers.items()}


def numbers_table(evaluated: Evaluated) -> Table:
    """The test split with each kind of BN statistics."""
    numbers = {mode: numbers_of(evaluated, mode) for mode in evaluated.predictions}
    rows = [[mode, *of_mode.values()] for mode, of_mode in numbers.items()]
    return Table("Test images", ["BN statistics", *numbers["stored"]], rows, NOTE)


def class_table(evaluated: Evaluated) -> Table:
    """The error of each class, and for which class its images are taken most often."""
    classes, modes = evaluated.classes, evaluated.predictions
    confusions = {
        mode: confusion_of(evaluated.labels, predictions, num_classes=len(classes))
        for mode, predictions in modes.items()
    }
    errors = {mode: class_errors(confusion) for mode, confusion in confusions.items()}
    stored = confusions["stored"]
    others = stored - np.diag(stored.diagonal())
    rows = []
    for index, name in enumerate(classes):
        most = int(others[index].argmax())
        taken = f"{classes[most]} ({others[index, most]:,})" if others[index, most] else "-"
        rows.append([name, f"{stored[index].sum():,}", *(percent(of[index]) for of in errors.values()), taken])
    columns = ["error (%)" if mode == "stored" else f"error, {mode} BN (%)" for mode in modes]
    return Table("Test error of each class", ["class", "images", *columns, "most often taken for"], rows)


def pairs_sentence(evaluated: Evaluated) -> str:
    """Which pairs of classes are taken for each other most often, with the stored BN statistics."""
    classes = evaluated.classes
    confusion = confusion_of(evaluated.labels, evaluated.predictions["stored"], num_classes=len(classes))
    parts = [
        f"{classes[a]} → {classes[b]} {confusion[a, b]:,}, {classes[b]} → {classes[a]} {confusion[b, a]:,}"
        for a, b in confused_pairs(confusion, most=MOST_PAIRS)
    ]
    return f"most confused: {'; '.join(parts)}" if parts else "no test image is wrong"


def confusion_csv(evaluated: Evaluated) -> str:
    """The matrices as one table: a row for each BN mode and true class, a column for each predicted class."""
    text, classes = io.StringIO(), evaluated.classes
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["batch_norm", "true class", *classes])
    for mode, predictions in evaluated.predictions.items():
        confusion = confusion_of(evaluated.labels, predictions, num_classes=len(classes))
        writer.writerows([mode, name, *row] for name, row in zip(classes, confusion.tolist(), strict=True))
    return text.getvalue()
