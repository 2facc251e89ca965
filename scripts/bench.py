#!/usr/bin/env python
"""How fast this runner trains, beside a conventional loop and, on request, another repository's.

python scripts/bench.py                                   resnet20 and resnet110
python scripts/bench.py --nets plain56 --steps 50         other nets, longer rounds
python scripts/bench.py --busy 1                          quiet, then beside a process that keeps a core busy
python scripts/bench.py --peer DIR                        beside a checkout of akamaster/pytorch_resnet_cifar10
python scripts/bench.py --ours eager blocks net           not compiled, each block compiled, the net compiled as a whole
python scripts/bench.py --together 2 4                    several runs at once, a process each
python scripts/bench.py --json outputs/bench.json         all numbers, each round

Every contender has a process of its own and trains at batch 128 on 50,000 random images of 32x32, in rounds: A B C A B
C ... Each ratio is that of neighbouring rounds. The conventional loop: DataLoader with workers, torchvision transforms,
eager float32, loss and error read at every step; the other repository's is the same around its own net. Ours is set up
as a command sets it up: `auto` in the precision and on the threads that it chooses, `float32`, `bf16`, and `every-core`
on all cores whoever else is busy, as OpenMP waits by default. Before a round the batches that workers prepared while
others had their turn are taken away, and a few updates are made untimed, so that the workers begin and end it equally
far ahead. Of the first contender also: how far it is from the floor that arithmetic and memory set, its five costliest
operations, and what a checkpoint costs.
"""
# ruff: noqa: E402  # the command line is read before torch is imported, and importing counts as start-up

import argparse
import importlib
import itertools
import json
import os
import platform
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_all_start_methods, get_context
from pathlib import Path
from typing import Any

from resnet_exp.config import NetConfig, OptimConfig
from resnet_exp.cores import count_cores, wait_briefly
from resnet_exp.nets.spec import NetSpec
from resnet_exp.nets.table import FAMILIES, MODELS, net_spec

BEGUN = time.perf_counter()


@dataclass(frozen=True)
class Way:
    """A way to be "ours"."""

    compile: bool | str = "auto"  # as the setting; "net": the net as a whole instead of each block
    amp: str = "auto"  # as the setting
    follows: bool = True  # whether threads and their waiting are set as the command sets them


OURS = {
    "auto": Way(),
    "float32": Way(amp="off"),
    "bf16": Way(amp="bf16"),
    "every-core": Way(follows=False),
    "eager": Way(compile=False),
    "blocks": Way(compile=True),
    "net": Way(compile="net"),
}
BATCH, NUM_IMAGES, SIZE, PADDING = 128, 50_000, 32, 4
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
OPTIM = OptimConfig(lr=0.1, momentum=0.9, weight_decay=1e-4, weight_decay_on="all", milestones=[], warmup_steps=0)
CONVENTIONAL_WORKERS = 4  # what both the other repository and most examples take
UNTIMED = 3  # updates that settle a contender: then a loader's workers are as far ahead as in the middle of an epoch
SAVE_EVERY = 2000  # steps between two checkpoints, the default


def spec_of(net: str) -> NetSpec:
    found = re.fullmatch(r"(plain|resnet)(\d+)", net)
    if not found:
        raise ValueError(f"{net}: plain or resnet and a depth, like plain56")
    return net_spec(NetConfig(**({"width": 16} | MODELS.get(net, FAMILIES[found[1]] | {"depth": int(found[2])}))))


def parse() -> argparse.Namespace:
    """The command line; wrong words end it before anything is measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nets", nargs="+", default=["resnet20", "resnet110"], metavar="NET")
    parser.add_argument("--steps", type=int, default=None, help="updates per round: 10 on a CPU, 200 on a GPU")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--ours", nargs="+", default=["auto", "float32"], choices=OURS)
    parser.add_argument("--busy", type=int, default=0, metavar="N", help="then once more beside N busy processes")
    parser.add_argument("--peer", type=Path, metavar="DIR", help="a checkout of akamaster/pytorch_resnet_cifar10")
    parser.add_argument("--together", nargs="+", type=int, default=[], metavar="N", help="runs at once, ours alone")
    parser.add_argument("--no-start-up", action="store_true", help="do not time --help and a one-step command")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--device", default="auto")
    arguments = parser.parse_args()
    try:
        for net in arguments.nets:
            spec_of(net)
    except ValueError as error:
        parser.error(f"--nets {error}")
    if arguments.peer and not (arguments.peer / "resnet.py").is_file():
        parser.error(f"--peer {arguments.peer}: no resnet.py there; take a checkout of akamaster's")
    return arguments


if __name__ == "__main__":  # not in a contender's process
    ARGUMENTS = parse()
os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # the profiler talks

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

from resnet_exp.compute.device import choose_device, choose_precision, choose_threads, set_up
from resnet_exp.compute.speed import choose_compile, compile_blocks
from resnet_exp.compute.totals import Totals
from resnet_exp.data.crops import PaddedCrop
from resnet_exp.data.preprocess import Preprocess
from resnet_exp.data.sets import Split
from resnet_exp.data.stream import BatchStream
from resnet_exp.nets.cost import costs_of
from resnet_exp.nets.init import initialise
from resnet_exp.nets.network import Network
from resnet_exp.runs.checkpoint import NAME, is_finite, save_checkpoint
from resnet_exp.training.facts import describe_device
from resnet_exp.training.optim import build_optimizer
from resnet_exp.training.step import State, TrainStep

IMPORTED = time.perf_counter()


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


def build(net: str) -> Network:
    model = Network(spec_of(net), num_classes=10)
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

    def __init__(self, net: str, way: Way, *, device: torch.device, threads: int | None = None) -> None:
        self.threads = choose_threads(threads, device=device) if way.follows else count_cores()
        set_up(device, threads=self.threads, deterministic=False)
        self.device, precision = device, choose_precision(way.amp, device)
        self.precision = precision.name
        model = build(net).to(device=device, memory_format=torch.channels_last).train()
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
    """The loop that most repositories have, the other one too; `peer` is its folder."""

    def __init__(self, net: str, *, device: torch.device, peer: Path | None = None) -> None:
        self.threads = count_cores()
        torch.set_num_threads(self.threads)
        torch.backends.cudnn.benchmark = True
        self.device, gpu = device, device.type == "cuda"
        if peer:
            sys.path.insert(0, str(peer))
            self.model = getattr(importlib.import_module("resnet"), net)().to(device).train()
            if gpu:
                self.model = nn.DataParallel(self.model, device_ids=[device.index])  # as it does itself
        else:
            self.model = build(net).to(device).train()
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


def measure(
    makers: dict[str, Callable[[], Trainer]], *, steps: int, rounds: int, neighbours: int = 0
) -> dict[str, Any]:
    """Images per second in each round, start-up and memory of each; of the first alone what its time goes into.

    Args:
        neighbours: busy processes beside all of it.
    """
    with ExitStack() as stack:
        stack.enter_context(busy(neighbours))
        follows = {name: name in OURS and OURS[name].follows for name in makers}
        running = {n: stack.enter_context(Contender(make, follows=follows[n])) for n, make in makers.items()}
        found: dict[str, Any] = {
            name: contender.tell("conditions").result() | {"start_up": contender.start_up, "images_per_second": []}
            for name, contender in running.items()
        }
        for _ in range(rounds):
            for name, contender in running.items():
                contender.tell("settle").result()
                rate = steps * BATCH / contender.tell("time", steps).result()
                found[name]["images_per_second"].append(rate)
        for name, contender in running.items():
            found[name]["peak_memory_bytes"] = contender.tell("peak_memory").result()
        first = next(iter(running.values()))
        asked = {"costliest": steps, "checkpoint": rounds}
        return {"contenders": found} | {method: first.tell(method, n).result() for method, n in asked.items()}


def together(makers: list[Callable[[], Trainer]], *, steps: int, rounds: int) -> list[float]:
    """Images per second of several at once, all of them summed, in each round."""
    with ExitStack() as stack:
        running = [stack.enter_context(Contender(make, follows=True)) for make in makers]

        def all_at_once(method: str, *values: int) -> None:
            for done in [contender.tell(method, *values) for contender in running]:
                done.result()

        all_at_once("settle")
        return [len(makers) * steps * BATCH / seconds(partial(all_at_once, "time", steps)) for _ in range(rounds)]


def rates(device: torch.device, dtype: torch.dtype) -> tuple[float, float]:
    """Operations per second in a large matrix product or a wide convolution; bytes moved per second in a large copy.

    Of product and convolution the faster: on a CPU they come from two libraries, of which one may know the CPU better.
    """
    gpu = device.type == "cuda"
    size, numbers = (8192, 2**28) if gpu else (2048, 2**25)
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    images = torch.randn(BATCH, 64, 8, 8, device=device).to(dtype, memory_format=torch.channels_last)
    weights = torch.randn(64, 64, 3, 3, device=device).to(dtype, memory_format=torch.channels_last)
    source, target = torch.randn(2, numbers, device=device)
    product = min(seconds(lambda: a @ b) for _ in range(10))
    convolution = min(seconds(lambda: F.conv2d(images, weights, padding=1)) for _ in range(10))
    copy = min(seconds(lambda: target.copy_(source)) for _ in range(10))
    return max(2 * size**3 / product, 2 * BATCH * 8**2 * 9 * 64**2 / convolution), 2 * source.nbytes / copy


def floor(net: str, *, matrices: float, copies: float, bytes_a_value: int) -> dict[str, float]:
    """The shortest time (ms) a step could take at these rates, for arithmetic and for memory.

    Arithmetic: forward, and twice as much backward. Memory: each convolution's output and its gradient is written and
    read once, and the output read once more in the backward pass.
    """
    costs = costs_of(spec_of(net), num_classes=10, image_size=SIZE)
    operations = 3 * 2 * BATCH * sum(cost.macs for cost in costs)
    values = BATCH * sum(torch.Size(cost.shape).numel() for cost in costs if cost.kind == "Conv2d")
    return {"arithmetic_ms": 1e3 * operations / matrices, "memory_ms": 1e3 * 5 * values * bytes_a_value / copies}


def processor() -> str:
    """The CPU's own name, where the system tells."""
    with suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return platform.processor() or "unknown processor"


def start_up(device: torch.device) -> dict[str, float]:
    """Seconds to `--help`, and to the end of a command that trains a single step; medians of three."""
    one = ["data=synthetic", "data.train_limit=256", "data.test_limit=10", "train.steps=1", "fresh=true"]
    with tempfile.TemporaryDirectory(dir="outputs") as folder:

        def median(*arguments: str) -> float:
            command = [sys.executable, "-m", "resnet_exp", *arguments]
            run = partial(subprocess.run, command, check=True, capture_output=True, cwd=folder)
            return statistics.median(seconds(run) for _ in range(3))

        return {"help_s": median("--help"), "one_step_s": median(*one, f"device={device}")}


def show_contenders(net: str, found: dict[str, Any]) -> None:
    """The table of one net; the first contender is what the others are compared with."""
    (first, best), *_ = found["contenders"].items()
    for name, of_one in found["contenders"].items():
        rates, start = of_one["images_per_second"], of_one["start_up"]
        rate = statistics.median(rates)
        ratio = [a / b for a, b in zip(best["images_per_second"], rates, strict=True)]
        spread = f"{statistics.median(ratio):.2f} ({min(ratio):.2f} to {max(ratio):.2f})"
        print(
            f"{net:<10} {name:<13} {of_one['precision']:<4} {of_one['threads']:2} threads"
            f" {rate:9.0f} images/s {1e3 * BATCH / rate:9.2f} ms/step {of_one['peak_memory_bytes'] / 1e9:7.2f} GB"
            f"   import {start['import_s']:5.1f} s, to the first step {start['first_step_s']:5.1f} s"
            + (f"   {first} is {spread} times as fast" if name != first else "")
        )


def show_first(net: str, found: dict[str, Any]) -> None:
    """What the time of the first contender goes into."""
    first, best = next(iter(found["contenders"].items()))
    step, limits = BATCH / statistics.median(best["images_per_second"]), found["floor"]
    save, size = found["checkpoint"]["seconds"], found["checkpoint"]["bytes"]
    print(
        f"{net:<10} floor: arithmetic {limits['arithmetic_ms']:.2f} ms, memory {limits['memory_ms']:.2f} ms;"
        f" {first} takes {1e3 * step / max(limits.values()):.1f} times the larger\n"
        f"{net:<10} checkpoint {1e3 * save:.1f} ms, {size / 1e6:.1f} MB;"
        f" every {SAVE_EVERY} steps: {save / (SAVE_EVERY * step + save):.4%} of the time"
    )
    for kernel, milliseconds, share in found["costliest"]:
        print(f"{net:<10} {milliseconds:9.3f} ms {share:6.1%}  {kernel[:90]}")
    print()


def main(arguments: argparse.Namespace) -> None:
    device, threads = choose_device(arguments.device), count_cores()
    set_up(device, threads=threads, deterministic=False)
    precision = choose_precision("auto", device)
    dtype = precision.dtype or torch.float32
    length = {"steps": arguments.steps or (200 if device.type == "cuda" else 10), "rounds": arguments.rounds}
    matrices, copies = rates(device, dtype)
    if device.type == "cuda":
        torch.cuda.empty_cache()
    Path("outputs").mkdir(exist_ok=True)
    record: dict[str, Any] = {
        "device": describe_device(device),
        "processor": processor(),
        "torch": str(torch.__version__),
        "precision": precision.name,
        "batch_size": BATCH,
        "steps_per_round": length["steps"],
        "matrix_rate": matrices,
        "copy_rate": copies,
        "start_up": None if arguments.no_start_up else start_up(device),
        "nets": {},
    }
    print(f"{record['device']}, {record['processor']}, torch {record['torch']}, precision {precision.name}")
    print(f"matrix product {matrices / 1e12:.3g} TFLOP/s, copy {copies / 1e9:.3g} GB/s")
    if begun := record["start_up"]:
        print("--help in {help_s:.2f} s, one step and its evaluations in {one_step_s:.2f} s".format(**begun))
    print()

    for net in arguments.nets:
        makers: dict[str, Any] = {name: partial(Ours, net, OURS[name], device=device) for name in arguments.ours}
        makers["conventional"] = partial(Conventional, net, device=device)
        if arguments.peer and re.search(rf"^def {net}\(|^{net} *=", (arguments.peer / "resnet.py").read_text(), re.M):
            makers["peer"] = partial(Conventional, net, device=device, peer=arguments.peer)
        found = measure(makers, **length)
        found["floor"] = floor(net, matrices=matrices, copies=copies, bytes_a_value=dtype.itemsize)
        record["nets"][net] = found | {"together": {}}
        show_contenders(net, found)
        show_first(net, found)
        if arguments.busy:
            beside = measure(makers, **length, neighbours=arguments.busy)
            record["nets"][net]["busy"] = {"processes": arguments.busy, "contenders": beside["contenders"]}
            print(f"beside {arguments.busy} busy process{'' if arguments.busy == 1 else 'es'}:")
            show_contenders(net, beside)
            print()
        for count in arguments.together:
            shared = {"device": device, "threads": max(1, threads // count)}
            in_all = together([partial(Ours, net, Way(), **shared)] * count, **length)
            print(f"{net:<10} {count} processes  {statistics.median(in_all):9.0f} images/s in all")
            record["nets"][net]["together"][f"{count} processes"] = in_all
    if arguments.json:
        arguments.json.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main(ARGUMENTS)
