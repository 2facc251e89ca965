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
from pathlib import Path

import torch

from resnet_exp.checkpoint import NAME, is_finite, save_checkpoint
from resnet_exp.machine import choose_device, choose_precision, describe_device
from resnet_exp.models import CifarNet, initialise
from resnet_exp.optim import build_optimizer
from resnet_exp.step import State, Totals, update

BATCH, SAVE_EVERY = 128, 2000  # the defaults


def seconds(work, device: torch.device) -> float:
    begun = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("depths", nargs="*", type=int, default=[20, 56, 110])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--rounds", type=int, default=10, help="checkpoints measured, and as many pairs of steps")
    arguments = parser.parse_args()
    device = choose_device(arguments.device)
    precision = choose_precision("auto", device)
    print(f"{describe_device(device)}, torch {torch.__version__}, precision {precision.name}, {arguments.rounds} rounds")
    for depth in arguments.depths:
        model = CifarNet(depth=depth)
        initialise(model, seed=0)
        model = model.to(device=device, memory_format=torch.channels_last).train()
        optimizer = build_optimizer(model, lr=0.1, momentum=0.9, weight_decay=1e-4, weight_decay_on="all")
        state = State(model, optimizer, precision.scaler(), Totals(device))
        images = torch.randn(BATCH, 3, 32, 32, device=device).contiguous(memory_format=torch.channels_last)
        labels = torch.randint(10, (BATCH,), device=device)
        steps, saves = [], []
        with tempfile.TemporaryDirectory(dir="outputs") as folder:

            def step() -> None:
                update(state, images=images, labels=labels, precision=precision)

            def save() -> None:
                is_finite(model)
                save_checkpoint(Path(folder), {"state": state.state_dict()})

            for _ in range(arguments.rounds + 1):
                steps += [seconds(step, device), seconds(step, device)]
                saves.append(seconds(save, device))
            size = (Path(folder) / NAME).stat().st_size / 1e6
        pace, save_time = statistics.median(steps[2:]), statistics.median(saves[1:])
        share = save_time / (SAVE_EVERY * pace + save_time)
        print(
            f"resnet{depth:<5} step {1e3 * pace:8.1f} ms   checkpoint {1e3 * save_time:7.1f} ms, {size:6.1f} MB"
            f"   every {SAVE_EVERY} steps: {100 * share:.4f} % of the time"
        )


if __name__ == "__main__":
    main()
