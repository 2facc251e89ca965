"""Ctrl-C, SIGTERM, a closed terminal, a scheduler's warning: the first lets a step end, a second does not."""

import os
import signal
import sys
import threading
from contextlib import suppress
from types import FrameType
from typing import Any

from resnet_exp.cli import workers
from resnet_exp.training.stop import Stop, Stopped

# A closed terminal (SSH) sends SIGHUP, unless `nohup` has it ignored. Not on Windows.
ASKING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
# What submitit listens to, to put its job back into the queue. Not on Windows.
REQUEUE: int | None = getattr(signal, "SIGUSR2", None)


def bar_is_open() -> bool:
    """Whether tqdm has begun a line that it has not ended, such as torchvision's of a download."""
    bars = getattr(getattr(sys.modules.get("tqdm"), "tqdm", None), "_instances", ())
    return any(not getattr(bar, "disable", True) for bar in list(bars))  # one that is being made has no such thing yet


def stop_at_once(signum: int, frame: FrameType | None) -> None:
    """Ends the process without unwinding: every file is whole at every moment, and an exception could come anywhere.

    While torch is imported, C code would take it for an error of its own, or abort. Workers are let save their runs:
    then the process ends when the last of them is done, or at the second signal.
    """
    if workers.tell_workers(signum):
        return
    workers.end_workers(getattr(signal, "SIGKILL", signal.SIGTERM))  # Windows has but the one
    with suppress(Exception):  # they may be in use just now, or the terminal is gone
        sys.stdout.flush()
        if bar_is_open():
            os.write(2, b"\n")
    with suppress(OSError):
        os.write(2, b"stopped\n")
    os._exit(128 + signum)


def catch_signals() -> None:
    """From now on SIGINT, SIGTERM and SIGHUP end the process at once, unless they are ignored (`&`, `nohup`)."""
    for signum in ASKING:
        if signal.getsignal(signum) != signal.SIG_IGN:
            signal.signal(signum, stop_at_once)


class StopRequest(Stop):
    """While open and with something `at_stake`, a stop only sets `signum`: the loop ends its step, saves and leaves.

    A launcher that waits for SIGUSR2 (submitit: put the job back into the queue) gets it in `leave`, after the state is
    saved; SIGTERM, which Slurm sends along with it, then stays as that launcher set it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.signum = workers.asked
        self.at_stake = workers.is_worker()  # elsewhere nothing is at stake before the first step
        self.before: dict[int, Any] = {}

    def __enter__(self) -> "StopRequest":
        if threading.current_thread() is threading.main_thread():  # elsewhere Python allows no handlers
            unclaimed = (stop_at_once, workers.note_stop, signal.default_int_handler, signal.SIG_DFL)
            ours = [signum for signum in ASKING if signal.getsignal(signum) in unclaimed]
            if REQUEUE is not None and callable(signal.getsignal(REQUEUE)):
                ours.append(signal.Signals(REQUEUE))
            self.before = {signum: signal.signal(signum, self.request) for signum in ours}
            self.signum = workers.asked  # again: it may have come before there was anybody to hear it
        return self

    def __exit__(self, *exception: object) -> None:
        for signum, handler in self.before.items():
            signal.signal(signum, handler)

    def request(self, signum: int, frame: FrameType | None) -> None:
        polite = self.at_stake and self.signum is None
        self.signum = signum
        if workers.is_worker():
            workers.note_stop(signum, frame)
        if signum == REQUEUE and not polite:
            self.leave()
        elif not polite:
            stop_at_once(signum, frame)

    def leave(self) -> None:
        """Ends the process as the signal asks: through the launcher that waits for it, else by `Stopped`."""
        assert self.signum is not None
        if self.signum == REQUEUE:
            self.before[self.signum](self.signum, None)
        raise Stopped(self.signum)
