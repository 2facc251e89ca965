"""The numbers of an evaluation, against slow obvious computations."""

import math

import numpy as np
import pytest

from resnet_exp.runs.evaluation import Predictions
from resnet_exp.study.evaluation import (
    calibration_of,
    class_errors,
    confused_pairs,
    confusion_of,
    top5_error_of,
)

CLASSES = 12


def some(seed: int = 0, images: int = 300) -> tuple[np.ndarray, Predictions]:
    """Labels and predictions of 12 classes, the last of which has no image."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, CLASSES - 1, images)
    rank = random.integers(1, CLASSES + 1, images)
    other = (labels + random.integers(1, CLASSES, images)) % CLASSES
    return labels, Predictions(np.where(rank == 1, labels, other), random.uniform(0, 1, images), rank)


def right(confidences: list[float], hits: list[bool]) -> Predictions:
    rank = np.where(hits, 1, 2)
    return Predictions(np.zeros(len(hits), np.int64), np.array(confidences), rank)


def test_errors_are_shares_of_images() -> None:
    labels, predictions = some()
    wrong = sum(int(p != t) for p, t in zip(predictions.predicted, labels, strict=True))
    assert predictions.error == pytest.approx(100 * wrong / 300)
    beyond = sum(1 for rank in predictions.rank if rank not in (1, 2, 3, 4, 5))
    assert top5_error_of(predictions) == pytest.approx(100 * beyond / 300)
    assert 0 < beyond < wrong < 300


def test_the_confusion_counts_every_image_once() -> None:
    labels, predictions = some()
    confusion = confusion_of(labels, predictions, num_classes=CLASSES)
    by_hand = [[0] * CLASSES for _ in range(CLASSES)]
    for label, predicted in zip(labels, predictions.predicted, strict=True):
        by_hand[label][predicted] += 1
    assert confusion.tolist() == by_hand
    errors = class_errors(confusion)
    for label in range(CLASSES - 1):
        images = [i for i in range(300) if labels[i] == label]
        wrong = [i for i in images if predictions.predicted[i] != label]
        assert errors[label] == pytest.approx(100 * len(wrong) / len(images))
    assert math.isnan(errors[CLASSES - 1]), "no image, no error"


def test_pairs_are_confused_in_both_directions() -> None:
    confusion = np.array([[9, 1, 2, 0], [4, 9, 0, 0], [2, 0, 9, 0], [0, 1, 0, 9]])
    assert confused_pairs(confusion, most=3) == [(1, 0), (0, 2), (3, 1)]
    assert confused_pairs(confusion, most=1) == [(1, 0)]
    assert confused_pairs(np.diag([3, 4]), most=3) == []
    labels, predictions = some()
    confusion = confusion_of(labels, predictions, num_classes=CLASSES)
    sums = {(a, b): confusion[a, b] + confusion[b, a] for a in range(CLASSES) for b in range(a)}
    worst = sorted(sums.values(), reverse=True)[:5]
    assert [confusion[a, b] + confusion[b, a] for a, b in confused_pairs(confusion, most=5)] == worst
    assert all(confusion[a, b] >= confusion[b, a] for a, b in confused_pairs(confusion, most=5))


def test_ece_of_an_example_by_hand() -> None:
    """Two bins: 0.9 and 0.92, one of two right; 0.5, 0.48 and 0.49, one of three right."""
    calibration = calibration_of(right([0.9, 0.92, 0.5, 0.48, 0.49], [True, False, True, False, False]))
    expected = 2 / 5 * abs(1 / 2 - 0.91) + 3 / 5 * abs(1 / 3 - 0.49)
    assert calibration.ece == pytest.approx(100 * expected)
    assert calibration.images.tolist() == [0] * 7 + [3] + [0] * 5 + [2, 0]
    assert calibration.accuracy[7] == pytest.approx(1 / 3)
    assert calibration.confidence[13] == pytest.approx(0.91)
    assert np.isnan(calibration.accuracy[0])
    assert np.isnan(calibration.confidence[0])


def test_ece_of_perfect_and_constant_classifiers() -> None:
    assert calibration_of(right([1.0] * 8, [True] * 8)).ece == 0
    assert calibration_of(right([1.0] * 8, [True] * 2 + [False] * 6)).ece == pytest.approx(75)
    tenth = calibration_of(right([0.1] * 40, [True] * 4 + [False] * 36))  # guesses one of ten classes, and knows it
    assert tenth.ece == pytest.approx(0)
    assert tenth.images.tolist() == [0, 40] + [0] * 13


def test_ece_against_loops() -> None:
    _, predictions = some(seed=3)
    total, bins = 0.0, [0] * 15
    for index in range(15):
        low, high = index / 15, (index + 1) / 15
        inside = [i for i in range(300) if low < predictions.confidence[i] <= high]
        bins[index] = len(inside)
        if inside:
            accuracy = sum(predictions.rank[i] == 1 for i in inside) / len(inside)
            confidence = sum(predictions.confidence[i] for i in inside) / len(inside)
            total += len(inside) / 300 * abs(accuracy - confidence)
    calibration = calibration_of(predictions)
    assert calibration.ece == pytest.approx(100 * total)
    assert calibration.images.tolist() == bins
    assert calibration.edges.tolist() == [i / 15 for i in range(16)]


def test_a_bin_holds_its_upper_edge() -> None:
    edges = [i / 15 for i in range(16)]
    calibration = calibration_of(right(edges, [True] * 16))
    assert calibration.images.tolist() == [2] + [1] * 14, "0 belongs to the first"


def test_confidences_that_are_no_numbers_have_no_calibration() -> None:
    calibration = calibration_of(right([0.5, math.nan], [True, False]))
    assert math.isnan(calibration.ece)
    assert calibration.images.sum() == 1
