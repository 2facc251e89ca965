"""The run folder: the only bridge between training and analysis."""

import errno
import json
import logging
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from omegaconf import OmegaConf
from yaml import YAMLError

from resnet_exp.files import SCRAPS, replace_text
from resnet_exp.runs.diagnostics import clear_diagnoses
from resnet_exp.runs.evaluation import FOLDER as EVALUATION
from resnet_exp.runs.evaluation import clear_evaluation
from resnet_exp.runs.events import Events
from resnet_exp.runs.locks import is_held
from resnet_exp.runs.schema import SCHEMA, upgrade_settings
from resnet_exp.runs.snapshots import clear_snapshots

PATIENCE = 0.2  # seconds in which whoever only looks whether a run is alive lets go of its lock
FINISHED = ("completed", "diverged")  # the `status` of a run that is not trained further
LOCK = ".lock"  # of a run folder
FAILURE = ".failure.json"  # why a run failed before there was a summary that could say so

log = logging.getLogger(__name__)


class InUseError(ValueError):
    """Another process has a run folder open."""


def check_place(folder: Path) -> None:
    """Raises ValueError if a folder is not there and cannot be made."""
    place = next(place for place in (folder, *folder.parents) if os.path.lexists(place))
    if not place.is_dir():
        raise ValueError(f"{place}: Not a directory; {folder} belongs there\nstudy=ANOTHER trains elsewhere")
    if place != folder and not os.access(place, os.W_OK | os.X_OK):
        raise ValueError(f"{place}: Permission denied; {folder} belongs there\nstudy=ANOTHER trains elsewhere")


class MetricsFile:
    """`metrics.csv`: a header, then one whole row per evaluation, on disk before `add` returns.

    Args:
        kept: the beginning that belongs to the run's checkpoint; what follows it in the file is dropped. Empty: a new
            file. An editor may have changed the file (line ends, a byte more): then the beginning is written again.
    """

    def __init__(self, path: Path, *, columns: list[str], kept: str) -> None:
        self.columns = columns
        beginning = (kept or ",".join(columns) + "\n").encode()
        found = path.read_bytes() if path.exists() else b""
        if kept and not found.startswith(beginning):
            log.warning("%s: lost or changed since the checkpoint was written; its rows are written again", path)
        self.file = path.open("r+b" if path.exists() else "w+b", buffering=0)
        if found.startswith(beginning):
            self.file.truncate(len(beginning))
            self.file.seek(len(beginning))
        else:
            self.file.truncate(0)
            self.write(beginning)

    def add(self, row: dict[str, float]) -> None:
        """Raises OSError if the disk is full; the file then ends with the row before."""
        text = ",".join(f"{row[c]:.6g}" if isinstance(row[c], float) else str(row[c]) for c in self.columns)
        self.write((text + "\n").encode())

    def write(self, data: bytes) -> None:
        before = self.offset
        try:
            if self.file.write(data) < len(data):  # the disk took a part of it
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(self.file.fileno())
        except OSError as error:
            self.file.truncate(before)
            self.file.seek(before)
            error.filename = self.file.name
            raise

    @property
    def offset(self) -> int:
        return self.file.tell()

    @property
    def text(self) -> str:
        """All that was written."""
        return Path(self.file.name).read_bytes()[: self.offset].decode()

    def close(self) -> None:
        self.file.close()


class RunFolder:
    """`config.yaml`, `metrics.csv`, `summary.json` and TensorBoard events of one run.

    Looking at them writes nothing. While the folder is open (`with`) it is locked; whoever dies frees the lock, and
    what it was writing is removed by the next.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lock = FileLock(path / LOCK)
        self.metrics: MetricsFile | None = None
        self.events: Events | None = None

    def __enter__(self) -> "RunFolder":
        """Makes the folder if there is none, and locks it.

        Raises:
            InUseError: another process has the folder open.
            OSError: the folder cannot be written.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        try:
            self.lock.acquire(timeout=PATIENCE)
        except Timeout:
            raise InUseError(f"{self.path}: another process is training this run") from None
        for scrap in self.path.glob(SCRAPS):
            scrap.unlink()
        return self

    def __exit__(self, *exception: object) -> None:
        if self.metrics:
            self.metrics.close()
        if self.events:
            self.events.close()
        self.lock.release()

    def clear(self) -> None:
        """Removes an earlier run's records, its evaluation, diagnoses and snapshots; `run.log` stays."""
        clear_evaluation(self.path / EVALUATION)
        clear_diagnoses(self.path)
        clear_snapshots(self.path)
        # The settings last: whoever is killed on the way leaves no checkpoint that other settings could take up.
        for pattern in ("*checkpoint*.pt*", "metrics.csv", "events.out.*", FAILURE, "summary.json", "config.yaml"):
            for file in self.path.glob(pattern):
                file.unlink()

    def open(self, *, columns: list[str], kept: str, step: int) -> None:
        """Opens the records for writing after `step` updates; rows and events beyond that point are dropped.

        Args:
            kept: `metrics.csv` as the checkpoint knows it; empty at the start of a run.
        """
        self.metrics = MetricsFile(self.path / "metrics.csv", columns=columns, kept=kept)
        self.events = Events(self.path, step=step)

    @property
    def metrics_text(self) -> str:
        """`metrics.csv` so far; it is open."""
        assert self.metrics is not None
        return self.metrics.text

    def add_row(self, row: dict[str, float]) -> None:
        """One evaluation: to disk in `metrics.csv`, then as a copy to TensorBoard."""
        assert self.metrics is not None
        assert self.events is not None
        self.metrics.add(row)
        self.events.add_row(row)

    def add_hparams(self, settings: dict[str, Any], results: dict[str, float], *, step: int) -> None:
        assert self.events is not None
        self.events.add_hparams(settings, results, step=step)

    def last_errors(self) -> dict[str, float]:
        """The errors (%) in the last row of `metrics.csv`; none before the first row."""
        file = self.path / "metrics.csv"
        header, *rows = (file.read_text() if file.exists() else "").splitlines() or [""]
        last = dict(zip(header.split(","), rows[-1].split(","), strict=True)) if rows else {}
        return {key: float(value) for key, value in last.items() if key.endswith("_error")}

    @property
    def config(self) -> dict[str, Any] | None:
        """The settings of the run that is in the folder, complete, and the `schema` it was begun with."""
        return read_config(self.path / "config.yaml")

    @config.setter
    def config(self, values: dict[str, Any]) -> None:
        text = OmegaConf.to_yaml(OmegaConf.create({"schema": SCHEMA} | values))
        replace_text(self.path / "config.yaml", text)

    @property
    def summary(self) -> dict[str, Any]:
        """What is known of the run; empty if it never started. It follows from the other files, damaged or not."""
        try:
            values = json.loads((self.path / "summary.json").read_text())
            if not isinstance(values, dict):
                raise ValueError("not of a run")
        except FileNotFoundError:
            return {}
        except ValueError as error:
            log.warning("%s: damaged (%s), written anew", self.path / "summary.json", error)
            return {}
        return values

    @summary.setter
    def summary(self, values: dict[str, Any]) -> None:
        replace_text(self.path / "summary.json", json.dumps(values, indent=2) + "\n")
        (self.path / FAILURE).unlink(missing_ok=True)  # from now on the summary says it

    def note_progress(self, values: Mapping[str, Any]) -> None:
        """Adds to the summary how far the run is. A sign of life, no record: a full disk is no reason to end."""
        with suppress(OSError):
            self.summary = self.summary | dict(values)

    def note_failure(self, reason: str, *, identity: Mapping[str, Any]) -> None:
        """Records that the run has failed: in its summary, or, if it has none yet, in a file that the next one removes.
        A run that is complete stays so.

        Args:
            reason: one line, for a user.
            identity: what a list of runs shows of one without a summary: `name`, `seed`, `steps`.
        """
        failed = {"status": "failed", "reason": reason}
        with suppress(OSError):  # a full disk, of which more is said elsewhere
            known = self.summary
            if known.get("status") in FINISHED:  # what failed was to replace it
                return
            if known:
                self.summary = known | failed
            else:
                replace_text(self.path / FAILURE, json.dumps(dict(identity) | failed) + "\n")


def read_config(file: Path) -> dict[str, Any] | None:
    """The settings in a run's `config.yaml`, complete; None if there is no such file.

    Raises:
        ValueError: it is damaged, or of a newer version.
    """
    if not file.exists():
        return None
    try:
        values = OmegaConf.to_container(OmegaConf.load(file))
    except (YAMLError, UnicodeDecodeError, OSError):
        values = None
    if not values or not isinstance(values, dict):
        raise ValueError(f"{file}: damaged\nfresh=true starts this run again from step 0")
    return upgrade_settings({str(key): value for key, value in values.items()}, path=file)


def is_alive(path: Path) -> bool:
    """Whether a process has the run folder open: one that died, however it died, has not."""
    return bool(is_held(path / LOCK))
