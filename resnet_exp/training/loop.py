"""The training loop, read top to bottom: evaluate and log, keep a snapshot, save, set lr and update."""

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from resnet_exp.compute.evaluate import Evaluation
from resnet_exp.config import TrainConfig
from resnet_exp.runs.checkpoint import is_finite, save_checkpoint
from resnet_exp.runs.folder import RunFolder
from resnet_exp.runs.snapshots import write_snapshot
from resnet_exp.training.progress import Progress
from resnet_exp.training.step import State, TrainStep
from resnet_exp.training.stop import Stop, Stopped

log = logging.getLogger(__name__)


def columns(splits: list[str]) -> list[str]:
    """The columns of `metrics.csv`; errors in %."""
    shown = ["train", *splits]
    return ["step", "epoch", "lr", *(f"{split}_{what}" for split in shown for what in ("loss", "error"))]


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


class Saver:
    """Saves a run's state with its records, each state once.

    Args:
        state: what is saved.
        origin: goes into every checkpoint, for whoever takes it up.
        folder: where; its records are open.
    """

    def __init__(self, state: State, *, origin: dict[str, Any], folder: RunFolder) -> None:
        self.state, self.origin, self.folder = state, origin, folder
        self.saved = self.now

    @property
    def now(self) -> tuple[int, str]:
        """Updates done, and what `metrics.csv` holds."""
        return self.state.step, self.folder.metrics_text

    @property
    def is_due(self) -> bool:
        return self.now != self.saved

    def save(self) -> None:
        now = self.now
        content = {"state": self.state.state_dict(), "metrics": now[1], "origin": self.origin}
        save_checkpoint(self.folder.path, content)
        self.saved = now

    def keep_snapshot(self) -> None:
        write_snapshot(self.folder.path, self.state.model.state_dict(), step=self.state.step)


def log_row(
    state: State,
    update: TrainStep,
    *,
    lr: float,
    evaluations: dict[str, Evaluation],
    folder: RunFolder,
    progress: Progress,
    check: Callable[[], None],
) -> None:
    """Evaluates, and adds a row to `metrics.csv`, if there was an update since the last one.

    If `check` raises `Stopped` there is no row, and the totals stay as they are: the resumed run begins with this row.
    """
    running = state.totals.read()  # waits for the device: once per evaluation
    if running is None:
        return
    progress.pause()
    others = measure(evaluations, check=check)
    if others is not None:
        head = {"step": state.step, "epoch": update.epoch, "lr": lr}
        row = head | {"train_loss": running[0], "train_error": running[1]} | others
        folder.add_row(row)
        state.totals.clear()
        progress.report(row)
        folder.note_progress({"step": state.step} | progress.signs)


def train(
    state: State,
    update: TrainStep,
    *,
    length: TrainConfig,
    lr_at: Callable[[int], float],
    evaluations: dict[str, Evaluation],
    saver: Saver,
    progress: Progress,
    stop: Stop,
) -> dict[str, Any]:
    """Trains until `length.steps` updates are done, and records on the way.

    Returns:
        `status` (completed, diverged or interrupted), `first_bad_step` (None unless diverged), `images_per_second` (of
        the updates alone) and `seconds_per_step` (of all; None both if there were no updates).
    """
    status, first_bad_step = "", None
    log_it = partial(
        log_row, state, update, evaluations=evaluations, folder=saver.folder, progress=progress, check=stop.check
    )
    with progress:
        while True:
            # First close the step that was just done, or that a stop during its evaluation left open.
            done = state.step == length.steps
            saving = done or state.step % length.save_every == 0
            healthy = not saving or is_finite(state.model)  # waits for the device: once per checkpoint
            due = done or not healthy or state.step % length.eval_every == 0
            if due:
                log_it(lr=lr_at(state.step - 1))
                first_bad_step = bad_step(state, healthy=healthy)  # that of a row before a stop, too
            if state.step in length.snapshots and is_finite(state.model):  # waits for the device: once per snapshot
                progress.pause()
                saver.keep_snapshot()

            if stop.signum is not None:
                status, saving = "interrupted", is_finite(state.model)
            elif first_bad_step is not None:
                status, saving = "diverged", False
            elif done:
                status = "completed"
            if saving and saver.is_due:
                progress.pause()
                saver.save()
            if status:
                break

            progress.start()
            update(lr=lr_at(state.step))
            stop.at_stake = True
            # On a CPU reading the running error costs nothing; elsewhere it would wait for the device.
            progress.tick(state.totals.read() if update.on_cpu else None, long_matters=update.on_cpu)
    if status == "interrupted":
        log.info("stopped: the same command goes on from step %d", saver.saved[0])
    return {"status": status, "first_bad_step": first_bad_step} | progress.signs
