"""How long a run takes and what it writes, from its pace: arithmetic alone. Knows no torch."""

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

from resnet_exp.config import TrainConfig
from resnet_exp.data.sizes import SplitSizes
from resnet_exp.nets.cost import LayerCost
from resnet_exp.nets.footprint import checkpoint_bytes, snapshot_bytes
from resnet_exp.nets.spec import NetSpec

FORWARD = 1 / 3  # of the time of an update, as of its multiply-adds; measured 0.29 to 0.46
BN_IMAGES = 5_000  # at most, in the forward passes that recompute BN's statistics at the end


@dataclass(frozen=True)
class Pace:
    """How fast a net is trained.

    Args:
        images_per_second: of updates alone.
        source: `measured` (in earlier runs of this machine) or `probed`.
    """

    images_per_second: float
    source: str


@dataclass(frozen=True)
class Workload:
    """What decides how fast a net is trained.

    Args:
        net: its description, as `summary.json` has it.
        environment: likewise: device, threads, precision, versions.
    """

    net: Mapping[str, Any]
    image_size: int
    batch_size: int
    deterministic: bool
    environment: Mapping[str, Any]


def pace_in(summary: Mapping[str, Any], workload: Workload, *, host: str) -> float | None:
    """The images per second of a run whose `summary.json` this is; None if it is of another workload or machine, or
    damaged."""
    choices, dataset = summary.get("choices"), summary.get("dataset")
    if not isinstance(choices, Mapping) or not isinstance(dataset, Mapping):
        return None
    found = Workload(
        *(summary.get("net") or {}, dataset.get("image_size") or 0, choices.get("batch_size") or 0),
        *(bool(choices.get("deterministic")), summary.get("environment") or {}),
    )
    pace = summary.get("images_per_second")
    if not isinstance(pace, int | float) or pace <= 0:
        return None
    return float(pace) if found == workload and summary.get("host") == host else None


def measured_pace(summaries: Sequence[Mapping[str, Any]], workload: Workload, *, host: str) -> Pace | None:
    """The median of the runs that measured it; None if there is none."""
    paces = [pace for summary in summaries if (pace := pace_in(summary, workload, host=host)) is not None]
    return Pace(median(paces), "measured") if paces else None


def rows_left(length: TrainConfig, *, step: int) -> int:
    """Rows of `metrics.csv` that a run writes after `step` updates; the last one at its end."""
    at_end = step < length.steps and length.steps % length.eval_every > 0
    return length.steps // length.eval_every - step // length.eval_every + at_end


def seconds_left(length: TrainConfig, images: SplitSizes, *, step: int, pace: Pace) -> float:
    """Until a run that has done `step` updates ends: updates, evaluations between them, the final errors."""
    trained = (length.steps - step) * length.batch_size
    seen = rows_left(length, step=step) * (images.val + images.test)
    seen += images.train + images.test + min(BN_IMAGES, images.train)
    return (trained + FORWARD * seen) / pace.images_per_second


def seconds_side_by_side(times: Sequence[float], *, at_once: int) -> float:
    """Until the last job ends, if each begins as soon as one of the `at_once` places is free."""
    places = [0.0] * at_once
    for seconds in times:
        heapq.heapreplace(places, places[0] + seconds)
    return max(places)


def disk_bytes(costs: Sequence[LayerCost], length: TrainConfig, *, momentum: bool) -> tuple[int, int]:
    """What a run's checkpoints and snapshots take once it is complete, and at most while it trains.

    Args:
        costs: of the net's layers.
    """
    saves = -(-length.steps // length.save_every)
    snapshots = sum(step <= length.steps for step in length.snapshots) * snapshot_bytes(costs)
    going_on = min(2, saves) * checkpoint_bytes(costs, momentum=momentum)
    return snapshots + checkpoint_bytes(costs, momentum=False), snapshots + going_on


def shortened(spec: NetSpec, *, blocks: int) -> NetSpec:
    """The net with at most so many blocks in each stage."""
    return replace(spec, stages=tuple(replace(stage, blocks=min(stage.blocks, blocks)) for stage in spec.stages))


def extrapolated(macs: float, *, short: tuple[float, float], longer: tuple[float, float]) -> float:
    """Seconds that an update of a net takes, from two that are as it is but for fewer blocks: each further block costs
    what one did there, and each of its multiply-adds as much in any stage.

    Args:
        macs: multiply-adds of the net.
        short: those of the net with the fewest blocks, and its seconds.
        longer: likewise of one with more, or of the same.
    """
    (few, begin), (more, end) = short, longer
    if more <= few or end <= begin:  # the same net, or a machine that was busy just then
        return begin * macs / few
    return begin + (end - begin) * (macs - few) / (more - few)
