"""The processes of a parallel sweep, one for each job: how many, with how many cores each, and how they end with it.

A worker leaves ctrl-C and a closed terminal to the sweep's own process, which tells each worker once, by SIGTERM: so
all save their runs and none is killed on the way. Where that process is gone, a worker ends by itself.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import wait
from types import FrameType

from resnet_exp.cores import count_cores

asked: int | None = None  # the signal by which this sweep or this worker was asked to stop
failed = False  # whether a job of this sweep has failed that ends it (stop_on_failure=true)
incomplete = False  # whether any job of this sweep has failed
left = False  # whether the jobs of this sweep go on without it
place = 0  # of this worker among those that run at once, from 0
sweep = ""  # which sweep this worker belongs to; empty: none
grows = False  # whether nets of this worker's sweep grow from others, each of which any of its jobs may come to train
pids: dict[int, bool] = {}  # in the sweep's own process: its workers, and whether they can be told to stop yet


def share_cores(*, at_once: int, jobs: int, gpus: int = 0, runs_per_gpu: int = 1) -> tuple[int, int]:
    """How many jobs to run at the same time, and threads for each.

    Args:
        at_once: the most jobs that may; -1: as many as there are cores, or as the GPUs take.
        jobs: jobs in the sweep.
        gpus: that the jobs use.
        runs_per_gpu: jobs that share a GPU.
    """
    cores = count_cores()
    at_once = min(jobs, at_once if at_once > 0 else gpus * runs_per_gpu or cores)
    return at_once, max(1, cores // at_once)


def is_worker() -> bool:
    return bool(sweep)


def note_stop(signum: int, frame: FrameType | None) -> None:
    """A worker's SIGTERM, outside of training: what it is doing has nothing to save, the job is not begun."""
    global asked
    asked = signum


def tell_workers(signum: int) -> bool:
    """Has every worker save and stop; the sweep then ends by itself. False if there is none, or all know already.

    A worker that has just begun would miss the signal: it is told once it says that it listens (`listens`).
    """
    global asked
    if not pids or asked is not None:
        return False
    asked = signum
    for pid, ready in list(pids.items()):
        if ready:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
    return True


def listens(pid: int) -> None:
    """Notes that a worker can be told to stop from now on; tells it if all have been."""
    pids[pid] = True
    if asked is not None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)


def end_workers(signum: int) -> None:
    """Ends the workers: by SIGTERM those that train save their runs, by SIGKILL nobody does anything more."""
    for pid in list(pids):
        with suppress(ProcessLookupError):
            os.kill(pid, signum)


def become(*, number: int, of: str, growing: bool) -> None:
    """Makes this process a worker.

    Args:
        number: its place among those that run at once.
        of: the sweep.
        growing: whether nets of it grow from others.
    """
    global place, sweep, grows
    place, sweep, grows = number, of, growing
    for signum in (signal.SIGINT, getattr(signal, "SIGHUP", signal.SIGINT)):
        signal.signal(signum, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, note_stop)
    threading.Thread(target=outlive_nobody, daemon=True).start()


def do(job: Callable[[], None]) -> None:
    """Does a worker's job, unless it was asked to stop before."""
    try:
        if asked is None:
            job()
    except KeyboardInterrupt:
        if asked is None:
            raise


def outlive_nobody() -> None:
    """Once the sweep's own process is gone: asks this worker to save and end."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os.kill(os.getpid(), signal.SIGTERM)
