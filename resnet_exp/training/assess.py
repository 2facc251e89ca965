"""One net on all splits, and on the test images one by one: what `evaluation/` holds."""

import logging
from pathlib import Path

from torch import nn

from resnet_exp.data.preprocess import Preprocess
from resnet_exp.data.sets import Dataset
from resnet_exp.data.stream import BatchStream
from resnet_exp.nets.network import Network
from resnet_exp.runs.evaluation import (
    Evaluated,
    Predictions,
    Score,
    Subject,
    most_confused,
    printable,
    write_evaluation,
)
from resnet_exp.training.device import Precision
from resnet_exp.training.evaluate import Evaluation, recompute_batch_norm, training_batches
from resnet_exp.training.predict import logits_of, predict

SHOWN = {"train": "training", "val": "validation", "test": "test"}

log = logging.getLogger(__name__)


def assess(
    model: Network,
    *,
    dataset: Dataset,
    preprocess: Preprocess,
    stream: BatchStream,
    precision: Precision,
    subject: Subject,
    out: Path,
) -> None:
    """Evaluates a net without augmentation, says loss and error of each split, and writes the folder `out`.

    The test images are predicted twice: with the BN statistics that the net has, and with those re-estimated on the
    training batches that follow its step. The net keeps the latter.

    Args:
        stream: of the training batches.
        subject: what is evaluated.

    Raises:
        OSError: `out` cannot be written; all errors are said before.
    """
    scores, predictions = [], {}
    for split in ("train", "val"):
        images = getattr(dataset, split)
        if images:
            loss, error = Evaluation(model, images, preprocess=preprocess, precision=precision)()
            scores.append(said(Score(split, "stored", len(images), loss, error), step=subject.step))

    def predict_test(mode: str) -> Predictions:
        logits = logits_of(model, dataset.test, preprocess=preprocess, precision=precision)
        found, loss = predict(logits, dataset.test.labels)
        error = float(100 * (found.rank > 1).mean())
        scores.append(said(Score("test", mode, len(dataset.test), loss, error), step=subject.step))
        return found

    predictions["stored"] = predict_test("stored")
    if any(isinstance(module, nn.BatchNorm2d) for module in model.modules()):
        batches = training_batches(dataset.train, stream, first=subject.step or 0, preprocess=preprocess)
        recompute_batch_norm(model, batches, precision=precision)
        predictions["re-estimated"] = predict_test("re-estimated")

    labels = dataset.test.labels.cpu().numpy()
    confused = most_confused(labels, predictions["stored"])
    pixels = dataset.test.images.cpu().numpy()[confused]
    names = list(map(printable, dataset.classes))
    write_evaluation(out, Evaluated(subject, names, scores, labels, predictions, confused, pixels))


def said(score: Score, *, step: int | None) -> Score:
    """The score, after it was logged."""
    where = "" if step is None else f"step {step}  "
    images = f"{SHOWN[score.split]} images {score.images}"
    how = "" if score.batch_norm == "stored" else f"  (BN statistics {score.batch_norm})"
    log.info("%s%s  loss %.4g  error %.2f %%%s", where, images, score.loss, score.error, how)
    return score
