"""Whether the images of a run fit into memory: said before they are decoded, not when a system ends the process."""

import os
from contextlib import suppress
from pathlib import Path

import torch

from resnet_exp.config import DataConfig
from resnet_exp.cores import control_groups
from resnet_exp.data.crops import make_crop

MEMINFO, STATM = Path("/proc/meminfo"), Path("/proc/self/statm")
# Where a control group says its limit, what is taken, and what of that is a disk's cache that makes room.
GROUPS = {
    "": ("memory.max", "memory.current", "inactive_file"),  # version 2
    "memory": ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),  # version 1
}


def free_memory() -> int | None:
    """Bytes that this process may still take, of the machine and of its container; None where nobody says (macOS)."""
    found = []
    with suppress(OSError, ValueError, IndexError):
        (line,) = (line for line in MEMINFO.read_text().splitlines() if line.startswith("MemAvailable:"))
        found.append(1024 * int(line.split()[1]))
    for controller, (limit, taken, cache) in GROUPS.items():
        for folder in control_groups(controller):
            with suppress(OSError, ValueError, KeyError):  # no limit, or no control groups
                kinds = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
                most, now = (int((folder / file).read_text()) for file in (limit, taken))
                found.append(max(0, most - now + int(kinds[cache])))
    return min(found, default=None)


def used_memory() -> int | None:
    """Bytes that this process takes; None where nobody says (macOS)."""
    with suppress(OSError, ValueError, IndexError, AttributeError):
        return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return None


def image_bytes(data: DataConfig, *, train: int, test: int) -> tuple[int, int, int]:
    """Bytes that a run's images take: all of them, as they are loaded; these and the chosen ones; those that it trains
    on and tests with.

    Args:
        train: images in the training part, before `data.train_limit`.
        test: likewise.
    """
    crop = make_crop(data)
    kept_train = train if data.train_limit is None else min(train, data.train_limit + data.val_size)
    kept_test = test if data.test_limit is None else min(test, data.test_limit)
    copied = kept_train if data.val_size or data.train_limit is not None else 0  # chosen from all, which go then
    copied += kept_test if data.test_limit is not None else 0
    loaded = (train + test) * crop.stored_bytes
    training = (kept_train + kept_test) * crop.stored_bytes + kept_train * crop.copy_bytes
    return loaded, loaded + copied * crop.stored_bytes, training


def check_room(data: DataConfig, *, train: int, test: int, device: torch.device) -> None:
    """Compares what a run's images take with what there is, in the computer and on its GPU.

    Args:
        train: images in the training part, before `data.train_limit`.
        test: likewise.
        device: where the run trains.

    Raises:
        ValueError: they do not fit; the message has both sizes and says what to do.
    """
    loaded, loading, training = image_bytes(data, train=train, test=test)
    side = make_crop(data).stored_size
    needs = f"{data.shown}: {train + test:,} images, stored at {side}x{side} pixels, need"

    free, needed = free_memory(), max(loading, training) if device.type == "cpu" else loading
    if free is not None and needed > free:
        limit = " or data.train_limit=" if loaded < free else ""  # images are chosen after all were loaded
        raise ValueError(
            f"{needs} {needed / 1e9:.3g} GB of memory; {free / 1e9:.3g} GB are free"
            f"\nset a smaller data.image_size={limit}"
        )
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        if training > free:
            raise ValueError(
                f"{needs} {training / 1e9:.3g} GB of GPU memory; {free / 1e9:.3g} GB are free"
                "\nset a smaller data.image_size= or data.train_limit=, or device=cpu"
            )
