"""A live table of a sweep's runs on the terminal."""

import math
import time
from collections.abc import Sequence
from pathlib import Path

from resnet_exp.cli.table import LiveTable
from resnet_exp.runs.status import statuses

DRAW_EVERY = 2.0  # seconds


class Screen:
    """A live table of the runs of a sweep.

    Args:
        folders: of the runs.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self.folders = {folder.absolute() for folder in folders}
        self.studies = dict.fromkeys(folder.parent.parent for folder in folders)
        self.table, self.drawn_at = LiveTable(), -math.inf

    def draw(self, *, now: bool = False) -> None:
        """Once in a while, however often it is called, or now."""
        if time.monotonic() - self.drawn_at < DRAW_EVERY and not now:
            return
        found = [status for study in self.studies for status in statuses(study)]
        self.table.show([status for status in found if status.path.absolute() in self.folders])
        self.drawn_at = time.monotonic()
