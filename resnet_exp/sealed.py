"""Files that are whole or refused: a header with length and SHA-256 before the payload, written in one move.

`torch.load` and its like accept a file with flipped bits; everything of ours that is read back goes through here.
"""

import hashlib
import io
import pickle
from pathlib import Path
from typing import Any

import torch

from resnet_exp.atomic import replace

MAGIC = b"resnet-exp 1\n"
HEADER_LENGTH = len(MAGIC) + 8 + 32  # magic, payload length, SHA-256


class DamagedFileError(ValueError):
    """The file is not what was written: truncated, altered, or not one of ours."""


def write_sealed(path: Path, content: dict[str, Any]) -> None:
    """Replaces `path` by `content` (tensors, numbers, strings, lists, dicts), or leaves it as it was.

    Raises:
        OSError: the disk is full or not writable; no temporary file remains.
    """
    buffer = io.BytesIO()
    torch.save(content, buffer)
    payload = buffer.getbuffer()
    header = MAGIC + len(payload).to_bytes(8, "little") + hashlib.sha256(payload).digest()
    replace(path, [header, payload])


def read_sealed(path: Path) -> dict[str, Any]:
    """The content written by `write_sealed`, tensors on the CPU. Executes nothing that the file may hold.

    Raises:
        FileNotFoundError: there is no such file.
        DamagedFileError: the file is not what was written.
    """
    data = path.read_bytes()
    payload = memoryview(data)[HEADER_LENGTH:]
    header = MAGIC + len(payload).to_bytes(8, "little") + hashlib.sha256(payload).digest()
    if data[:HEADER_LENGTH] != header:
        raise DamagedFileError(f"{path}: damaged or not written by resnet-exp")
    try:
        content = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise DamagedFileError(f"{path}: holds something other than tensors and numbers") from error
    if not isinstance(content, dict):
        raise DamagedFileError(f"{path}: not written by resnet-exp")
    return content
