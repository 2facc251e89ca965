"""`hydra/launcher=slurm_leave`: hands a sweep to Slurm and leaves, where `slurm` waits for its jobs."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from resnet_exp.cli import workers

SUBMITIT = "hydra_plugins.hydra_submitit_launcher.submitit_launcher"

log = logging.getLogger(__name__)


class SubmitAndLeave(Launcher):
    """The launcher of hydra-submitit-launcher, but for the end: nobody waits.

    Args:
        params: its settings.
    """

    def __init__(self, **params: Any) -> None:
        self.slurm: Any = import_module(SUBMITIT).SlurmLauncher(**params)

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.slurm.setup(hydra_context=hydra_context, task_function=task_function, config=config)
        self.folder = str(config.hydra.sweep.dir)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        with nobody_waits() as submitted:
            done = self.slurm.launch(job_overrides, initial_job_idx)
        workers.left = True
        log.info("submitted %d jobs to Slurm: %s", len(submitted), ", ".join(submitted))
        log.info("`resnet-exp-status %s` says how they are; each draws the comparison when it ends", self.folder)
        return list(done)


@contextmanager
def nobody_waits() -> Iterator[list[str]]:
    """While it is open, submitit's jobs count as done at once; yields the numbers of those that were."""
    job_class: Any = import_module("submitit").Job
    submitted: list[str] = []

    def leave(job: Any) -> list[JobReturn]:
        submitted.append(job.job_id)
        return [JobReturn(status=JobStatus.COMPLETED)]

    waits, job_class.results = job_class.results, leave
    try:
        yield submitted
    finally:
        job_class.results = waits
