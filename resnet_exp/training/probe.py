"""How long an update takes that nobody has measured: from a few updates of small nets of the same kind, on noise."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import torch

from resnet_exp.compute.device import Precision
from resnet_exp.compute.totals import Totals
from resnet_exp.config import Config
from resnet_exp.data.crops import make_crop
from resnet_exp.data.preprocess import Preprocess
from resnet_exp.data.sets import Split
from resnet_exp.data.stream import BatchStream
from resnet_exp.nets.cost import costs_of
from resnet_exp.nets.init import initialise
from resnet_exp.nets.network import Network
from resnet_exp.nets.spec import NetSpec
from resnet_exp.training.estimate import extrapolated, shortened
from resnet_exp.training.optim import build_optimizer
from resnet_exp.training.step import State, TrainStep

BLOCKS = 3  # a stage of the longer net
WARM_UPS, LEAST = 1, 3  # updates that are not timed; that are timed however long they take
MOST_MACS = 4e9  # of an update that is timed: of more, the batch is made smaller


@dataclass(frozen=True)
class Kind:
    """Nets that differ in how many blocks their stages have: two of them tell the time of all.

    Args:
        spec: the one with BLOCKS blocks a stage, or as many as there are.
    """

    spec: NetSpec
    num_classes: int
    image_size: int
    batch_size: int
    augment: bool
    crop: str
    momentum: bool
    threads: int
    precision: Precision
    deterministic: bool


def macs_of(spec: NetSpec, *, num_classes: int, image_size: int) -> int:
    """Multiply-adds of one image."""
    return sum(cost.macs for cost in costs_of(spec, num_classes=num_classes, image_size=image_size))


@dataclass(frozen=True)
class Probe:
    """Multiply-adds of the nets that were timed, with the seconds of an image in an update."""

    short: tuple[float, float]
    longer: tuple[float, float]

    def seconds_per_image(self, spec: NetSpec, *, num_classes: int, image_size: int) -> float:
        """In an update of any net of the same kind."""
        macs = macs_of(spec, num_classes=num_classes, image_size=image_size)
        return extrapolated(macs, short=self.short, longer=self.longer)


def probe(config: Config, kind: Kind, *, device: torch.device, seconds: float) -> Probe:
    """Times a net of one block a stage and one of more, in turn: what else the machine does disturbs both alike.

    Nothing is compiled, which would take far longer: a compiled run is faster than this says.

    Args:
        config: of a run of this kind.
        device: set up as for the run.
        seconds: to spend, about; more where updates are long.
    """
    specs = dict.fromkeys([shortened(kind.spec, blocks=1), kind.spec])
    macs = [float(macs_of(spec, num_classes=kind.num_classes, image_size=kind.image_size)) for spec in specs]
    batch_size = max(2, min(kind.batch_size, int(MOST_MACS / max(macs))))
    updates = [make_update(config, kind, spec, batch_size=batch_size, device=device) for spec in specs]
    found = [
        (of_one, time / batch_size) for of_one, time in zip(macs, seconds_each(updates, seconds=seconds), strict=True)
    ]
    return Probe(found[0], found[-1])


def make_update(config: Config, kind: Kind, spec: NetSpec, *, batch_size: int, device: torch.device) -> TrainStep:
    """An update as a run makes it, but that the images are noise."""
    crop = make_crop(config.data)
    side, generator = crop.stored_size, torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (batch_size, side, side, 3), generator=generator, dtype=torch.uint8)
    split = Split(images, torch.arange(batch_size) % kind.num_classes).to(device)
    half = torch.full((3,), 0.5, device=device)
    model = Network(spec, num_classes=kind.num_classes)
    initialise(model, seed=0, zero_init=config.zero_init)
    model = model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    model.train()
    state = State(model, build_optimizer(model, config.optim), kind.precision.scaler(), Totals(device))
    stream = BatchStream(num_images=batch_size, batch_size=batch_size, crop=crop, augment=kind.augment, seed=0)
    preprocess = Preprocess(half, half, crop=crop)
    return TrainStep(state, split, stream=stream, preprocess=preprocess, precision=kind.precision)


def seconds_each(updates: Sequence[TrainStep], *, seconds: float) -> list[float]:
    """The mean time of each update, of as many rounds as fit into `seconds`: what disturbs them will disturb a run as
    often."""
    rounds: list[list[float]] = []
    begun = time.perf_counter()
    while len(rounds) < WARM_UPS + LEAST or time.perf_counter() - begun < seconds:
        rounds.append([seconds_of(update) for update in updates])
    return [fmean(times) for times in zip(*rounds[WARM_UPS:], strict=True)]


def seconds_of(update: TrainStep) -> float:
    """One update, until the device has done it."""
    before = time.perf_counter()
    update(lr=0.0)
    if update.on_cpu:
        update.state.totals.read()  # as a run does for its bar
    else:
        torch.cuda.synchronize()
    return time.perf_counter() - before
