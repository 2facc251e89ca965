"""The arithmetic of `dry_run=true`."""

from typing import Any

import pytest

from resnet_exp.compute import evaluate
from resnet_exp.config import NetConfig, TrainConfig
from resnet_exp.data.sizes import SplitSizes
from resnet_exp.nets.cost import costs_of
from resnet_exp.nets.footprint import checkpoint_bytes, snapshot_bytes
from resnet_exp.nets.table import net_spec
from resnet_exp.training import estimate
from resnet_exp.training.estimate import (
    Pace,
    Workload,
    disk_bytes,
    extrapolated,
    measured_pace,
    rows_left,
    seconds_left,
    seconds_side_by_side,
    shortened,
)

SPEC = net_spec(NetConfig(20, "v1", "A", False, 4))
WORKLOAD = Workload(SPEC.to_dict(), 16, 64, False, {"device": "cpu (x86_64, AVX2)", "threads": 1, "precision": "off"})


def summary(*, images_per_second: float | None = 100.0, **changes: Any) -> dict[str, Any]:
    """Of a run of WORKLOAD on the machine `here`."""
    usual = {
        "net": WORKLOAD.net,
        "dataset": {"image_size": 16},
        "choices": {"batch_size": 64, "deterministic": False},
        "environment": WORKLOAD.environment,
        "host": "here",
        "images_per_second": images_per_second,
    }
    return usual | changes


def length(
    *, steps: int = 100, eval_every: int = 40, save_every: int = 50, snapshots: list[int] | None = None
) -> TrainConfig:
    return TrainConfig(steps, 64, eval_every, save_every, snapshots or [])


def test_the_pace_is_the_median_of_runs_of_the_same_net_on_the_same_machine() -> None:
    paces = [summary(images_per_second=pace) for pace in (100.0, 90.0, 500.0)]
    assert measured_pace(paces, WORKLOAD, host="here") == Pace(100.0, "measured")
    assert measured_pace([], WORKLOAD, host="here") is None


@pytest.mark.parametrize(
    "other",
    [
        {"net": shortened(SPEC, blocks=1).to_dict()},
        {"dataset": {"image_size": 32}},
        {"choices": {"batch_size": 128}},
        {"choices": {"batch_size": 64, "deterministic": True}},
        {"environment": {**WORKLOAD.environment, "threads": 2}},
        {"environment": {**WORKLOAD.environment, "precision": "bf16"}},
        {"environment": {**WORKLOAD.environment, "device": "NVIDIA H100"}},
        {"host": "there"},
        {"images_per_second": None},
        {"images_per_second": "fast"},
        {"choices": None},
        {"dataset": "CIFAR-10"},
    ],
    ids=str,
)
def test_a_run_of_anything_else_says_nothing(other: dict[str, Any]) -> None:
    assert measured_pace([summary(**other)], WORKLOAD, host="here") is None
    assert measured_pace([summary()], WORKLOAD, host="here") is not None


@pytest.mark.parametrize(("steps", "step"), [(100, 0), (100, 40), (100, 41), (100, 100), (80, 0), (80, 79), (3, 0)])
def test_rows_left_are_those_that_a_run_would_write(steps: int, step: int) -> None:
    written = [at for at in range(step + 1, steps + 1) if at % 40 == 0 or at == steps]
    assert rows_left(length(steps=steps), step=step) == len(written)


def test_the_time_is_that_of_updates_evaluations_and_the_final_errors() -> None:
    images, pace = SplitSizes(train=6000, val=10, test=300), Pace(50.0, "measured")
    # 60 updates of 64; rows at 80 and 100; at the end all training and test images, and 5,000 for BN.
    seen = 2 * (10 + 300) + 6000 + 300 + 5000
    assert seconds_left(length(), images, step=40, pace=pace) == pytest.approx((60 * 64 + seen / 3) / 50)
    assert estimate.BN_IMAGES == evaluate.BN_IMAGES


def test_jobs_side_by_side_take_the_places_in_turn() -> None:
    assert seconds_side_by_side([3, 1, 1, 1], at_once=1) == 6
    assert seconds_side_by_side([3, 1, 1, 1], at_once=2) == 3
    assert seconds_side_by_side([1, 1, 1, 3], at_once=2) == 4  # the longest begins when a place is free
    assert seconds_side_by_side([2, 2], at_once=8) == 2


def test_an_update_costs_what_its_blocks_cost() -> None:
    """Two stages, whose blocks take 2 and 5 multiply-adds, and a stem of 1: a second each and three for launching."""
    macs = {blocks: 1 + 7 * blocks for blocks in (1, 3, 9)}
    short, longer = (macs[1], 3.0 + macs[1]), (macs[3], 3.0 + macs[3])
    assert extrapolated(macs[9], short=short, longer=longer) == pytest.approx(3 + macs[9])
    assert extrapolated(macs[3], short=short, longer=longer) == pytest.approx(longer[1])
    assert extrapolated(macs[1], short=short, longer=short) == short[1]
    assert extrapolated(4 * macs[1], short=short, longer=(macs[3], 0.5)) == 4 * short[1]  # disturbed


def test_a_shortened_net_is_the_net_of_fewer_blocks() -> None:
    assert shortened(SPEC, blocks=1) == net_spec(NetConfig(8, "v1", "A", False, 4))
    assert shortened(SPEC, blocks=99) == SPEC


@pytest.mark.parametrize(
    ("save_every", "snapshots", "files"),
    [(50, [], (2, 0)), (100, [], (1, 0)), (30, [0, 100, 101], (2, 2))],
)
def test_the_disk_holds_two_checkpoints_at_most_one_of_weights_at_the_end_and_each_snapshot(
    save_every: int, snapshots: list[int], files: tuple[int, int]
) -> None:
    costs = costs_of(SPEC, num_classes=10, image_size=16)
    kept, most = disk_bytes(costs, length(save_every=save_every, snapshots=snapshots), momentum=True)
    beside = files[1] * snapshot_bytes(costs)
    assert kept == beside + checkpoint_bytes(costs, momentum=False)
    assert most == beside + files[0] * checkpoint_bytes(costs, momentum=True)
