"""Small text files that readers see either as they were or as they are."""

import os
from pathlib import Path


def replace_text(path: Path, text: str) -> None:
    """Writes `path` in one move; several processes may do so at the same time, the last one wins.

    Raises:
        OSError: the disk is full or not writable; the old file stays and no temporary file remains.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(text)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
