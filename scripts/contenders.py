#!/usr/bin/env python
"""What scripts/bench.py measures, each in a process of its own: it trains as many updates as a line of input says.

Input: lines `settle`, `train N`, `profile N` or `memory`; output: a line of JSON for each, and one before the first.
"""

import argparse
import importlib.util
import itertools
import json
import os
import resource
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

BEGUN = time.perf_counter()
os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # the profiler talks

import numpy as np  # noqa: E402  # importing counts as start-up
import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from PIL import Image  # noqa: E402
from resnet_exp.nets.models import CifarNet, initialise  # noqa: E402
from resnet_exp.training.compiling import choose_compile, compile_blocks  # noqa: E402
from torch import nn  # noqa: E402
from torch.utils.data import DataLoader  # noqa: E402
from torchvision import transforms  # noqa: E402

from resnet_exp.data.sets import Dataset, Split  # noqa: E402
from resnet_exp.data.stream import BatchStream  # noqa: E402
from resnet_exp.training.device import choose_device, choose_precision, set_up  # noqa: E402
from resnet_exp.training.optim import build_optimizer  # noqa: E402
from resnet_exp.training.step import State, Totals, TrainStep  # noqa: E402

IMPORTED = time.perf_counter()
BATCH, NUM_IMAGES, SIZE, PADDING = 128, 50_000, 32, 4
LR, MOMENTUM, WEIGHT_DECAY = 0.1, 0.9, 1e-4
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
COMPILE = {"auto": "auto", "eager": False, "blocks": True, "net": True}  # ways to be "ours"
UNTIMED = 3  # updates that settle a contender: then a loader's workers are as far ahead as in the middle of an epoch

Train = Callable[[int], None]


def arrays() -> tuple[np.ndarray, np.ndarray]:
    """Noise in place of images: time does not depend on what they show."""
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (NUM_IMAGES, SIZE, SIZE, 3), dtype=np.uint8), rng.integers(0, 10, NUM_IMAGES)


def build(net: str) -> CifarNet:
    family, depth = net.rstrip("0123456789"), int(net.lstrip("abcdefghijklmnopqrstuvwxyz"))
    model = CifarNet(depth=depth, shortcut="none" if family == "plain" else "A")
    initialise(model, seed=0)
    return model


def our_step(net: str, device: torch.device, *, how: str) -> TrainStep:
    """The update that `resnet_exp.training.loop.train` repeats."""
    precision = choose_precision("auto", device)
    model = build(net).to(device=device, memory_format=torch.channels_last).train()
    if choose_compile(COMPILE[how], device):
        compile_blocks([model] if how == "net" else model.blocks)
    optimizer = build_optimizer(model, lr=LR, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY, weight_decay_on="all")
    pixels, labels = map(torch.from_numpy, arrays())
    split = Split(pixels, labels)
    dataset = Dataset(split, None, split, [], torch.tensor(MEAN), torch.tensor(STD), fingerprint="").to(device)
    return TrainStep(
        State(model, optimizer, precision.scaler(), Totals(device)),
        stream=BatchStream(num_images=NUM_IMAGES, batch_size=BATCH, padding=PADDING, augment=True, seed=0),
        dataset=dataset,
        precision=precision,
    )


def ours(net: str, device: torch.device, *, how: str, streams: int) -> Train:
    """One run, or several on streams of their own."""
    steps = [our_step(net, device, how=how) for _ in range(streams)]
    wait(device)  # other streams do not wait for what set these up
    lanes: list[Any] = [nullcontext()]
    if streams > 1:
        lanes = [torch.cuda.stream(torch.cuda.Stream(device)) for _ in steps]

    def train(count: int) -> None:
        for _ in range(count):
            for lane, step in zip(lanes, steps, strict=True):
                with lane:
                    step(lr=LR)

    return train


class Pictures(torch.utils.data.Dataset):
    """Arrays as torchvision's CIFAR10 gives them: one PIL image at a time, transformed."""

    def __init__(self) -> None:
        self.pixels, self.labels = arrays()
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


def conventional(model: nn.Module, device: torch.device, *, workers: int) -> tuple[Train, Callable[[], None]]:
    """The loop that most repositories have, the other one too; and what takes away the batches that wait for it."""
    loader = DataLoader(Pictures(), BATCH, shuffle=True, num_workers=workers, pin_memory=device.type == "cuda")
    optimizer = torch.optim.SGD(model.parameters(), LR, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY)

    def forever() -> Iterator[Any]:
        while True:
            yield from loader

    batches = forever()

    def train(count: int) -> None:
        for images, targets in itertools.islice(batches, count):
            images, targets = images.to(device), targets.to(device)
            logits = model(images)
            loss = F.cross_entropy(logits, targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            loss.item()
            (logits.argmax(1) != targets).float().mean().item()

    def take_away() -> None:
        for _ in itertools.islice(batches, 2 * workers):
            pass

    return train, take_away


def peer_net(folder: Path, net: str) -> nn.Module:
    """The net of that name in the other repository's `resnet.py`."""
    spec = importlib.util.spec_from_file_location("peer_resnet", folder / "resnet.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, net)()


def costliest(train: Train, count: int, device: torch.device) -> list[tuple[str, float, float]]:
    """The five kernels (on a CPU: operations) that take most of a step: name, milliseconds per step, share of all."""
    gpu = device.type == "cuda"
    activity = torch.profiler.ProfilerActivity.CUDA if gpu else torch.profiler.ProfilerActivity.CPU
    with torch.profiler.profile(activities=[activity]) as profile:
        train(count)
        wait(device)
    times = {e.key: e.self_device_time_total if gpu else e.self_cpu_time_total for e in profile.key_averages()}
    most = sorted(times.items(), key=lambda item: -item[1])[:5]
    return [(name, time_us / 1e3 / count, time_us / sum(times.values())) for name, time_us in most]


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def peak_memory(device: torch.device) -> int:
    """Bytes: on a GPU what torch took of it, on a CPU the largest this process has been."""
    if device.type == "cuda":
        return torch.cuda.max_memory_reserved()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=[*COMPILE, "conventional", "peer"])
    parser.add_argument("net")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--streams", type=int, default=1)
    parser.add_argument("--peer", type=Path)
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore", message="This DataLoader will create")  # more workers than cores: as they do
    device = choose_device(arguments.device)
    take_away: Callable[[], None] = lambda: None  # noqa: E731
    if arguments.name in COMPILE:
        set_up(device, threads=arguments.threads, deterministic=False)
        train = ours(arguments.net, device, how=arguments.name, streams=arguments.streams)
    else:
        torch.set_num_threads(arguments.threads)
        torch.backends.cudnn.benchmark = True
        model = peer_net(arguments.peer, arguments.net) if arguments.name == "peer" else build(arguments.net)
        model = model.to(device).train()
        if arguments.name == "peer" and device.type == "cuda":
            model = nn.DataParallel(model, device_ids=[device.index])  # as it does itself
        train, take_away = conventional(model, device, workers=arguments.workers)
    train(1)
    wait(device)
    ready = time.perf_counter()
    print(json.dumps({"import_s": IMPORTED - BEGUN, "first_step_s": ready - IMPORTED}), flush=True)
    for line in sys.stdin:
        verb, _, count = line.strip().partition(" ")
        answer: Any = None
        if verb == "settle":
            take_away()
            train(UNTIMED)
            wait(device)
        elif verb == "train":
            begun = time.perf_counter()
            train(int(count))
            wait(device)
            answer = time.perf_counter() - begun
        elif verb == "profile":
            answer = costliest(train, int(count), device)
        else:
            answer = peak_memory(device)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
