"""`task=evaluate`: one net, of a run or from anywhere, on all splits and on the test images one by one."""

import logging
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import torch

from resnet_exp.compute.evaluate import recompute_batch_norm, training_batches
from resnet_exp.compute.parts import Parts, prepare, take_up
from resnet_exp.compute.predict import logits_of, predict
from resnet_exp.compute.weights import load_into, read
from resnet_exp.config import Config, NetConfig
from resnet_exp.data.stream import BatchStream
from resnet_exp.grammar import written
from resnet_exp.nets.names import net_name
from resnet_exp.runs.evaluation import (
    FOLDER,
    Evaluated,
    Predictions,
    Score,
    Subject,
    most_confused,
    printable,
    write_evaluation,
)
from resnet_exp.runs.folder import RunFolder

SHOWN = {"train": "training", "val": "validation", "test": "test"}

log = logging.getLogger(__name__)


def assess(parts: Parts, *, stream: BatchStream, subject: Subject, out: Path) -> Path:
    """Evaluates a net without augmentation, says loss and error of each split, and writes the folder `out`.

    The test images are predicted twice: with the BN statistics that the net has, and with those re-estimated on the
    training batches that follow its step. The net keeps the latter.

    Args:
        stream: of the training batches.
        subject: what is evaluated.

    Returns:
        The folder.

    Raises:
        OSError: `out` cannot be written; all errors are said before.
    """
    model, dataset = parts.model, parts.dataset
    scores, predictions = [], {}
    for split in ("train", "val"):
        images = getattr(dataset, split)
        if images:
            loss, error = parts.evaluation(split)()
            scores.append(said(Score(split, "stored", len(images), loss, error), step=subject.step))

    def predict_test(mode: str) -> Predictions:
        logits = logits_of(model, dataset.test, preprocess=parts.preprocess, precision=parts.precision)
        found, loss = predict(logits, dataset.test.labels)
        scores.append(said(Score("test", mode, len(dataset.test), loss, found.error), step=subject.step))
        return found

    predictions["stored"] = predict_test("stored")
    if model.batch_norms:
        batches = training_batches(dataset.train, stream, first=subject.step or 0, preprocess=parts.preprocess)
        recompute_batch_norm(model, batches, precision=parts.precision)
        predictions["re-estimated"] = predict_test("re-estimated")

    labels = dataset.test.labels.cpu().numpy()
    confused = most_confused(labels, predictions["stored"])
    pixels = dataset.test.images.cpu().numpy()[confused]
    names = list(map(printable, dataset.classes))
    write_evaluation(out, Evaluated(subject, names, scores, labels, predictions, confused, pixels))
    return out


def said(score: Score, *, step: int | None) -> Score:
    """The score, after it was logged."""
    where = "" if step is None else f"step {step}  "
    images = f"{SHOWN[score.split]} images {score.images}"
    how = "" if score.batch_norm == "stored" else f"  (BN statistics {score.batch_norm})"
    log.info("%s%s  loss %.4g  error %.2f %%%s", where, images, score.loss, score.error, how)
    return score


def evaluate_run(config: Config, folder: RunFolder, *, turn: int = 0) -> Path:
    """`task=evaluate`: a run's newest checkpoint on every split; returns the folder that was written, `evaluation/`.

    Raises:
        ValueError: the folder holds no checkpoint, or that of a run with other settings or images.
        OSError: `evaluation/` cannot be written; all errors are logged before.
    """
    earlier, checkpoint = take_up(config, folder)
    if checkpoint is None:
        raise ValueError(f"{folder.path}: no checkpoint to evaluate\ntask=train makes one")
    parts = prepare(config, earlier=earlier, turn=turn)
    parts.model.load_state_dict(checkpoint["state"]["model"])
    subject = Subject(config.name, config.seed, config.data.shown, checkpoint["state"]["step"], "newest checkpoint")
    return assess(parts, stream=parts.stream(config), subject=subject, out=folder.path / FOLDER)


def evaluate_weights(config: Config, *, given: Collection[str], out: Path, turn: int = 0) -> Path:
    """`task=evaluate weights=FILE`: weights from anywhere on every split; returns `out`, which was written.

    The net, its image size and its crop are those of the weights' record, where there is one and the user names no
    other. Images are normalised as `data.mean` and `data.std` say, else as the record or the layout of the file does.

    Args:
        given: the settings that the user named.

    Raises:
        ValueError: there are no weights, or they are another net's.
        OSError: `out` cannot be written; all errors are logged before.
    """
    weights = read(Path(str(config.weights)))
    record, spec = weights.record, None
    if record:
        own = {"data.image_size": record.image_size, "data.crop": record.crop}
        config = config.updated({key: value for key, value in own.items() if key not in given})
        spec = None if {"model", *NetConfig.__dataclass_fields__} & {*given} else record.net
    parts = prepare(config, earlier=None, turn=turn, spec=spec)
    fitted = load_into(parts.model, weights)
    known = (record.mean, record.std) if record and record.mean else (fitted.mean, fitted.std)
    if known[0] and not config.data.mean:
        mean, std = (torch.tensor(values, device=parts.device) for values in known)
        parts = replace(parts, preprocess=replace(parts.preprocess, mean=mean, std=std))
    log.info("%s: weights of %s, layout %s", weights.source, net_name(parts.model.spec), fitted.layout)
    shown = [written([round(value, 4) for value in s.tolist()]) for s in (parts.preprocess.mean, parts.preprocess.std)]
    log.info("images are normalised by data.mean=%s data.std=%s", *shown)
    named = f"{weights.source.name} ({weights.digest})"
    subject = Subject(net_name(parts.model.spec), None, config.data.shown, None, named)
    return assess(parts, stream=parts.stream(config), subject=subject, out=out)
