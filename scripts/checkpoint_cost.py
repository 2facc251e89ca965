#!/usr/bin/env python
"""What a checkpoint costs: its median time beside that of the steps between two of them.

python scripts/checkpoint_cost.py                     resnet20, resnet56 and resnet110 at batch 128, 32x32
python scripts/checkpoint_cost.py 110 --device cuda   one depth, on a GPU

Steps and checkpoints are measured in turn in one process. Trains on noise: time does not depend on the images.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from contenders import LR, our_step, wait

from resnet_exp.runs.checkpoint import NAME, is_finite, save_checkpoint
from resnet_exp.training.device import choose_device, choose_threads, describe_device, set_up

SAVE_EVERY = 2000  # the default


def seconds(work: Callable[[], None], device: torch.device) -> float:
    begun = time.perf_counter()
    work()
    wait(device)
    return time.perf_counter() - begun


def measure(depth: int, *, device: torch.device, folder: Path, rounds: int) -> tuple[float, float]:
    """Median seconds of a step and of a checkpoint; the first of each is not counted."""
    update = our_step(f"resnet{depth}", device, how="auto")
    state = update.state

    def step() -> None:
        update(lr=LR)

    def save() -> None:
        is_finite(state.model)
        save_checkpoint(folder, {"state": state.state_dict()})

    times = [(seconds(step, device), seconds(step, device), seconds(save, device)) for _ in range(rounds + 1)][1:]
    return statistics.median(t for *pair, _ in times for t in pair), statistics.median(t for *_, t in times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("depths", nargs="*", type=int, default=[20, 56, 110])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--rounds", type=int, default=10, help="checkpoints, and as many pairs of steps")
    arguments = parser.parse_args()
    device = choose_device(arguments.device)
    set_up(device, threads=choose_threads(None), deterministic=False)
    print(f"{describe_device(device)}, torch {torch.__version__}, {arguments.rounds} rounds")
    Path("outputs").mkdir(exist_ok=True)
    for depth in arguments.depths:
        with tempfile.TemporaryDirectory(dir="outputs") as folder:
            step, save = measure(depth, device=device, folder=Path(folder), rounds=arguments.rounds)
            size = (Path(folder) / NAME).stat().st_size
        share = save / (SAVE_EVERY * step + save)
        print(
            f"resnet{depth:<5} step {1e3 * step:7.1f} ms   checkpoint {1e3 * save:6.1f} ms, {size / 1e6:6.1f} MB"
            f"   every {SAVE_EVERY} steps: {share:.4%} of the time"
        )


if __name__ == "__main__":
    main()
