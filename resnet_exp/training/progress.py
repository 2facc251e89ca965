"""What a user sees while a run goes on: a bar on a terminal (not several), one line per evaluation everywhere."""

import logging
import threading
import time
from contextlib import ExitStack

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from resnet_exp.text import duration
from resnet_exp.training.waiting import Waiting

UNTIMED_STEPS, TIMED_STEPS = 2, 8  # the first steps are slow; the next ones tell how long the run will take
LONG = 3600.0  # seconds: a CPU run beyond this is told of the quick study
CROWDED = 0.2  # of their time that threads wait for a core, from which on it is told
LOOK_AFTER = 3.0  # seconds of training before the first look whether they do

log = logging.getLogger(__name__)
tqdm.set_lock(threading.RLock())  # by default one that processes share, which a killed worker leaves to the system


class Progress:
    """The bar, the log lines and the pace of one run. Only the time between `start` and `pause` counts.

    Args:
        name: what the bar is called.
        steps: updates of the whole run.
        step: updates done before.
        batch_size: images per update.
        quiet: no bar, not even on a terminal: several runs share it.
    """

    def __init__(self, *, name: str, steps: int, step: int, batch_size: int, quiet: bool = False) -> None:
        self.steps, self.begun_at, self.batch_size = steps, step, batch_size
        self.ticks = 0  # updates of this process
        self.seconds, self.timed_from = 0.0, 0.0
        self.begun: float | None = None
        self.entered = time.perf_counter()
        self.waiting: Waiting | None = None  # None: nothing to look at any more
        self.stack = ExitStack()
        self.bar = tqdm(total=steps, initial=step, desc=name, unit="step", leave=False, disable=quiet or None)

    def __enter__(self) -> "Progress":
        if not self.bar.disable:
            self.stack.enter_context(logging_redirect_tqdm())
        self.stack.enter_context(self.bar)
        self.waiting = Waiting()
        self.entered = time.perf_counter()
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.pause()
        self.stack.close()

    def start(self) -> None:
        """Goes on counting time; no harm if it never stopped."""
        if self.begun is None:
            self.begun = time.perf_counter()

    def pause(self) -> None:
        """Stops counting time; call it when the device has nothing left to do."""
        self.seconds, self.begun = self.elapsed, None

    @property
    def elapsed(self) -> float:
        return self.seconds + (time.perf_counter() - self.begun if self.begun is not None else 0.0)

    @property
    def images_per_second(self) -> float | None:
        """None before the first update of this process."""
        return self.ticks * self.batch_size / self.elapsed if self.ticks else None

    @property
    def signs(self) -> dict[str, float | None]:
        """What tells others how fast the run goes on: `seconds_per_step` on the clock, evaluations included."""
        per_step = (time.perf_counter() - self.entered) / self.ticks if self.ticks else None
        return {"images_per_second": self.images_per_second, "seconds_per_step": per_step}

    @property
    def pace(self) -> str:
        return f"{self.images_per_second:.0f} images/s" if self.ticks else ""

    def tick(self, running: tuple[float, float] | None, *, long_matters: bool) -> None:
        """Counts one update.

        Args:
            running: the running training loss and error (%), where reading them costs nothing.
            long_matters: whether to say so if the run is going to take over an hour.
        """
        self.ticks += 1
        if running is not None:
            self.bar.set_postfix_str(f"error {running[1]:.1f} %, {self.pace}", refresh=False)
        self.bar.update()
        if self.ticks == UNTIMED_STEPS:
            self.timed_from = self.elapsed
        elif self.ticks == UNTIMED_STEPS + TIMED_STEPS and long_matters:
            pace = (self.elapsed - self.timed_from) / TIMED_STEPS
            seconds = pace * (self.steps - self.begun_at - self.ticks)
            if seconds > LONG:
                how = "on this CPU; experiment=quick shows the effect in minutes"
                log.warning("this run will take about %s %s", duration(seconds), how)

    def tell_crowd(self) -> None:
        """Says once that other processes keep the threads of this one waiting."""
        if self.waiting and self.elapsed > LOOK_AFTER and (share := self.waiting.share) > CROWDED:
            self.waiting = None
            log.warning(
                "other processes keep this run's threads waiting %.0f %% of their time; try a smaller threads=",
                100 * share,
            )

    def report(self, row: dict[str, float]) -> None:
        """The line of one evaluation."""
        self.tell_crowd()
        parts = [f"step {row['step']}/{self.steps}", f"epoch {row['epoch']:.1f}", f"lr {row['lr']:g}"]
        for split in ("train", "val", "test"):
            if f"{split}_error" in row:
                parts.append(f"{split} loss {row[f'{split}_loss']:.4g} error {row[f'{split}_error']:.2f} %")
        log.info("  ".join([*parts, self.pace]))
        self.bar.set_postfix_str(f"error {row['train_error']:.1f} %, {self.pace}")
