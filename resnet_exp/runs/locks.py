"""Locks: files that a process holds; whoever dies, in whichever way, lets go of them."""

from pathlib import Path

from filelock import FileLock, Timeout


def is_held(file: Path) -> bool | None:
    """Whether a process holds a lock; None: it cannot be asked (a file of another user)."""
    if not file.exists():
        return False
    lock = FileLock(file)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    except OSError:
        return None
    lock.release()
    return False
