"""The training loop, read top to bottom: evaluate and log, save, update."""

import logging
from collections.abc import Callable
from typing import Any

from resnet_exp.batches import BatchStream
from resnet_exp.checkpoint import is_finite, save_checkpoint
from resnet_exp.data import Dataset
from resnet_exp.evaluate import Evaluation
from resnet_exp.machine import Precision
from resnet_exp.progress import Progress
from resnet_exp.records import RunFolder
from resnet_exp.signals import Stopped, StopRequest
from resnet_exp.step import State, TrainStep

log = logging.getLogger(__name__)


def columns(dataset: Dataset) -> list[str]:
    """The columns of `metrics.csv`; errors in %."""
    held_out = ["val_loss", "val_error"] if dataset.val else []
    return ["step", "epoch", "lr", "train_loss", "train_error", "test_loss", "test_error", *held_out]


def measure(evaluations: dict[str, Evaluation], *, check: Callable[[], None]) -> dict[str, float] | None:
    """The columns of the splits that are not trained on, now. None if `check` raises `Stopped`."""
    row = {}
    for name, evaluation in evaluations.items():
        try:
            row[f"{name}_loss"], row[f"{name}_error"] = evaluation(check=check)
        except Stopped:
            return None
    return row


def bad_step(state: State, *, healthy: bool) -> int | None:
    """The first step whose loss was not finite, or, if only the weights are not, the one that would follow."""
    first = int(state.totals.first_bad_step)
    return first if first >= 0 else None if healthy else state.step


def restore(state: State, checkpoint: dict[str, Any] | None) -> int:
    """Takes a checkpoint up, if there is one; returns how many bytes of `metrics.csv` belong to it."""
    if checkpoint is None:
        return 0
    state.load_state_dict(checkpoint["state"])
    log.info("resuming at step %d", state.step)
    return int(checkpoint["metrics_offset"])


def train(
    state: State,
    *,
    checkpoint: dict[str, Any] | None,
    origin: dict[str, Any],
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
    """Trains until `steps` updates are done, from a checkpoint if there is one, and records on the way.

    Args:
        origin: goes into every checkpoint, for whoever takes it up.

    Returns:
        `status` (completed, diverged or interrupted), `first_bad_step` (None unless diverged), `images_per_second` (of
        the updates alone; None if there were none).
    """
    offset = restore(state, checkpoint)
    metrics = folder.open(columns=columns(dataset), offset=offset, step=state.step)
    how: Any = {"mean": dataset.mean, "std": dataset.std, "precision": precision}
    splits = {"test": dataset.test} | ({"val": dataset.val} if dataset.val else {})
    evaluations = {name: Evaluation(state.model, split, **how) for name, split in splits.items()}
    state.model.train()
    update = TrainStep(state, stream=stream, dataset=dataset, precision=precision)
    on_cpu = dataset.train.labels.device.type == "cpu"  # elsewhere reading the running error would wait for the device
    status, first_bad_step, saved = "running", None, (state.step, metrics.offset)
    name = folder.path.parent.name
    with Progress(name=name, steps=steps, step=state.step, batch_size=stream.batch_size) as progress:
        while status == "running":
            # First close the step that was just done, or that a stop during its evaluation left open.
            done = state.step == steps
            saving = done or state.step % save_every == 0
            healthy = not saving or is_finite(state.model)  # waits for the device: once per checkpoint
            running = None
            if done or not healthy or state.step % eval_every == 0:
                running = state.totals.read()  # waits for the device: once per evaluation
            if running is not None:
                progress.pause()
                others = measure(evaluations, check=stop.check)
                if others is not None:  # else the totals stay as they are, and the resumed run begins with this row
                    epoch = state.step * stream.batch_size / len(dataset.train)
                    head = {"step": state.step, "epoch": epoch, "lr": lr_at(state.step - 1)}
                    row = head | {"train_loss": running[0], "train_error": running[1]} | others
                    folder.add_row(row)
                    state.totals.clear()
                    progress.report(row)
                first_bad_step = bad_step(state, healthy=healthy)

            if stop.signum is not None:
                status, saving = "interrupted", is_finite(state.model)
            elif first_bad_step is not None:
                status, saving = "diverged", False
            elif done:
                status = "completed"
            if saving and (state.step, metrics.offset) != saved:
                progress.pause()
                content = {"state": state.state_dict(), "metrics_offset": metrics.offset, "origin": origin}
                save_checkpoint(folder.path, content)
                saved = (state.step, metrics.offset)
            if status != "running":
                break

            progress.start()
            update(lr=lr_at(state.step))
            stop.at_stake = True
            progress.tick(state.totals.read() if on_cpu else None, long_matters=on_cpu)
    if status == "interrupted":
        log.info("stopped: the same command goes on from step %d", saved[0])
    rate = progress.images_per_second
    return {"status": status, "first_bad_step": first_bad_step, "images_per_second": rate}
