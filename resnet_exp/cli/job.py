"""One job of a parallel sweep: as the sweep sees it, and what its process does."""

import os
import signal
import sys
import warnings
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TextIO

from hydra import version
from hydra._internal.callbacks import Callbacks
from hydra.core.utils import JobReturn, JobStatus, run_job
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from resnet_exp.cli import workers
from resnet_exp.cli.compose import HYDRA_AS_OF
from resnet_exp.cli.messages import JobFailedError
from resnet_exp.cli.names import about

LISTENS = "\0"  # a worker's first line: from now on it can be told to stop
AT_ONCE = 2**16  # bytes to read
STOPPED = 128 + signal.SIGTERM  # the exit code of a worker that was told to stop
LOST = 255  # that of a process whose fork server has ended before it


@dataclass
class Stream:
    """What a worker writes, line by line.

    Args:
        source: our end of the pipe.
        target: where its lines go; one process writes there, so none is torn.
        named: whether a line says which run it is about; errors do so by themselves.
    """

    source: Connection
    target: TextIO
    named: bool
    rest: bytes = b""

    def lines(self) -> list[str]:
        """The lines that have come since; at their end it closes."""
        chunk = os.read(self.source.fileno(), AT_ONCE)
        *whole, self.rest = (self.rest + chunk).split(b"\n")
        if not chunk:
            self.source.close()
            whole, self.rest = [self.rest], b""
        return [line.decode(errors="replace") for line in whole]


@dataclass
class Job:
    """A job of the sweep.

    Args:
        overrides: that make it.
        config: composed.
        turns: how often it was begun.
        code: the exit code of its newest process.
    """

    overrides: list[str]
    config: DictConfig
    turns: int = 0
    code: int | None = None
    place: int = 0
    process: Any = None
    streams: list[Stream] = field(default_factory=list)

    @property
    def where(self) -> str:
        """Of which run it speaks: `plain20/seed0`."""
        return about(self.config, own=self.config.hydra.sweep.subdir)

    @property
    def folder(self) -> Path:
        """Of its run, if it trains one."""
        return Path(str(self.config.hydra.sweep.dir), str(self.config.hydra.sweep.subdir))

    @property
    def killed(self) -> bool:
        return self.code is not None and (self.code < 0 or self.code == LOST)

    def returned(self) -> JobReturn:
        """What Hydra makes of it."""
        done = JobReturn(overrides=self.overrides, status=JobStatus.COMPLETED if self.code == 0 else JobStatus.FAILED)
        done.return_value = None if self.code == 0 else JobFailedError(self.where)
        return done


def work(
    out: Connection,
    err: Connection,
    *,
    task: TaskFunction,
    config: DictConfig,
    place: int,
    sweep: str,
    growing: bool,
) -> None:
    """A worker: one job of the sweep, with its output through the pipes."""
    os.dup2(out.fileno(), 1)
    os.dup2(err.fileno(), 2)
    # New ones: those of the fork server believe to write where the sweep does, into a file perhaps.
    sys.stdout, sys.stderr = (os.fdopen(number, "w", 1, errors="replace", closefd=False) for number in (1, 2))
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    workers.become(number=place, of=sweep, growing=growing)
    print(LISTENS)
    version.setbase(HYDRA_AS_OF)  # else a job would change its folder
    context = HydraContext(config_loader=None, callbacks=Callbacks(config))  # type: ignore[arg-type]
    done = run_job(
        hydra_context=context,
        task_function=task,
        config=config,
        job_dir_key="hydra.sweep.dir",
        job_subdir_key="hydra.sweep.subdir",
    )
    if workers.asked is not None:
        sys.exit(STOPPED)
    sys.exit(0 if done.status == JobStatus.COMPLETED else 1)
