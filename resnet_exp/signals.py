"""Ctrl-C and SIGTERM as a polite request: finish the step, save, leave. A second one leaves at once."""

import signal
import threading
from types import FrameType
from typing import Any


class Stopped(BaseException):
    """The run was asked to stop and has saved its state; not an Exception, so that it ends a sweep too."""

    def __init__(self, signum: int) -> None:
        super().__init__(signal.Signals(signum).name)
        self.exit_code = 128 + signum


class StopRequest:
    """While open, SIGINT and SIGTERM only set `signum`; the loop looks at it between two steps."""

    def __init__(self) -> None:
        self.signum: int | None = None
        self.before: dict[int, Any] = {}

    def __enter__(self) -> "StopRequest":
        if threading.current_thread() is threading.main_thread():  # elsewhere Python allows no handlers
            self.before = {s: signal.signal(s, self.request) for s in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *exception: object) -> None:
        for signum, handler in self.before.items():
            signal.signal(signum, handler)

    def request(self, signum: int, frame: FrameType | None) -> None:
        if self.signum is not None:
            raise Stopped(signum)
        self.signum = signum
