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
# ruff: noqa: E402  # the command line is read before torch is imported

import argparse
import json
import platform
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any

from resnet_exp.config import NetConfig
from resnet_exp.cores import count_cores
from resnet_exp.nets.cost import costs_of
from resnet_exp.nets.spec import NetSpec
from resnet_exp.nets.table import FAMILIES, MODELS, net_spec

OURS: dict[str, dict[str, Any]] = {  # ways to be "ours", see `contenders.Way`
    "auto": {},
    "float32": {"amp": "off"},
    "bf16": {"amp": "bf16"},
    "every-core": {"follows": False},
    "eager": {"compile": False},
    "blocks": {"compile": True},
    "net": {"compile": "net"},
}
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

import torch
import torch.nn.functional as F
from contenders import BATCH, SIZE, Contender, Conventional, Ours, Trainer, Way, busy, seconds

from resnet_exp.compute.device import choose_device, choose_precision, set_up
from resnet_exp.training.facts import describe_device


def measure(
    makers: dict[str, Callable[[], Trainer]], *, steps: int, rounds: int, neighbours: int = 0
) -> dict[str, Any]:
    """Images per second in each round, start-up and memory of each; of the first alone what its time goes into.

    Args:
        neighbours: busy processes beside all of it; then nobody looks into the first.
    """
    with ExitStack() as stack:
        stack.enter_context(busy(neighbours))
        follows = {name: name in OURS and OURS[name].get("follows", True) for name in makers}
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
        asked = {} if neighbours else {"costliest": steps, "checkpoint": rounds}
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


def floor(spec: NetSpec, *, matrices: float, copies: float, bytes_a_value: int) -> dict[str, float]:
    """The shortest time (ms) a step could take at these rates, for arithmetic and for memory.

    Arithmetic: forward, and twice as much backward. Memory: each convolution's output and its gradient is written and
    read once, and the output read once more in the backward pass.
    """
    costs = costs_of(spec, num_classes=10, image_size=SIZE)
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
        spec = spec_of(net)
        ways = {name: Way(**OURS[name]) for name in arguments.ours}
        makers: dict[str, Any] = {name: partial(Ours, spec, way, device=device) for name, way in ways.items()}
        makers["conventional"] = partial(Conventional, spec, device=device)
        if arguments.peer and re.search(rf"^def {net}\(|^{net} *=", (arguments.peer / "resnet.py").read_text(), re.M):
            makers["peer"] = partial(Conventional, spec, device=device, peer=(arguments.peer, net))
        found = measure(makers, **length)
        found["floor"] = floor(spec, matrices=matrices, copies=copies, bytes_a_value=dtype.itemsize)
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
            in_all = together([partial(Ours, spec, Way(), **shared)] * count, **length)
            print(f"{net:<10} {count} processes  {statistics.median(in_all):9.0f} images/s in all")
            record["nets"][net]["together"][f"{count} processes"] = in_all
    if arguments.json:
        arguments.json.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main(ARGUMENTS)
