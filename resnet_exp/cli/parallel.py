"""`hydra/launcher=parallel`: the jobs of a sweep side by side on this machine, each in a process of its own.

A process that has imported everything once (a fork server) forks one for each job, so that a job costs no start. One
that is killed takes no other with it: it is begun once more and goes on from its last checkpoint.
"""

import logging
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, TextIO

from hydra.core.utils import JobReturn, configure_log, filter_overrides, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

from resnet_exp.cli import workers
from resnet_exp.cli.job import LISTENS, LOST, STOPPED, Job, Stream, work
from resnet_exp.cli.messages import fail
from resnet_exp.cli.screen import Screen

START = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"  # Windows has no fork
IMPORTED = ("resnet_exp.cli.main", "resnet_exp.cli.preloaded")  # once, by the fork server
BRINGS_TORCH = ("resnet_exp.training.run",)
TURNS = 2  # of a job that is killed
LOOK_EVERY = 1.0  # seconds after which it looks whether it was asked to stop

log = logging.getLogger(__name__)


class ParallelLauncher(Launcher):
    """See the module.

    Args:
        n_jobs: at the same time.
        runs_per_gpu: that share a GPU; `cli.sweep` has made `n_jobs` of it.
    """

    def __init__(self, n_jobs: int, runs_per_gpu: int) -> None:
        self.n_jobs = n_jobs

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        setup_globals()
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        Path(str(self.config.hydra.sweep.dir)).mkdir(parents=True, exist_ok=True)
        jobs = [self.job(number, words) for number, words in enumerate(job_overrides, start=initial_job_idx)]
        log.info("Launching %d jobs, %d at a time", len(jobs), min(self.n_jobs, len(jobs)))
        Sweep(jobs, at_once=self.n_jobs, task=self.task_function).run()
        return [job.returned() for job in jobs]

    def job(self, number: int, words: Sequence[str]) -> Job:
        config = self.hydra_context.config_loader.load_sweep_config(self.config, list(words))
        with open_dict(config):
            config.hydra.job.id = f"{config.hydra.job.name}_{number}"
            config.hydra.job.num = number
        return Job(list(filter_overrides(list(words))), config)


class Sweep:
    """Jobs side by side.

    Args:
        jobs: in order.
        at_once: of them.
        task: what each calls with its settings.
    """

    def __init__(self, jobs: Sequence[Job], *, at_once: int, task: TaskFunction) -> None:
        self.waiting, self.at_once, self.task = list(jobs), at_once, task
        self.running: list[Job] = []
        self.name = f"{os.getpid()}-{time.time_ns()}"
        self.growing = any(job.config.grow_from is not None for job in jobs)
        trains = all(job.config.task == "train" for job in jobs)
        self.screen = Screen([job.folder for job in jobs]) if trains and sys.stdout.isatty() else None
        self.context: Any = multiprocessing.get_context(START)
        if START == "forkserver":
            tasks = {str(job.config.task) for job in jobs}
            self.context.set_forkserver_preload([*IMPORTED, *(BRINGS_TORCH if tasks != {"describe"} else ())])

    def run(self) -> None:
        """Until every job has ended, or those that were begun have after a stop."""
        while self.running or self.goes_on:
            while self.goes_on and len(self.running) < self.at_once:
                self.begin(self.waiting.pop(0))
            sources = {stream.source: (job, stream) for job in self.running for stream in job.streams}
            ends = {job.process.sentinel: job for job in self.running}
            ready = wait([*sources, *ends], timeout=LOOK_EVERY)
            for source in ready:
                if source in sources:
                    self.hand_on(*sources[source])
            for end in ready:
                if end in ends:
                    self.end(ends[end])
            if self.screen:
                with suppress(OSError):  # the terminal is gone, the runs are not
                    self.screen.draw(now=not self.running and not self.goes_on)

    @property
    def goes_on(self) -> bool:
        """Whether another job is to begin."""
        return bool(self.waiting) and workers.asked is None and not workers.failed

    def begin(self, job: Job) -> None:
        job.place = min({*range(self.at_once)} - {other.place for other in self.running})
        job.turns += 1
        job.code = None
        pipes = [self.context.Pipe(duplex=False) for _ in range(2)]
        job.streams = [Stream(pipes[0][0], sys.stdout, named=False), Stream(pipes[1][0], sys.stderr, named=True)]
        written = [pipe[1] for pipe in pipes]
        words = {
            **{"task": self.task, "config": job.config, "place": job.place},
            **{"sweep": self.name, "growing": self.growing},
        }
        job.process = self.context.Process(target=work, args=written, kwargs=words)
        job.process.start()
        for end in written:
            end.close()
        workers.pids[job.process.pid] = False
        self.running.append(job)

    def end(self, job: Job) -> None:
        """Notes how a job has ended; one that was killed gets another turn."""
        job.process.join()
        job.code = job.process.exitcode
        for stream in list(job.streams):
            while not stream.source.closed and stream.source.poll():
                self.hand_on(job, stream)
            stream.source.close()  # a process of its own may still hold the other end
        if job.code == LOST:
            with suppress(ProcessLookupError):
                os.kill(job.process.pid, signal.SIGKILL)
        workers.pids.pop(job.process.pid, None)
        self.running.remove(job)
        if job.killed and workers.asked is None and job.turns < TURNS:
            self.make_room()
            log.warning("%s: its process was killed; it is begun once more and goes on", job.where)
            self.waiting.insert(0, job)
            return
        if job.code == STOPPED and workers.asked is None:
            self.make_room()
            fail("somebody stopped its process\nthe same command goes on with it", where=job.where)
        if job.killed and workers.asked is None:
            self.make_room()
            how = "perhaps the memory does not hold so many jobs at once: hydra.launcher.n_jobs= takes fewer"
            fail(f"its process was killed twice\n{how}", where=job.where)
        workers.failed = workers.failed or (job.code != 0 and bool(job.config.stop_on_failure))

    def hand_on(self, job: Job, stream: Stream) -> None:
        """Prints what a worker has written, each line whole and with the run it is about. Below a table the log of a
        run is not shown: it is in its `run.log`."""
        for line in stream.lines():
            if line.startswith(LISTENS):
                workers.listens(job.process.pid)
            elif line and stream.named:
                self.make_room()
                say(line, stream.target)
            elif line and not self.screen:
                say(f"{job.where}: {line}", stream.target)
        if stream.source.closed:
            job.streams.remove(stream)

    def make_room(self) -> None:
        """Before a line is printed that is to stay."""
        if self.screen:
            with suppress(OSError):
                self.screen.table.clear()


def say(line: str, target: TextIO) -> None:
    """Prints a line, if anybody is left to read it: runs go on without a reader, or are about to save."""
    with suppress(OSError):
        print(line, file=target, flush=True)
