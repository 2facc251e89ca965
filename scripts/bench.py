#!/usr/bin/env python
"""How fast this runner trains, beside a conventional loop and, on request, another repository's.

python scripts/bench.py                                   resnet20 and resnet110
python scripts/bench.py --nets plain56 --steps 50         other nets, longer rounds
python scripts/bench.py --peer DIR                        beside a checkout of akamaster/pytorch_resnet_cifar10
python scripts/bench.py --ours eager blocks net           not compiled, each block compiled, the net compiled as a whole
python scripts/bench.py --together 2 4                    several runs at once: processes, on a GPU also streams
python scripts/bench.py --json outputs/bench.json         all numbers, each round

Every contender (scripts/contenders.py) has a process of its own and trains at batch 128 on 50,000 random images of
32x32, in rounds: A B C A B C ... Each ratio is that of neighbouring rounds. The conventional loop: DataLoader with
workers, torchvision transforms, eager float32, loss and error read at every step; the other repository's is the same
around its own net. Before a round the batches that workers prepared while others had their turn are taken away, and
a few updates are made untimed, so that the workers begin and end it equally far ahead.
"""

import argparse
import json
import platform
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from contenders import BATCH, COMPILE, SIZE, wait
from resnet_exp.nets.models import CifarNet, describe

from resnet_exp.training.device import choose_device, choose_precision, choose_threads, describe_device, set_up

CONVENTIONAL_WORKERS = 4  # what both the other repository and most examples take


class Contender:
    """A process that trains a net when it is told to; made once it is ready, so that none disturbs another's start.

    Raises:
        RuntimeError: it ended before its time, as on a GPU whose memory is full.
    """

    def __init__(self, name: str, net: str, *options: str) -> None:
        self.name = name
        script = Path(__file__).with_name("contenders.py")
        self.process = subprocess.Popen(
            [sys.executable, script, name, net, *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.start_up = self.hear()

    def tell(self, line: str) -> None:
        assert self.process.stdin
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def hear(self) -> Any:
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} ended with {self.process.wait()}")
        return json.loads(line)

    def ask(self, line: str) -> Any:
        self.tell(line)
        return self.hear()

    def end(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()


def compare(contenders: list[Contender], *, steps: int, rounds: int) -> dict[str, Any]:
    """Images per second in each round, start-up and memory of each."""
    found: dict[str, Any] = {c.name: {"start_up": c.start_up, "images_per_second": []} for c in contenders}
    for _ in range(rounds):
        for contender in contenders:
            contender.ask("settle")
            seconds = contender.ask(f"train {steps}")
            found[contender.name]["images_per_second"].append(steps * BATCH / seconds)
    for contender in contenders:
        found[contender.name]["peak_memory_bytes"] = contender.ask("memory")
    return found


def together(net: str, count: int, *, steps: int, rounds: int, options: list[str], threads: int) -> list[float]:
    """Images per second of `count` runs at once, all of them summed, in each round."""
    runs = [Contender("auto", net, *options, "--threads", str(max(1, threads // count))) for _ in range(count)]
    for run in runs:
        run.ask("settle")
    rates = []
    for _ in range(rounds):
        begun = time.perf_counter()
        for run in runs:
            run.tell(f"train {steps}")
        for run in runs:
            run.hear()
        rates.append(count * steps * BATCH / (time.perf_counter() - begun))
    for run in runs:
        run.end()
    return rates


def best_rate(work: Callable[[], object], amount: float, device: torch.device) -> float:
    """The largest `amount` per second in ten trials."""
    times = []
    for _ in range(10):
        wait(device)
        begun = time.perf_counter()
        work()
        wait(device)
        times.append(time.perf_counter() - begun)
    return amount / min(times)


def rate_of_matrices(device: torch.device, dtype: torch.dtype) -> float:
    """Operations per second in a large matrix product or a wide convolution, whichever is faster.

    On a CPU they come from two libraries, of which one may know the CPU better.
    """
    size = 8192 if device.type == "cuda" else 2048
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    product = best_rate(lambda: a @ b, 2 * size**3, device)
    images = torch.randn(BATCH, 64, 8, 8, device=device).to(dtype, memory_format=torch.channels_last)
    weights = torch.randn(64, 64, 3, 3, device=device).to(dtype, memory_format=torch.channels_last)
    operations = 2 * BATCH * 8**2 * 9 * 64**2
    return max(product, best_rate(lambda: F.conv2d(images, weights, padding=1), operations, device))


def rate_of_copies(device: torch.device) -> float:
    """Bytes read and written per second in a large copy."""
    source = torch.randn(2**28 if device.type == "cuda" else 2**25, device=device)
    target = torch.empty_like(source)
    return best_rate(lambda: target.copy_(source), 2 * source.numel() * source.element_size(), device)


def floor(net: str, *, matrices: float, copies: float, bytes_a_value: int) -> dict[str, float]:
    """The shortest time (ms) a step could take at these rates, for arithmetic and for memory.

    Arithmetic: forward, and twice as much backward. Memory: each convolution's output and its gradient is written and
    read once, and the output read once more in the backward pass.
    """
    family, depth = split_name(net)
    with torch.device("meta"):
        costs = describe(CifarNet(depth=depth, shortcut="none" if family == "plain" else "A"), image_size=SIZE)
    operations = 3 * 2 * BATCH * sum(cost.macs for cost in costs)
    values = BATCH * sum(torch.Size(cost.shape).numel() for cost in costs if cost.kind == "Conv2d")
    return {"arithmetic_ms": 1e3 * operations / matrices, "memory_ms": 1e3 * 5 * values * bytes_a_value / copies}


def split_name(net: str) -> tuple[str, int]:
    found = re.fullmatch(r"(plain|resnet)(\d+)", net)
    if not found:
        raise ValueError(f"{net}: plain or resnet and a depth, like plain56")
    return found[1], int(found[2])


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


def show(net: str, found: dict[str, Any], limits: dict[str, float], kernels: list[tuple[str, float, float]]) -> None:
    """The table of one net; the first contender is what the others are compared with."""
    first = next(iter(found))
    for name, of_one in found.items():
        rates, start = of_one["images_per_second"], of_one["start_up"]
        rate = statistics.median(rates)
        ratio = [a / b for a, b in zip(found[first]["images_per_second"], rates, strict=True)]
        print(
            f"{net:<10} {name:<13} {rate:9.0f} images/s {1e3 * BATCH / rate:9.2f} ms/step"
            f" {of_one['peak_memory_bytes'] / 1e9:7.2f} GB"
            f"   import {start['import_s']:5.1f} s, to the first step {start['first_step_s']:5.1f} s"
            + (f"   {first} is {spread(ratio)} times as fast" if name != first else "")
        )
    step_ms = 1e3 * BATCH / statistics.median(found[first]["images_per_second"])
    print(
        f"{net:<10} floor: arithmetic {limits['arithmetic_ms']:.2f} ms, memory {limits['memory_ms']:.2f} ms;"
        f" {first} takes {step_ms / max(limits.values()):.1f} times the larger"
    )
    for kernel, milliseconds, share in kernels:
        print(f"{net:<10} {milliseconds:9.3f} ms {share:6.1%}  {kernel[:90]}")
    print()


def parse() -> argparse.Namespace:
    """The command line; wrong words end it before anything is measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nets", nargs="+", default=["resnet20", "resnet110"], metavar="NET")
    parser.add_argument("--steps", type=int, default=None, help="updates per round: 10 on a CPU, 200 on a GPU")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--ours", nargs="+", default=["auto"], choices=COMPILE)
    parser.add_argument("--peer", type=Path, metavar="DIR", help="a checkout of akamaster/pytorch_resnet_cifar10")
    parser.add_argument("--together", nargs="+", type=int, default=[], metavar="N", help="runs at once, ours alone")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--device", default="auto")
    arguments = parser.parse_args()
    try:
        for net in arguments.nets:
            split_name(net)
    except ValueError as error:
        parser.error(f"--nets {error}")
    if arguments.peer and not (arguments.peer / "resnet.py").is_file():
        parser.error(f"--peer {arguments.peer}: no resnet.py there; take a checkout of akamaster's")
    return arguments


def main() -> None:
    arguments = parse()
    device, threads = choose_device(arguments.device), choose_threads(None)
    set_up(device, threads=threads, deterministic=False)
    precision = choose_precision("auto", device)
    steps = arguments.steps or (200 if device.type == "cuda" else 10)
    matrices = rate_of_matrices(device, torch.float32 if precision.name == "off" else torch.bfloat16)
    copies = rate_of_copies(device)
    if device.type == "cuda":
        torch.cuda.empty_cache()
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

    common = ["--device", str(device)]
    for net in arguments.nets:
        alone = [*common, "--threads", str(threads), "--workers", str(CONVENTIONAL_WORKERS)]
        contenders = [Contender(way, net, *alone) for way in arguments.ours]
        contenders.append(Contender("conventional", net, *alone))
        if arguments.peer and re.search(rf"^def {net}\(|^{net} *=", (arguments.peer / "resnet.py").read_text(), re.M):
            contenders.append(Contender("peer", net, *alone, "--peer", str(arguments.peer)))
        found = compare(contenders, steps=steps, rounds=arguments.rounds)
        limits = floor(net, matrices=matrices, copies=copies, bytes_a_value=4 if precision.name == "off" else 2)
        kernels = contenders[0].ask(f"profile {steps}")
        for contender in contenders:
            contender.end()
        show(net, found, limits, kernels)
        record["nets"][net] = {"contenders": found, "floor": limits, "costliest": kernels, "together": {}}
        for count in arguments.together:
            length = {"steps": steps, "rounds": arguments.rounds}
            at_once = {f"{count} processes": together(net, count, **length, options=common, threads=threads)}
            if device.type == "cuda":
                options = [*common, "--streams", str(count)]
                rates = together(net, 1, **length, options=options, threads=threads)
                at_once[f"{count} streams"] = [count * rate for rate in rates]
            for how, rates in at_once.items():
                print(f"{net:<10} {how:<13} {statistics.median(rates):9.0f} images/s in all")
            record["nets"][net]["together"] |= at_once
    if arguments.json:
        arguments.json.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
