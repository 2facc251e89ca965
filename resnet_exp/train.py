"""The training loop, read top to bottom: set lr, update, evaluate and log, save."""

import logging
from collections.abc import Callable
from typing import Any

from resnet_exp.batches import BatchStream, crop_and_flip, normalise, pad
from resnet_exp.checkpoint import is_finite, load_checkpoint, save_checkpoint
from resnet_exp.data import Dataset
from resnet_exp.machine import Precision
from resnet_exp.optim import set_lr
from resnet_exp.progress import Progress
from resnet_exp.records import RunFolder
from resnet_exp.signals import StopRequest
from resnet_exp.step import State, evaluate, update

log = logging.getLogger(__name__)


def columns(dataset: Dataset) -> list[str]:
    """The columns of `metrics.csv`; errors in %."""
    held_out = ["val_loss", "val_error"] if dataset.val else []
    return ["step", "epoch", "lr", "train_loss", "train_error", "test_loss", "test_error", *held_out]


def measure(
    state: State, dataset: Dataset, *, precision: Precision, lr: float, batch_size: int, progress: Progress
) -> dict[str, float]:
    """One row of `metrics.csv`: the running training error since the last row, and the other splits' errors now."""
    loss, error = state.totals.read()  # waits for the device: once per evaluation
    progress.pause()
    epoch = state.step * batch_size / len(dataset.train)
    row = {"step": state.step, "epoch": epoch, "lr": lr, "train_loss": loss, "train_error": error}
    for name, split in (("test", dataset.test), ("val", dataset.val)):
        if split:
            row[f"{name}_loss"], row[f"{name}_error"] = evaluate(
                state.model, split, mean=dataset.mean, std=dataset.std, precision=precision
            )
    state.totals.clear()
    return row


def bad_step(state: State, *, healthy: bool) -> int | None:
    """The first step whose loss was not finite, or, if only the weights are not, the one that would follow."""
    first = int(state.totals.first_bad_step)
    return first if first >= 0 else None if healthy else state.step


def restore(state: State, folder: RunFolder) -> int:
    """Takes up the folder's checkpoint, if there is one; returns how many bytes of `metrics.csv` belong to it.

    Raises:
        ValueError: there are checkpoints, but none is whole.
    """
    checkpoint = load_checkpoint(folder.path)
    if checkpoint is None:
        return 0
    state.load_state_dict(checkpoint["state"])
    log.info("resuming at step %d", state.step)
    return int(checkpoint["metrics_offset"])


def train(
    state: State,
    *,
    lr_at: Callable[[int], float],
    stream: BatchStream,
    dataset: Dataset,
    precision: Precision,
    folder: RunFolder,
    steps: int,
    eval_every: int,
    save_every: int,
    stop: StopRequest,
) -> dict[str, Any]:
    """Trains until `steps` updates are done, from the folder's checkpoint if it has one, and records on the way.

    Returns:
        `status` (completed, diverged or interrupted), `first_bad_step` (None unless diverged), `images_per_second` (of
        the updates alone; None if there were none).
    """
    metrics = folder.open(columns=columns(dataset), offset=restore(state, folder), step=state.step)
    padded = pad(dataset.train.images, padding=stream.padding)
    size = dataset.train.images.shape[1]
    on_cpu = padded.device.type == "cpu"  # elsewhere reading the running error would wait for the device
    status, first_bad_step = "completed", None
    state.model.train()
    name = folder.path.parent.name
    with Progress(name=name, steps=steps, step=state.step, batch_size=stream.batch_size) as progress:
        while state.step < steps and status == "completed":
            lr = lr_at(state.step)
            set_lr(state.optimizer, lr)

            draw = stream.batch(state.step)
            images = normalise(crop_and_flip(padded, draw, size=size), mean=dataset.mean, std=dataset.std)
            update(state, images=images, labels=dataset.train.labels[draw.indices], precision=precision)
            progress.tick(state.totals.read()[1] if on_cpu else None, long_matters=on_cpu)

            done, stopping = state.step == steps, stop.signum is not None
            saving = done or stopping or state.step % save_every == 0
            healthy = not saving or is_finite(state.model)  # waits for the device: once per checkpoint
            if done or not healthy or state.step % eval_every == 0:
                row = measure(
                    state, dataset, precision=precision, lr=lr, batch_size=stream.batch_size, progress=progress
                )
                folder.add_row(row)
                progress.report(row)
                first_bad_step = bad_step(state, healthy=healthy)
            if first_bad_step is not None:
                status = "diverged"
            elif saving:
                progress.pause()
                save_checkpoint(folder.path, {"state": state.state_dict(), "metrics_offset": metrics.offset})
                if stopping:
                    log.info("stopped and saved at step %d: the same command goes on from there", state.step)
                    status = "interrupted"
            progress.start()
    rate = progress.images_per_second
    return {"status": status, "first_bad_step": first_bad_step, "images_per_second": rate}
