"""TensorBoard's copy of a run's records. `metrics.csv` is the truth: where the copy fails, training goes on."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SPLITS = ("train", "val", "test")

log = logging.getLogger(__name__)


class Events:
    """The events of one run, in its folder.

    Args:
        step: updates done before; points beyond it, of a process that was killed, are dropped.
    """

    def __init__(self, path: Path, *, step: int) -> None:
        # Here, not above: it brings torch, too slow for a folder that is only looked at.
        from torch.utils.tensorboard import SummaryWriter

        self.writer: SummaryWriter | None = None  # None: it has failed
        with self.if_possible():
            self.writer = SummaryWriter(str(path), purge_step=step + 1)

    @contextmanager
    def if_possible(self) -> Iterator[None]:
        """Swallows the first failure to write, with a warning; there are no events after it."""
        try:
            yield
        except (OSError, ValueError) as error:  # of a path that is not UTF-8
            log.warning("TensorBoard's events cannot be written (%s): metrics.csv goes on without them", error)
            self.writer = None

    def add_row(self, row: dict[str, float]) -> None:
        with self.if_possible():
            if self.writer is None:
                return
            for key, value in row.items():
                if key == "lr":
                    self.writer.add_scalar("lr", value, int(row["step"]))
                elif key.startswith(SPLITS):
                    self.writer.add_scalar(key.replace("_", "/", 1), value, int(row["step"]))
            self.writer.flush()

    def add_hparams(self, settings: dict[str, Any], results: dict[str, float], *, step: int) -> None:
        """The settings and final errors of a run of `step` steps, for the table of runs."""
        plain = {k: v if isinstance(v, bool | int | float) else utf8(str(v)) for k, v in settings.items()}
        final = {f"final/{k}": v for k, v in results.items()}
        with self.if_possible():
            if self.writer is not None:
                # One step after the last row: a run that is killed right here drops these points when it goes on.
                self.writer.add_hparams(plain, final, run_name=".", global_step=step + 1)

    def close(self) -> None:
        with self.if_possible():
            if self.writer is not None:
                self.writer.close()


def utf8(text: str) -> str:
    """The same, but for what is no character, as a path may hold."""
    return text.encode(errors="replace").decode()
