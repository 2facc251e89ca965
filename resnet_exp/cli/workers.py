"""The processes of a parallel launcher: how many, with how many cores each, and how they end with their sweep.

A worker does job after job of one sweep. It leaves ctrl-C and a closed terminal to the sweep's own process, which tells
each worker once, by SIGTERM: so all save their runs and none is killed on the way. Where that process is gone, they
end by themselves.
"""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import FrameType

from resnet_exp.cores import count_cores

LOOK_EVERY = 0.5  # seconds between two looks whether the sweep's own process is still there

asked: int | None = None  # the signal by which this sweep or this worker was asked to stop
busy = False  # whether this worker has a job


def share_cores(*, at_once: int, jobs: int) -> tuple[int, int]:
    """How many jobs to run at the same time, and threads for each.

    Args:
        at_once: the most jobs that may; -1: as many as there are cores.
        jobs: jobs in the sweep.
    """
    cores = count_cores()
    at_once = min(jobs, at_once if at_once > 0 else cores)
    return at_once, max(1, cores // at_once)


def number() -> int:
    """Which worker this is, from 0; 0 too where there are none."""
    identity: tuple[int, ...] = multiprocessing.current_process()._identity
    return identity[0] - 1 if identity else 0


def is_worker() -> bool:
    return multiprocessing.parent_process() is not None


def note_stop(signum: int, frame: FrameType | None) -> None:
    """A worker's SIGTERM, outside of training: what it is doing has nothing to save, the next job is not begun."""
    global asked
    asked = signum


def tell_workers(signum: int) -> bool:
    """Has every worker save and stop; the sweep then ends by itself. False if there is none, or all know already."""
    global asked
    workers = multiprocessing.active_children()
    if not workers or asked is not None:
        return False
    asked = signum
    for worker in workers:
        worker.terminate()
    return True


def end_workers() -> None:
    """Ends the workers at once, idle or not."""
    for worker in multiprocessing.active_children():
        if worker.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(worker.pid, signal.SIGKILL)  # joblib's processes have no `kill`


def do(job: Callable[[], None]) -> None:
    """Does one job of a sweep, in a worker. Once it was asked to stop, it does none: the sweep runs out by itself."""
    global busy
    if signal.getsignal(signal.SIGTERM) is not note_stop:  # this worker's first job
        for signum in (signal.SIGINT, getattr(signal, "SIGHUP", signal.SIGINT)):
            signal.signal(signum, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, note_stop)
        threading.Thread(target=outlive_nobody, args=(os.getppid(),), daemon=True).start()
    busy = True
    try:
        if asked is None:
            job()
    except KeyboardInterrupt:
        if asked is None:
            raise
    finally:
        busy = False


def outlive_nobody(parent: int) -> None:
    """Once the sweep's own process is gone: saves and ends the job, then this process."""
    while os.getppid() == parent:
        time.sleep(LOOK_EVERY)
    os.kill(os.getpid(), signal.SIGTERM)
    while busy:
        time.sleep(LOOK_EVERY)
    os._exit(128 + signal.SIGTERM)
