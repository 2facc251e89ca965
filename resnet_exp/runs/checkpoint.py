"""The state of a run as one file, with the one before it as a spare."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resnet_exp.files import DamagedFileError, read_sealed, sync_folder, write_sealed
from resnet_exp.runs.schema import SCHEMA, upgrade_checkpoint

if TYPE_CHECKING:  # the names of the files are asked for without torch
    from torch import nn

NAME, WRITTEN, SPARE = "checkpoint.pt", ".checkpoint.pt.new", "checkpoint.prev.pt"  # newest first, but for a moment

log = logging.getLogger(__name__)


def save_checkpoint(folder: Path, state: dict[str, Any]) -> None:
    """Writes `checkpoint.pt`; what was there becomes `checkpoint.prev.pt`. At every moment one of them is whole.

    Raises:
        OSError: the disk is full or not writable; the older checkpoints stay.
    """
    newest, written = folder / NAME, folder / WRITTEN
    write_sealed(written, {"schema": SCHEMA} | state)
    if newest.exists():
        newest.replace(folder / SPARE)
    written.replace(newest)
    sync_folder(folder)


def keep_weights(folder: Path) -> None:
    """Of a complete run: the newest checkpoint keeps the weights and BN statistics, and the spare goes. What else it
    takes to go on, the momentum above all, is as large again, in either.

    Raises:
        OSError: the disk is full or not writable; the checkpoints stay.
    """
    content = load_checkpoint(folder)
    assert content is not None
    state = content["state"]
    content |= {"schema": SCHEMA, "state": {"model": state["model"], "step": state["step"]}}
    write_sealed(folder / WRITTEN, content)
    (folder / WRITTEN).replace(folder / NAME)
    sync_folder(folder)
    (folder / SPARE).unlink(missing_ok=True)


def has_checkpoint(folder: Path) -> bool:
    """Whether there is one, damaged or not."""
    return any((folder / name).exists() for name in (NAME, WRITTEN, SPARE))


def load_checkpoint(folder: Path) -> dict[str, Any] | None:
    """The newest whole checkpoint, or None if there never was one. Changes nothing: whoever only looks may do so beside
    the process that trains.

    Raises:
        ValueError: there are checkpoints, and every one is damaged. Or a newer version wrote it.
    """
    name, content, damaged = newest(folder)
    for error in damaged.values():
        log.warning("%s; trying the one before", error)
    if name is None or content is None:
        return None
    return upgrade_checkpoint(content, path=folder / name)


def repair(folder: Path) -> None:
    """Before a run goes on, its folder locked: removes damaged checkpoints, lest they become the spare, and ends the
    save that was cut short.

    Raises:
        ValueError: every one is damaged; they stay.
    """
    name, _, damaged = newest(folder)
    for other in damaged:
        (folder / other).unlink()
    if name == WRITTEN:
        (folder / WRITTEN).replace(folder / NAME)


def newest(folder: Path) -> tuple[str | None, dict[str, Any] | None, dict[str, DamagedFileError]]:
    """Name and content of the newest whole checkpoint, and those that are newer but damaged.

    Raises:
        ValueError: there are checkpoints, and every one is damaged.
    """
    damaged: dict[str, DamagedFileError] = {}
    for name in (NAME, WRITTEN, NAME, SPARE):  # a save may have moved it between the first two looks
        try:
            return name, read_sealed(folder / name), damaged
        except FileNotFoundError:
            continue
        except DamagedFileError as error:
            damaged[name] = error
    if damaged:
        what = f"{folder}: every checkpoint is damaged ({', '.join(damaged)})"
        raise ValueError(f"{what}\nfresh=true starts this run again from step 0")
    return None, None, damaged


def is_finite(model: "nn.Module") -> bool:
    """Whether every weight and BN statistic is a number. Waits for the device, once."""
    import torch

    return bool(torch.stack([tensor.isfinite().all() for tensor in model.state_dict().values()]).all())
