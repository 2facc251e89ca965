"""From predictions to numbers: errors, confusion, calibration."""

from dataclasses import dataclass

import numpy as np

from resnet_exp.runs.evaluation import Floats, Ints, Predictions

NUM_BINS = 15  # of equal width, as in Guo et al., On Calibration of Modern Neural Networks, arXiv 1706.04599
TOP = 5
MIN_CLASSES = 11  # with which it means something that the true class is among five


def top5_error_of(predictions: Predictions) -> float:
    """Share of images in % whose true class is not among the first five."""
    return float(100 * (predictions.rank > TOP).mean())


def confusion_of(labels: Ints, predictions: Predictions, *, num_classes: int) -> Ints:
    """How many images of each class (rows) are taken for each class (columns): (C, C)."""
    pairs = labels * num_classes + predictions.predicted
    return np.bincount(pairs, minlength=num_classes**2).reshape(num_classes, num_classes)


def class_errors(confusion: Ints) -> Floats:
    """Error of each class in %, (C,); NaN for a class without images."""
    images = confusion.sum(1)
    wrong = images - confusion.diagonal()
    return np.divide(100 * wrong, images, out=np.full(len(images), np.nan), where=images > 0)


def confused_pairs(confusion: Ints, *, most: int) -> list[tuple[int, int]]:
    """The pairs of classes that are taken for each other most often, the worst first; none that never are.

    A pair begins with the class whose images are taken for the other's more often.
    """
    both = np.triu(confusion + confusion.T, 1)
    worst = np.argsort(-both, axis=None, kind="stable")[:most]
    pairs = [divmod(int(place), len(both)) for place in worst if both.flat[place]]
    return [(a, b) if confusion[a, b] >= confusion[b, a] else (b, a) for a, b in pairs]


@dataclass(frozen=True)
class Calibration:
    """Images in bins of confidence, arrays (NUM_BINS,); what an empty bin cannot have is NaN.

    Args:
        edges: of the bins, (NUM_BINS + 1,); a bin holds its upper edge.
        images: how many.
        confidence: their mean.
        accuracy: share of them that is right, 0 to 1.
        ece: expected calibration error in %, equation 3 of arXiv 1706.04599; NaN if a confidence is.
    """

    edges: Floats
    images: Ints
    confidence: Floats
    accuracy: Floats
    ece: float


def calibration_of(predictions: Predictions) -> Calibration:
    """How far confidences are shares of right answers. Images whose confidence is NaN are in no bin."""
    known = np.isfinite(predictions.confidence)
    confidence, right = predictions.confidence[known], predictions.rank[known] == 1
    edges = np.arange(NUM_BINS + 1) / NUM_BINS
    bins = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, NUM_BINS - 1)
    images, sums, hits = (np.bincount(bins, weights, NUM_BINS) for weights in (None, confidence, right))
    empty = np.full(NUM_BINS, np.nan)
    mean = np.divide(sums, images, out=empty.copy(), where=images > 0)
    accuracy = np.divide(hits, images, out=empty, where=images > 0)
    ece = float(100 * np.abs(hits - sums).sum() / len(known)) if known.all() else float("nan")
    return Calibration(edges, images, mean, accuracy, ece)
