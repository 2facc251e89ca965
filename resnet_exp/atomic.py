"""Files that readers see either as they were or as they are, whatever happens to the writer."""

import os
from collections.abc import Iterable
from pathlib import Path

SCRAPS = ".*.tmp"  # what a killed writer may leave beside its file


def replace(path: Path, chunks: Iterable[bytes | memoryview]) -> None:
    """Writes `path` in one move; several processes may do so at the same time, the last one wins.

    Raises:
        OSError: the disk is full or not writable; the old file stays and no temporary file remains.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            for chunk in chunks:
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        error.filename = str(path)  # a failed write does not say where
        raise
    finally:
        temporary.unlink(missing_ok=True)


def sync_folder(path: Path) -> None:
    """Has the moves within a folder on disk before it returns."""
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def replace_text(path: Path, text: str) -> None:
    """`replace` for a short text."""
    replace(path, [text.encode()])
