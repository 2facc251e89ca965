"""The folder `evaluation/` of a run: what its net says of every test image, in files that are read without torch.

    predictions.csv     an image a row: index, label, predicted class, confidence, rank of the true class
    most_confused.npz   the images that are wrong with the highest confidence: index (K,), pixels (K, S, S, 3) uint8
    evaluation.json     which run, data and weights, classes' names, errors of each split, checksums of the others

`evaluation.json` is written last: without it, or if it does not fit the others, there is no evaluation.
"""

import hashlib
import io
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from resnet_exp.files import SCRAPS, replace

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Pixels = NDArray[np.uint8]
FOLDER, SCHEMA = "evaluation", 1
RECORD, PREDICTIONS, CONFUSED = "evaluation.json", "predictions.csv", "most_confused.npz"
DRAWN = ("confusion.*", "reliability.*", "most_confused.*", "evaluation.md")  # what is made of the files
BN_MODES = {"stored": "", "re-estimated": "_reestimated"}  # and the endings of their columns
MOST_CONFUSED = 20  # images


@dataclass(frozen=True)
class Subject:
    """What is evaluated.

    Args:
        name: of the run, or of the net where the weights are from elsewhere.
        seed: of the run; None: of no run.
        data: how figures call the images.
        step: updates behind the weights; None: not known.
        weights: where the weights come from.
    """

    name: str
    seed: int | None
    data: str
    step: int | None
    weights: str

    @property
    def called(self) -> str:
        """`resnet20 seed 0`"""
        return self.name if self.seed is None else f"{self.name} seed {self.seed}"


@dataclass(frozen=True)
class Score:
    """Mean loss and error (%) of one split; `batch_norm` is one of BN_MODES."""

    split: str
    batch_norm: str
    images: int
    loss: float
    error: float


@dataclass(frozen=True)
class Predictions:
    """What a net says of every image: arrays (N,).

    Args:
        predicted: the class with the largest logit, of equal ones the first.
        confidence: its softmax probability, 0 to 1; NaN where the logits are no finite numbers.
        rank: of the true class among the logits, from 1.
    """

    predicted: Ints
    confidence: Floats
    rank: Ints

    @property
    def error(self) -> float:
        """Share of images in % whose true class does not come first."""
        return float(100 * (self.rank > 1).mean())


@dataclass(frozen=True)
class Evaluated:
    """The content of the folder.

    Args:
        classes: their names, printable.
        scores: of every split; of the test split under each of its BN modes.
        labels: of the test images, (N,).
        predictions: by BN mode, stored statistics first; a net without BN has no other.
        confused: indices of the test images in `pixels`, (K,), the most confident first.
        pixels: (K, S, S, 3) uint8.
    """

    subject: Subject
    classes: list[str]
    scores: list[Score]
    labels: Ints
    predictions: dict[str, Predictions]
    confused: Ints
    pixels: Pixels


def most_confused(labels: Ints, predictions: Predictions) -> Ints:
    """Indices of up to 20 images that are wrong, (K,): those with the highest confidence, the highest first."""
    order = np.argsort(-predictions.confidence, kind="stable")  # NaN comes last
    return order[predictions.predicted[order] != labels[order]][:MOST_CONFUSED]


def printable(name: str) -> str:
    """The name of a class as figures and files can hold it: a folder may be called anything."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in name)


def write_evaluation(folder: Path, evaluated: Evaluated) -> None:
    """Writes the folder anew, or leaves no evaluation in it.

    Raises:
        OSError: the disk is full or not writable.
    """
    npz = io.BytesIO()
    np.savez_compressed(npz, index=evaluated.confused, pixels=evaluated.pixels)
    files = {PREDICTIONS: predictions_csv(evaluated).encode(), CONFUSED: npz.getvalue()}
    record = {
        "schema": SCHEMA,
        **asdict(evaluated.subject),
        "classes": evaluated.classes,
        "batch_norm": list(evaluated.predictions),
        "scores": list(map(asdict, evaluated.scores)),
    }
    record["sha256"] = {RECORD: own_sum(record)} | {name: sum_of(content) for name, content in files.items()}
    folder.mkdir(parents=True, exist_ok=True)
    clear_evaluation(folder)
    try:
        for name, content in files.items():
            replace(folder / name, [content])
        replace(folder / RECORD, [(json.dumps(record, indent=2) + "\n").encode()])
    except OSError:
        clear_evaluation(folder)
        raise


def sum_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def own_sum(record: dict[str, Any]) -> str:
    """Of all that the record says but its sums."""
    return sum_of(json.dumps({key: value for key, value in record.items() if key != "sha256"}).encode())


def clear_evaluation(folder: Path) -> None:
    """Removes the files of an evaluation, and what a killed process left of one; other files stay."""
    for pattern in (RECORD, PREDICTIONS, *DRAWN, SCRAPS):  # the record first: without it there is no evaluation
        for file in folder.glob(pattern):
            file.unlink()


def predictions_csv(evaluated: Evaluated) -> str:
    """One row an image; the columns of the second BN mode follow those of the first."""
    names = ["index", "label"]
    columns: list[Iterable[str]] = [map(str, range(len(evaluated.labels))), map(str, evaluated.labels)]
    for mode, of_mode in evaluated.predictions.items():
        names += [f"{column}{BN_MODES[mode]}" for column in ("predicted", "confidence", "rank")]
        confidences = (f"{confidence:.6g}" for confidence in of_mode.confidence)
        columns += [map(str, of_mode.predicted), confidences, map(str, of_mode.rank)]
    return "\n".join(map(",".join, [tuple(names), *zip(*columns, strict=True)])) + "\n"


def read_evaluation(folder: Path) -> Evaluated:
    """What `write_evaluation` wrote.

    Raises:
        ValueError: a file is missing, damaged, or of another evaluation than the rest; or a newer version wrote it.
    """
    record = read_record(folder / RECORD)
    contents = {name: read_checked(folder / name, record["sha256"]) for name in (PREDICTIONS, CONFUSED)}
    file = folder / RECORD
    try:
        subject = Subject(**{key: record[key] for key in Subject.__dataclass_fields__})
        scores = [Score(**score) for score in record["scores"]]
        classes, modes = [printable(name) for name in record["classes"]], record["batch_norm"]
        file = folder / PREDICTIONS
        labels, predictions = read_predictions(contents[PREDICTIONS].decode(), modes=modes, num_classes=len(classes))
        file = folder / CONFUSED
        with np.load(io.BytesIO(contents[CONFUSED]), allow_pickle=False) as npz:
            confused, pixels = npz["index"], npz["pixels"]
        if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[::3] != (len(confused), 3):
            raise ValueError("no images")
        if not ((confused >= 0) & (confused < len(labels))).all():
            raise ValueError("of images that are not in the predictions")
    except (ValueError, KeyError, TypeError, AttributeError, OSError, BadZipFile) as error:
        raise damaged(file) from error
    return Evaluated(subject, classes, scores, labels, predictions, confused.astype(np.int64), pixels)


def damaged(file: Path) -> ValueError:
    return ValueError(f"{file}: missing, damaged, or of another evaluation\ntask=evaluate writes it anew")


def read_record(file: Path) -> dict[str, Any]:
    """`evaluation.json` as far as it must be understood to read on; raises ValueError like `read_evaluation`."""
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
        schema, _ = record["schema"], record["sha256"].items()
        newer = schema > SCHEMA
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise damaged(file) from error
    if newer:
        raise ValueError(f"{file}: schema {schema} is of a newer version of resnet-exp\nthis one knows {SCHEMA}")
    if own_sum(record) != record["sha256"].get(RECORD):
        raise damaged(file)
    return dict(record)


def read_checked(file: Path, sums: dict[str, str]) -> bytes:
    """The bytes of a file of the folder; raises ValueError unless they are those that were written."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise damaged(file) from error
    if sum_of(content) != sums.get(file.name):
        raise damaged(file)
    return content


def read_predictions(text: str, *, modes: list[str], num_classes: int) -> tuple[Ints, dict[str, Predictions]]:
    """Labels and predictions by BN mode from the text of `predictions.csv`.

    Raises:
        ValueError: a column is missing, or a number is none that could stand there.
        KeyError: there is no such mode.
    """
    header, *rows = text.splitlines()
    table = np.loadtxt(rows, delimiter=",", ndmin=2)
    columns = dict(zip(header.split(","), table.T, strict=True))

    def whole(name: str, *, low: int, high: int) -> Ints:
        values = columns[name].astype(np.int64)
        if not ((values == columns[name]) & (values >= low) & (values <= high)).all():
            raise ValueError(name)
        return values

    labels = whole("label", low=0, high=num_classes - 1)
    predictions = {}
    for mode in modes:
        end = BN_MODES[mode]
        predicted = whole(f"predicted{end}", low=0, high=num_classes - 1)
        rank = whole(f"rank{end}", low=1, high=num_classes)
        if not ((predicted == labels) == (rank == 1)).all():
            raise ValueError(f"rank{end}")
        predictions[mode] = Predictions(predicted, columns[f"confidence{end}"], rank)
    return labels, predictions
