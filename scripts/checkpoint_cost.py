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

from resnet_exp.batches import BatchStream
from resnet_exp.checkpoint import NAME, is_finite, save_checkpoint
from resnet_exp.data import Dataset, Split
from resnet_exp.machine import choose_device, choose_precision, describe_device
from resnet_exp.models import CifarNet, initialise
from resnet_exp.optim import build_optimizer
from resnet_exp.step import State, Totals, TrainStep

BATCH, SAVE_EVERY = 128, 2000  # the defaults
NUM_IMAGES = 5000


def noise(device: torch.device) -> Dataset:
    images = torch.randint(256, (NUM_IMAGES, 32, 32, 3), dtype=torch.uint8)
    split = Split(images, torch.randint(10, (NUM_IMAGES,)))
    half = torch.full((3,), 0.5)
    return Dataset(split, None, split, list("0123456789"), half, half, fingerprint="").to(device)


def seconds(work: Callable[[], None], device: torch.device) -> float:
    begun = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - begun


def measure(depth: int, *, device: torch.device, folder: Path, rounds: int) -> tuple[float, float]:
    """Median seconds of a step and of a checkpoint; the first of each is not counted."""
    precision = choose_precision("auto", device)
    model = CifarNet(depth=depth)
    initialise(model, seed=0)
    model = model.to(device=device, memory_format=torch.channels_last).train()
    optimizer = build_optimizer(model, lr=0.1, momentum=0.9, weight_decay=1e-4, weight_decay_on="all")
    state = State(model, optimizer, precision.scaler(), Totals(device))
    stream = BatchStream(num_images=NUM_IMAGES, batch_size=BATCH, padding=4, augment=True, seed=0)
    update = TrainStep(state, stream=stream, dataset=noise(device), precision=precision)

    def step() -> None:
        update(lr=0.1)

    def save() -> None:
        is_finite(model)
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
