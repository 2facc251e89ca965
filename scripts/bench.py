#!/usr/bin/env python
"""How fast this runner trains, beside a conventional loop and, on request, another repository's.

python scripts/bench.py                                   resnet20 and resnet110
python scripts/bench.py --nets plain56 --steps 50         other nets, longer rounds
python scripts/bench.py --peer DIR                        beside a checkout of akamaster/pytorch_resnet_cifar10
python scripts/bench.py --json outputs/bench.json         all numbers, each round

Every contender trains its net at batch 128 on 50,000 random images of 32x32, in one process, in rounds: A B C A B C ...
Before a round, batches that were prepared while the others had their turn are taken away. Each ratio is that of
neighbouring rounds. The conventional loop: DataLoader with workers, torchvision transforms, eager float32, loss and
error read at every step.
"""

import argparse
import importlib.util
import json
import os
import platform
import re
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader
from torchvision import transforms

from resnet_exp.batches import BatchStream, crop_and_flip, normalise, pad
from resnet_exp.machine import Precision, choose_device, choose_precision, choose_threads, describe_device, set_up
from resnet_exp.models import CifarNet, describe, initialise
from resnet_exp.optim import build_optimizer
from resnet_exp.step import State, Totals, update

BATCH, IMAGES, SIZE, PADDING = 128, 50_000, 32, 4
LR, MOMENTUM, WEIGHT_DECAY = 0.1, 0.9, 1e-4
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
WORKERS = min(4, os.cpu_count() or 1)  # 4 is the other repository's default; more than there are cores only harm


@dataclass
class Contender:
    """One way to train a net.

    Args:
        train: does so many updates.
        settle: takes away what was prepared while the others had their turn.
    """

    name: str
    train: Callable[[int], None]
    settle: Callable[[], None] = lambda: None


def ours(shortcut: str, depth: int, pixels: np.ndarray, labels: np.ndarray, device: torch.device) -> Contender:
    """The steps of `resnet_exp.train.train`."""
    precision = choose_precision("auto", device)
    model = build(shortcut, depth).to(device=device, memory_format=torch.channels_last)
    optimizer = build_optimizer(model, lr=LR, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY, weight_decay_on="all")
    state = State(model.train(), optimizer, precision.scaler(), Totals(device))
    stream = BatchStream(num_images=IMAGES, batch_size=BATCH, padding=PADDING, augment=True, seed=0, device=device)
    padded = pad(torch.from_numpy(pixels).to(device), padding=PADDING)
    targets = torch.from_numpy(labels).to(device)
    mean, std = torch.tensor(MEAN, device=device), torch.tensor(STD, device=device)

    def train(steps: int) -> None:
        for _ in range(steps):
            draw = stream.batch(state.step)
            images = normalise(crop_and_flip(padded, draw, size=SIZE), mean=mean, std=std)
            update(state, images=images, labels=targets[draw.indices], precision=precision)

    return Contender("ours", train)


class Pictures(torch.utils.data.Dataset):
    """Arrays as torchvision's CIFAR10 gives them: one PIL image at a time, transformed."""

    def __init__(self, pixels: np.ndarray, labels: np.ndarray) -> None:
        self.pixels, self.labels = pixels, labels
        self.transform = transforms.Compose(
            [
                transforms.RandomCrop(SIZE, PADDING),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(MEAN, STD),
            ]
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.transform(Image.fromarray(self.pixels[index])), int(self.labels[index])


def with_loader(name: str, model: nn.Module, pixels: np.ndarray, labels: np.ndarray, device: torch.device) -> Contender:
    """The conventional loop around any net; in all that costs time the other repository's is the same."""
    loader = DataLoader(
        Pictures(pixels, labels), BATCH, shuffle=True, num_workers=WORKERS, pin_memory=device.type == "cuda"
    )
    model = model.to(device).train()
    if device.type == "cuda":
        model = nn.DataParallel(model, device_ids=[device.index]) if name == "peer" else model  # as it does itself
    optimizer = torch.optim.SGD(model.parameters(), LR, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY)

    def forever() -> Iterator[Any]:
        while True:
            yield from loader

    batches = forever()

    def train(steps: int) -> None:
        for _ in range(steps):
            images, targets = (tensor.to(device) for tensor in next(batches))
            logits = model(images)
            loss = F.cross_entropy(logits, targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            loss.item()
            (logits.argmax(1) != targets).float().mean().item()

    def settle() -> None:
        for _ in range(2 * WORKERS):  # what the workers prepare ahead
            next(batches)

    return Contender(name, train, settle)


def build(shortcut: str, depth: int) -> CifarNet:
    model = CifarNet(depth=depth, shortcut=shortcut)
    initialise(model, seed=0)
    return model


def peer_net(folder: Path, name: str) -> nn.Module | None:
    """The net of that name in the other repository's `resnet.py`, if it has one."""
    spec = importlib.util.spec_from_file_location("peer_resnet", folder / "resnet.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, name)() if hasattr(module, name) else None


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def rounds(contenders: list[Contender], *, steps: int, count: int, device: torch.device) -> dict[str, list[float]]:
    """Images per second of each contender in each round, all in turn; the first round, to warm up, is not kept."""
    found: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    for number in range(count + 1):
        for contender in contenders:
            contender.settle()
            wait(device)
            begun = time.perf_counter()
            contender.train(steps if number else 3)
            wait(device)
            if number:
                found[contender.name].append(steps * BATCH / (time.perf_counter() - begun))
    return found


def rate_of_matrices(device: torch.device, dtype: torch.dtype) -> float:
    """Operations per second in a large matrix product."""
    size = 8192 if device.type == "cuda" else 2048
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    return 2 * size**3 / fastest(lambda: a @ b, device)


def rate_of_copies(device: torch.device) -> float:
    """Bytes read and written per second in a large copy."""
    source = torch.randn(2**28 if device.type == "cuda" else 2**25, device=device)
    target = torch.empty_like(source)
    return 2 * source.numel() * source.element_size() / fastest(lambda: target.copy_(source), device)


def fastest(work: Callable[[], object], device: torch.device) -> float:
    times = []
    for _ in range(10):
        wait(device)
        begun = time.perf_counter()
        work()
        wait(device)
        times.append(time.perf_counter() - begun)
    return min(times)


def floor(shortcut: str, depth: int, *, precision: Precision, matrices: float, copies: float) -> dict[str, float]:
    """The shortest time (ms) a step could take at these rates, for arithmetic and for memory.

    Arithmetic: forward, and twice as much backward. Memory: each convolution's output and its gradient is written and
    read once, and the output read once more in the backward pass.
    """
    with torch.device("meta"):
        costs = describe(CifarNet(depth=depth, shortcut=shortcut), image_size=SIZE)
    operations = 3 * 2 * BATCH * sum(cost.macs for cost in costs)
    values = BATCH * sum(float(np.prod(cost.shape)) for cost in costs if cost.kind == "Conv2d")
    moved = 5 * values * (4 if precision.name == "off" else 2)
    return {"arithmetic_ms": 1e3 * operations / matrices, "memory_ms": 1e3 * moved / copies}


def start_up() -> dict[str, float]:
    """Seconds to `--help`, and to the end of a command that trains a single step; medians of three."""
    command = [sys.executable, "-m", "resnet_exp"]
    one = ["data=synthetic", "data.train_limit=256", "data.test_limit=10", "train.steps=1", "study=bench", "fresh=true"]

    def seconds(arguments: list[str]) -> float:
        times = []
        for _ in range(3):
            begun = time.perf_counter()
            subprocess.run([*command, *arguments], check=True, capture_output=True)
            times.append(time.perf_counter() - begun)
        return statistics.median(times)

    return {"help_s": seconds(["--help"]), "one_step_s": seconds(one)}


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nets", nargs="+", default=["resnet20", "resnet110"], metavar="NET")
    parser.add_argument("--steps", type=int, default=None, help="updates per round: 10 on a CPU, 200 on a GPU")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peer", type=Path, metavar="DIR", help="a checkout of akamaster/pytorch_resnet_cifar10")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--device", default="auto")
    arguments = parser.parse_args()

    device = choose_device(arguments.device)
    set_up(device, threads=choose_threads(None), deterministic=False)
    precision = choose_precision("auto", device)
    steps = arguments.steps or (200 if device.type == "cuda" else 10)
    matrices = rate_of_matrices(device, torch.float32 if precision.name == "off" else torch.bfloat16)
    copies = rate_of_copies(device)
    record: dict[str, Any] = {
        "device": describe_device(device),
        "torch": str(torch.__version__),
        "python": platform.python_version(),
        "precision": precision.name,
        "batch_size": BATCH,
        "steps_per_round": steps,
        "matrix_rate": matrices,
        "copy_rate": copies,
        "start_up": start_up(),
        "nets": {},
    }
    print(f"{record['device']}, torch {record['torch']}, precision {precision.name}")
    print(f"matrix product {matrices / 1e12:.3g} TFLOP/s, copy {copies / 1e9:.3g} GB/s")
    print("--help in {help_s:.2f} s, one step and its evaluations in {one_step_s:.2f} s\n".format(**record["start_up"]))

    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (IMAGES, SIZE, SIZE, 3), dtype=np.uint8)
    labels = rng.integers(0, 10, IMAGES)
    for name in arguments.nets:
        found = re.fullmatch(r"(plain|resnet)(\d+)", name)
        if not found:
            parser.error(f"--nets {name}: plain or resnet and a depth, like plain56")
        shortcut, depth = "none" if found[1] == "plain" else "A", int(found[2])
        contenders = [
            ours(shortcut, depth, pixels, labels, device),
            with_loader("conventional", build(shortcut, depth), pixels, labels, device),
        ]
        peer = peer_net(arguments.peer, name) if arguments.peer else None
        if peer is not None:
            contenders.append(with_loader("peer", peer, pixels, labels, device))
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        rates = rounds(contenders, steps=steps, count=arguments.rounds, device=device)
        limits = floor(shortcut, depth, precision=precision, matrices=matrices, copies=copies)
        record["nets"][name] = {"images_per_second": rates, "floor": limits}
        for contender, values in rates.items():
            rate = statistics.median(values)
            ratio = [a / b for a, b in zip(rates["ours"], values, strict=True)]
            print(
                f"{name:<10} {contender:<13} {rate:9.0f} images/s {1e3 * BATCH / rate:9.2f} ms/step"
                + (f"   ours is {spread(ratio)} times as fast" if contender != "ours" else "")
            )
        step_ms = 1e3 * BATCH / statistics.median(rates["ours"])
        least = max(limits.values())
        print(
            f"{name:<10} floor: arithmetic {limits['arithmetic_ms']:.2f} ms, memory {limits['memory_ms']:.2f} ms;"
            f" ours takes {step_ms / least:.1f} times the larger\n"
        )
    if device.type == "cuda":
        record["peak_memory_gb"] = torch.cuda.max_memory_allocated() / 1e9
    else:
        record["peak_memory_gb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"peak memory of this process, all contenders: {record['peak_memory_gb']:.2f} GB")
    if arguments.json:
        arguments.json.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
