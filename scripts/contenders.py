"""Those who train in turn in `bench.py`: this runner, a conventional loop, another repository's net in it."""
# ruff: noqa: E402  # importing counts as start-up

import time

BEGUN = time.perf_counter()

import importlib
import itertools
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_all_start_methods, get_context
from pathlib import Path
from typing import Any

os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # the profiler talks

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

from resnet_exp.compute.device import choose_precision, choose_threads, set_up
from resnet_exp.compute.speed import choose_compile, compile_blocks
from resnet_exp.compute.totals import Totals
from resnet_exp.config import OptimConfig
from resnet_exp.cores import count_cores, wait_briefly
from resnet_exp.data.crops import PaddedCrop
from resnet_exp.data.preprocess import Preprocess
from resnet_exp.data.sets import Split
from resnet_exp.data.stream import BatchStream
from resnet_exp.nets.init import initialise
from resnet_exp.nets.network import Network
from resnet_exp.nets.spec import NetSpec
from resnet_exp.runs.checkpoint import NAME, is_finite, save_checkpoint
from resnet_exp.training.optim import build_optimizer
from resnet_exp.training.step import State, TrainStep

IMPORTED = time.perf_counter()
BATCH, NUM_IMAGES, SIZE, PADDING = 128, 50_000, 32, 4
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
OPTIM = OptimConfig(lr=0.1, momentum=0.9, weight_decay=1e-4, weight_decay_on="all", milestones=[], warmup_steps=0)
CONVENTIONAL_WORKERS = 4  # what both the other repository and most examples take
UNTIMED = 3  # updates that settle a contender: then a loader's workers are as far ahead as in the middle of an epoch


@dataclass(frozen=True)
class Way:
    """A way to be "ours"."""

    compile: bool | str = "auto"  # as the setting; "net": the net as a whole instead of each block
    amp: str = "auto"  # as the setting
    follows: bool = True  # whether threads and their waiting are set as the command sets them


def wait() -> None:
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()


def seconds(work: Callable[[], object]) -> float:
    """How long `work` takes, until the device has done it."""
    wait()
    begun = time.perf_counter()
    work()
    wait()
    return time.perf_counter() - begun


def noise() -> Split:
    """In place of images: time does not depend on what they show."""
    draw = partial(torch.randint, generator=torch.Generator().manual_seed(0))
    return Split(draw(0, 256, (NUM_IMAGES, SIZE, SIZE, 3), dtype=torch.uint8), draw(0, 10, (NUM_IMAGES,)))


def build(spec: NetSpec) -> Network:
    model = Network(spec, num_classes=10)
    initialise(model, seed=0)
    return model


class Trainer:
    """What every contender does when it is told to."""

    device: torch.device
    threads: int
    precision = "off"

    def train(self, count: int) -> None:
        """Makes `count` updates."""
        raise NotImplementedError

    def settle(self) -> None:
        self.time(UNTIMED)

    def time(self, count: int) -> float:
        """Seconds of `count` updates."""
        return seconds(partial(self.train, count))

    def costliest(self, count: int) -> list[tuple[str, float, float]]:
        """The five kernels (on a CPU: operations) that take most of a step: name, milliseconds a step, share of all."""
        gpu = self.device.type == "cuda"
        activity = torch.profiler.ProfilerActivity.CUDA if gpu else torch.profiler.ProfilerActivity.CPU
        with torch.profiler.profile(activities=[activity]) as profile:
            self.time(count)
        times = {e.key: e.self_device_time_total if gpu else e.self_cpu_time_total for e in profile.key_averages()}
        most = sorted(times.items(), key=lambda item: -item[1])[:5]
        return [(name, time_us / 1e3 / count, time_us / sum(times.values())) for name, time_us in most]

    def conditions(self) -> dict[str, Any]:
        return {"precision": self.precision, "threads": self.threads}

    def peak_memory(self) -> int:
        """Bytes: on a GPU what torch took of it, on a CPU the largest this process has been."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_reserved()
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


class Ours(Trainer):
    """The update that `training.loop.train` repeats."""

    def __init__(self, spec: NetSpec, way: Way, *, device: torch.device, threads: int | None = None) -> None:
        self.threads = choose_threads(threads, device=device) if way.follows else count_cores()
        set_up(device, threads=self.threads, deterministic=False)
        self.device, precision = device, choose_precision(way.amp, device)
        self.precision = precision.name
        model = build(spec).to(device=device, memory_format=torch.channels_last).train()
        if choose_compile(way.compile == "net" or way.compile, device):
            compile_blocks([model] if way.compile == "net" else model.blocks)
        crop = PaddedCrop(SIZE, padding=PADDING, border="mean")
        self.step = TrainStep(
            State(model, build_optimizer(model, OPTIM), precision.scaler(), Totals(device)),
            noise().to(device),
            stream=BatchStream(num_images=NUM_IMAGES, batch_size=BATCH, crop=crop, augment=True, seed=0),
            preprocess=Preprocess(torch.tensor(MEAN, device=device), torch.tensor(STD, device=device), crop=crop),
            precision=precision,
        )

    def train(self, count: int) -> None:
        for _ in range(count):
            self.step(lr=OPTIM.lr)

    def checkpoint(self, count: int) -> dict[str, float]:
        """Median seconds and bytes of `count` checkpoints, each after an update; one more at first is not counted."""
        state, times = self.step.state, []

        def save() -> None:
            is_finite(state.model)
            save_checkpoint(Path(folder), {"state": state.state_dict()})

        with tempfile.TemporaryDirectory(dir="outputs") as folder:
            for _ in range(count + 1):
                self.train(1)
                times.append(seconds(save))
            return {"seconds": statistics.median(times[1:]), "bytes": (Path(folder) / NAME).stat().st_size}


class Pictures(datasets.CIFAR10):
    """Noise as torchvision gives CIFAR-10: one PIL image at a time, transformed."""

    def __init__(self) -> None:
        split = noise()
        self.data, self.targets, self.target_transform = split.images.numpy(), split.labels.tolist(), None
        crop = [transforms.RandomCrop(SIZE, PADDING), transforms.RandomHorizontalFlip()]
        self.transform = transforms.Compose([*crop, transforms.ToTensor(), transforms.Normalize(MEAN, STD)])


class Conventional(Trainer):
    """The loop that most repositories have, the other one too; `peer` is its folder and what it calls the net."""

    def __init__(self, spec: NetSpec, *, device: torch.device, peer: tuple[Path, str] | None = None) -> None:
        self.threads = count_cores()
        torch.set_num_threads(self.threads)
        torch.backends.cudnn.benchmark = True
        self.device, gpu = device, device.type == "cuda"
        if peer:
            sys.path.insert(0, str(peer[0]))
            self.model = getattr(importlib.import_module("resnet"), peer[1])().to(device).train()
            if gpu:
                self.model = nn.DataParallel(self.model, device_ids=[device.index])  # as it does itself
        else:
            self.model = build(spec).to(device).train()
        decay = OPTIM.weight_decay
        self.optimizer = torch.optim.SGD(self.model.parameters(), OPTIM.lr, OPTIM.momentum, weight_decay=decay)
        warnings.filterwarnings("ignore", message="This DataLoader will create")  # more workers than cores: as they do
        start = get_all_start_methods()[0]  # of workers: as the system starts them, not as this process was
        how = {"num_workers": CONVENTIONAL_WORKERS, "multiprocessing_context": start, "pin_memory": gpu}
        loader = DataLoader(Pictures(), BATCH, shuffle=True, **how)
        self.batches = itertools.chain.from_iterable(itertools.repeat(loader))

    def train(self, count: int) -> None:
        for images, targets in itertools.islice(self.batches, count):
            images, targets = images.to(self.device), targets.to(self.device)
            logits = self.model(images)
            loss = F.cross_entropy(logits, targets)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            loss.item()
            (logits.argmax(1) != targets).float().mean().item()

    def settle(self) -> None:
        for _ in itertools.islice(self.batches, 2 * CONVENTIONAL_WORKERS):
            pass
        super().settle()


class Contender(ProcessPoolExecutor):
    """A trainer in a process of its own; made once it has done a step, so that none disturbs another's start.

    Args:
        make: makes the trainer.
        follows: whether its threads wait as those of the command do.

    Raises:
        BrokenProcessPool: it ended before its time.
    """

    trainer: Trainer  # in the process itself

    def __init__(self, make: Callable[[], Trainer], *, follows: bool) -> None:
        super().__init__(1, get_context("spawn"))
        before = os.environ.copy()
        if follows:
            wait_briefly()  # read by OpenMP when it is loaded
        self.start_up = self.submit(self.begin, make).result()
        os.environ.clear()
        os.environ.update(before)

    @classmethod
    def begin(cls, make: Callable[[], Trainer]) -> dict[str, float]:
        cls.trainer = make()
        cls.trainer.time(1)
        return {"import_s": IMPORTED - BEGUN, "first_step_s": time.perf_counter() - IMPORTED}

    @classmethod
    def obey(cls, method: str, *values: int) -> Any:
        return getattr(cls.trainer, method)(*values)

    def tell(self, method: str, *values: int) -> Future[Any]:
        return self.submit(self.obey, method, *values)


# Ends with whoever started it, even if that one is killed.
LOOP = "import os; parent = os.getppid()\nwhile os.getppid() == parent: pass"


@contextmanager
def busy(count: int) -> Iterator[None]:
    """Keeps `count` cores busy with processes of their own."""
    processes = [subprocess.Popen([sys.executable, "-c", LOOP]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()
