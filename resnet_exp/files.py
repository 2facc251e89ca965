"""Files that are whole or refused: written in one move, and, where a wrong bit would matter, sealed by a checksum.

`torch.load` and its like accept a file with flipped bits; every binary file of ours that is read back is sealed.
"""

import errno
import hashlib
import io
import os
import pickle
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Any

SCRAPS = ".*.tmp"  # what a killed writer may leave beside its file
MAGIC = b"resnet-exp 1\n"
HEADER_LENGTH = len(MAGIC) + 8 + 32  # magic, payload length, SHA-256


class DamagedFileError(ValueError):
    """The file is not what was written: truncated, altered, or not one of ours."""


def replace(path: Path, chunks: Iterable[bytes | memoryview]) -> None:
    """Writes `path` in one move; several processes may do so at the same time, the last one wins.

    Raises:
        OSError: the disk is full or not writable; the old file stays and no temporary file remains.
    """
    # Processes on two computers may have one number.
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(3)}.tmp")
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
    """Has the moves within a folder on disk before it returns, where the file system can (some of networks cannot)."""
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(folder)


def replace_text(path: Path, text: str) -> None:
    """`replace` for a short text."""
    replace(path, [text.encode()])


def write_sealed(path: Path, content: dict[str, Any]) -> None:
    """Replaces `path` by `content` (tensors, numbers, strings, lists, dicts), or leaves it as it was.

    Raises:
        OSError: the disk is full or not writable; no temporary file remains.
    """
    import torch  # here: most users of this file do without it

    buffer = io.BytesIO()
    torch.save(content, buffer)
    payload = buffer.getbuffer()
    replace(path, [header(len(payload), hashlib.sha256(payload).digest()), payload])


def read_sealed(path: Path) -> dict[str, Any]:
    """The content written by `write_sealed`, tensors on the CPU. Executes nothing that the file may hold.

    Raises:
        FileNotFoundError: there is no such file.
        DamagedFileError: the file is not what was written.
    """
    import torch

    with path.open("rb") as file:  # read twice, as decoded images may leave no memory for a second copy of them
        if not seal_fits(file):
            raise DamagedFileError(f"{path}: damaged or not written by resnet-exp")
        file.seek(HEADER_LENGTH)
        try:
            content = torch.load(file, map_location="cpu", weights_only=True)
        except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
            raise DamagedFileError(f"{path}: holds something other than tensors and numbers") from error
    if not isinstance(content, dict):
        raise DamagedFileError(f"{path}: not written by resnet-exp")
    return content


def is_sealed(path: Path) -> bool:
    """Whether a file begins as those of `write_sealed` do, whole or not."""
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def is_whole(path: Path) -> bool:
    """Whether a file is as `write_sealed` left it, by its checksum; needs no torch."""
    try:
        with path.open("rb") as file:
            return seal_fits(file)
    except OSError:
        return False


def seal_fits(file: io.BufferedReader) -> bool:
    """Whether an open file is as `write_sealed` left it; reads it to its end."""
    start = file.read(HEADER_LENGTH)
    digest = hashlib.file_digest(file, "sha256").digest()  # of what follows
    return start == header(max(0, file.tell() - HEADER_LENGTH), digest)


def header(length: int, digest: bytes) -> bytes:
    return MAGIC + length.to_bytes(8, "little") + digest
