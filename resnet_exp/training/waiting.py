"""Whether other processes keep the threads of this one waiting for a core (Linux tells)."""

from pathlib import Path

TASKS = Path("/proc/self/task")  # a folder a thread; schedstat: nanoseconds on a core, nanoseconds waiting for one


def counted() -> tuple[int, int]:
    """Nanoseconds that the threads of this process have run, and have waited for a core; zeros where nobody counts."""
    ran, waited = 0, 0
    for file in TASKS.glob("*/schedstat"):
        try:
            on_core, in_queue, _ = file.read_text().split()
        except (OSError, ValueError):  # a thread that has just ended
            continue
        ran, waited = ran + int(on_core), waited + int(in_queue)
    return ran, waited


class Waiting:
    """How much of their time the threads have waited since this was made."""

    def __init__(self) -> None:
        self.begun = counted()

    @property
    def share(self) -> float:
        """0 where every thread has a core when it wants one; 0.5 where two threads share one."""
        ran, waited = (now - then for now, then in zip(counted(), self.begun, strict=True))
        return waited / (ran + waited) if ran + waited > 0 else 0.0
