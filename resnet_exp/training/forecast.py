"""What runs are going to take, before any of them begins: time, memory, disk. Trains nothing, writes nothing."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from resnet_exp.compute.device import Precision, choose_device, choose_precision, choose_threads, set_up
from resnet_exp.config import Config
from resnet_exp.data.classes import count_classes
from resnet_exp.data.memory import check_room, free_memory, image_bytes, used_memory
from resnet_exp.data.sizes import SplitSizes, part_sizes, split_sizes
from resnet_exp.nets.cost import costs_of
from resnet_exp.nets.footprint import training_bytes
from resnet_exp.nets.spec import NetSpec
from resnet_exp.nets.table import net_spec
from resnet_exp.runs.find import walk
from resnet_exp.runs.known import read
from resnet_exp.runs.liveness import this_host
from resnet_exp.training.estimate import Pace, Workload, disk_bytes, measured_pace, seconds_left, shortened
from resnet_exp.training.facts import environment
from resnet_exp.training.probe import BLOCKS, Kind, Probe, probe

PROBE_SECONDS = 3.0  # for all kinds of nets together
PROGRAM = 500_000_000  # bytes of the process itself, on a CPU, where nobody says: Python, torch and its libraries
BESIDE = 150_000_000  # bytes that it takes once a run has begun: TensorBoard, buffers of libraries; measured 85 to 300


@dataclass(frozen=True)
class Ahead:
    """A run that is to be trained.

    Args:
        step: updates done before.
        environment: in which the run began; empty if it is new.
        written: bytes of its checkpoints and snapshots that are on the disk.
    """

    config: Config
    step: int = 0
    environment: Mapping[str, Any] = field(default_factory=dict)
    written: int = 0


@dataclass(frozen=True)
class Forecast:
    """What a run takes.

    Args:
        seconds: from now to its end, if it is alone.
        source: `measured` or `probed`.
        memory: bytes at most, of the computer's or its GPU's memory.
        disk: bytes that its checkpoints and snapshots will take beyond what they take now.
        passing: bytes that they take beyond that while it trains.
    """

    seconds: float
    source: str
    memory: int
    disk: int
    passing: int = 0


@dataclass(frozen=True)
class Prepared:
    """A run with all that its forecast needs."""

    ahead: Ahead
    spec: NetSpec
    num_classes: int
    images: SplitSizes
    parts: tuple[int, int]
    device: torch.device
    precision: Precision
    threads: int
    workload: Workload

    @property
    def kind(self) -> Kind:
        config = self.ahead.config
        return Kind(
            shortened(self.spec, blocks=BLOCKS),
            self.num_classes,
            config.data.image_size,
            config.train.batch_size,
            config.data.augment,
            config.data.crop,
            config.optim.momentum > 0,
            self.threads,
            self.precision,
            config.deterministic,
        )


def prepare(ahead: Ahead) -> Prepared:
    """Chooses what a run would choose.

    Raises:
        ValueError: no such device, or the images are fewer than asked for or too many for the memory.
    """
    config = ahead.config
    device = choose_device(config.device)
    threads = choose_threads(config.threads, device=device, before=ahead.environment.get("threads"))
    set_up(device, threads=threads, deterministic=config.deterministic)
    parts = part_sizes(config.data)
    check_room(config.data, train=parts[0], test=parts[1], device=device)
    images = split_sizes(config.data, train=parts[0], test=parts[1])
    precision = choose_precision(config.amp, device, before=ahead.environment.get("precision"))
    compiled = device.type == "cuda" if config.compile == "auto" else bool(config.compile)
    spec = net_spec(config.net, image_size=config.data.image_size)
    where = environment(device, precision, compiled)
    size, batch = config.data.image_size, config.train.batch_size
    workload = Workload(spec.to_dict(), size, batch, config.deterministic, where)
    return Prepared(
        ahead, spec, count_classes(config.data), images, parts, device, precision, threads, workload=workload
    )


def forecasts(runs: Sequence[Ahead], *, outputs: Path) -> tuple[list[Forecast], float]:
    """What each run takes, and the seconds that were spent on a probe.

    Args:
        outputs: the folder whose runs may have measured it.

    Raises:
        ValueError: a run cannot be done; the message is that of the run itself.
    """
    prepared = [prepare(ahead) for ahead in runs]
    summaries = [read(path / "summary.json") for path, names in walk(outputs) if "summary.json" in names]
    paces = [measured_pace(summaries, of_one.workload, host=this_host()) for of_one in prepared]
    program, begun = BESIDE + (used_memory() or PROGRAM), time.perf_counter()
    kinds = dict.fromkeys(of_one.kind for of_one, pace in zip(prepared, paces, strict=True) if pace is None)
    probes = {}
    for kind in kinds:
        of_kind = next(of_one for of_one in prepared if of_one.kind == kind)
        set_up(of_kind.device, threads=kind.threads, deterministic=kind.deterministic)
        seconds = PROBE_SECONDS / len(kinds)
        probes[kind] = probe(of_kind.ahead.config, kind, device=of_kind.device, seconds=seconds)
    spent = time.perf_counter() - begun if kinds else 0.0
    found = [
        forecast(of_one, pace or probed_pace(of_one, probes[of_one.kind]), program=program)
        for of_one, pace in zip(prepared, paces, strict=True)
    ]
    return found, spent


def probed_pace(run: Prepared, found: Probe) -> Pace:
    size = run.ahead.config.data.image_size
    return Pace(1 / found.seconds_per_image(run.spec, num_classes=run.num_classes, image_size=size), "probed")


def forecast(run: Prepared, pace: Pace, *, program: int) -> Forecast:
    """What a run of this pace takes.

    Args:
        program: bytes that its process takes by itself.
    """
    config, ahead = run.ahead.config, run.ahead
    size, momentum = config.data.image_size, config.optim.momentum > 0
    memory = training_bytes(
        run.spec,
        num_classes=run.num_classes,
        image_size=size,
        batch_size=config.train.batch_size,
        momentum=momentum,
        half=run.precision.dtype is not None,
    )
    _, loading, kept = image_bytes(config.data, train=run.parts[0], test=run.parts[1])
    on_cpu = run.device.type == "cpu"
    memory = program + max(loading, kept + memory) if on_cpu else kept + memory
    costs = costs_of(run.spec, num_classes=run.num_classes, image_size=size)
    kept, most = (max(0, size - ahead.written) for size in disk_bytes(costs, config.train, momentum=momentum))
    seconds = seconds_left(config.train, run.images, step=ahead.step, pace=pace)
    return Forecast(seconds, pace.source, memory, kept, most - kept)


def free_bytes(config: Config) -> int | None:
    """Of the memory that a run would use; None where nobody says."""
    device = choose_device(config.device)
    return int(torch.cuda.mem_get_info(device)[0]) if device.type == "cuda" else free_memory()
