"""The folder `snapshots/` of a run: its weights at the steps that `train.snapshots` names, for looking back."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from resnet_exp.files import SCRAPS, read_sealed, write_sealed
from resnet_exp.runs.schema import SCHEMA, schema_of

FOLDER = "snapshots"


def snapshot_file(run: Path, step: int) -> Path:
    return run / FOLDER / f"step{step}.pt"


def write_snapshot(run: Path, model: Mapping[str, Any], *, step: int) -> None:
    """Keeps the weights and BN statistics after `step` updates. Waits for the device.

    Args:
        model: the net's state dict.

    Raises:
        OSError: the disk is full or not writable.
    """
    file = snapshot_file(run, step)
    file.parent.mkdir(exist_ok=True)
    write_sealed(file, {"schema": SCHEMA, "step": step, "model": dict(model)})


def read_snapshot(file: Path) -> dict[str, Any]:
    """The net's state dict, on the CPU.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, or a newer version wrote it.
    """
    content = read_sealed(file)
    schema_of(content, path=file)
    state: dict[str, Any] = content["model"]
    return state


def snapshot_steps(run: Path) -> list[int]:
    """The steps whose weights a run folder holds, rising."""
    numbers = (file.stem.removeprefix("step") for file in (run / FOLDER).glob("step*.pt"))
    return sorted(int(number) for number in numbers if number.isdecimal())


def clear_snapshots(run: Path) -> None:
    """Removes them, and what a killed process left of one; other files stay."""
    for pattern in ("step*.pt", SCRAPS):
        for file in (run / FOLDER).glob(pattern):
            file.unlink()
