"""How a run learns that it is to stop. Who asks, by which signal or launcher, is the command's business."""

import signal


class Stopped(KeyboardInterrupt):
    """The process was asked to stop; not an Exception, so that it ends a sweep too."""

    def __init__(self, signum: int) -> None:
        super().__init__(signal.Signals(signum).name)
        self.exit_code = 128 + signum


class Stop:
    """What the loop looks at between two steps.

    `signum` is the signal that asks to stop, None as long as nobody does. The loop sets `at_stake` once there is a step
    to be saved; before that a stop may end the process at once.
    """

    def __init__(self) -> None:
        self.signum: int | None = None
        self.at_stake = False

    def check(self) -> None:
        """Raises Stopped if a stop was asked for: for long work between two steps that can be done again."""
        if self.signum is not None:
            raise Stopped(self.signum)
