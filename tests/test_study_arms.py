"""From runs to arms: which belong together, and their curves and final errors."""

import random
from pathlib import Path

import pytest
from scipy import stats

from resnet_exp.config import NetConfig
from resnet_exp.nets.spec import BlockSpec, NetSpec, Stage, Stem
from resnet_exp.nets.table import net_spec
from resnet_exp.study.arms import group_arms
from resnet_exp.study.describe import describe_study
from tests.helpers import load_runs, write_run


def test_runs_are_grouped_into_arms_plain_first(study: Path) -> None:
    write_run(study, "resnet", 110, 0, [50.0], suffix="-B")
    arms = group_arms(load_runs(study))
    assert [arm.name for arm in arms] == ["plain20", "plain56", "resnet20", "resnet56", "resnet110-B"]
    assert [arm.variant for arm in arms] == ["plain", "plain", "resnet", "resnet", "resnet-B"]
    assert [len(arm.runs) for arm in arms] == [2, 2, 2, 2, 1]


def test_curves_and_finals_are_means_over_seeds(study: Path) -> None:
    plain20 = group_arms(load_runs(study))[0]
    steps, mean, spread = plain20.curve("train_error")
    assert steps.tolist() == [100, 200, 300]
    assert mean.tolist() == [61, 40, 31]
    assert spread.tolist() == pytest.approx([2**0.5, 0, 2**0.5])
    final = plain20.final("test_error")
    assert final is not None
    assert (final.mean, final.sd, final.n) == (32, pytest.approx(2**0.5), 2)
    low, high = stats.t.interval(0.95, 1, loc=32, scale=1)
    assert (final.low, final.high) == (pytest.approx(low), pytest.approx(high))


def test_a_curve_holds_every_run_and_a_result_those_that_ended(study: Path) -> None:
    write_run(study, "plain", 20, 2, [90.0], status="diverged", first_bad_step=50)
    write_run(study, "plain", 20, 3, [80.0], status="running", train_error=None, test_error=None)
    write_run(study, "plain", 20, 4, [], status="running", train_error=None)
    plain20 = group_arms(load_runs(study))[0]
    _, mean, _ = plain20.curve("train_error")
    assert mean.tolist() == [(60 + 62 + 90 + 80) / 4, 40, 31]
    assert plain20.by_seed("train_error_last_tenth") == {0: 30, 1: 32, 2: 90}, (
        "a diverged run is a result, a running one is not"
    )
    runs = load_runs(study)
    text = describe_study(runs, group_arms(runs))
    assert "2 of 11 runs unfinished" in text
    assert "1 of 11 runs diverged" in text


def test_a_figure_says_which_data_how_many_seeds_how_many_steps(study: Path) -> None:
    def described() -> str:
        runs = load_runs(study)
        return describe_study(runs, group_arms(runs))

    assert described() == "test data <1>, 5,000 training images of 16x16 · 2 seeds · 300 steps"
    write_run(study, "resnet", 110, 0, [9.0])
    assert described().endswith("1 to 2 seeds · 100 to 300 steps")


def test_a_curve_over_seeds_with_other_steps_is_that_of_each_step(tmp_path: Path) -> None:
    rng = random.Random(0)
    expected: dict[float, list[float]] = {}
    for seed in range(4):
        errors = [round(rng.uniform(0, 90), 3) for _ in range(rng.randint(1, 30))]
        write_run(tmp_path, "plain", 20, seed, errors)
        for index, error in enumerate(errors, start=1):
            expected.setdefault(100.0 * index, []).append(error)
    steps, mean, spread = group_arms(load_runs(tmp_path))[0].curve("train_error")
    assert steps.tolist() == sorted(expected)
    assert mean.tolist() == pytest.approx([sum(values) / len(values) for values in expected.values()])
    assert spread.tolist() == pytest.approx(
        [stats.tstd(values) if len(values) > 1 else 0.0 for values in expected.values()]
    )


RESNET20 = net_spec(NetConfig(20, "v1", "A", False, 16)).to_dict()


def names(folder: Path) -> list[tuple[str, int]]:
    """Each arm and how many runs it has."""
    return [(arm.name, len(arm.runs)) for arm in group_arms(load_runs(folder))]


def test_a_run_that_did_not_record_its_net_meets_those_that_did(tmp_path: Path) -> None:
    write_run(tmp_path, "resnet", 20, 0, [50.0])
    write_run(tmp_path, "resnet", 20, 1, [50.0], net=RESNET20)
    assert names(tmp_path) == [("resnet20", 2)]


def test_nets_of_one_name_do_not_meet(tmp_path: Path) -> None:
    stages = tuple(Stage(blocks, 256 * 2**index) for index, blocks in enumerate((3, 4, 6, 3)))
    of_imagenet = NetSpec(Stem(64, 7, 2, pool=True), stages, BlockSpec((1, 3, 1), narrow=4), shortcut="B")
    write_run(tmp_path / "cifar", "resnet", 50, 0, [50.0])
    write_run(tmp_path / "imagenet", "resnet", 50, 1, [50.0], net=of_imagenet.to_dict())
    assert len(group_arms(load_runs(tmp_path))) == 2


def test_what_tells_nets_of_one_name_apart_is_shown_as_far_as_needed(tmp_path: Path) -> None:
    for width, seed in ((16, 0), (8, 1)):
        write_run(tmp_path, "resnet", 20, seed, [50.0], width=width)
    assert names(tmp_path) == [("resnet20 (width 16)", 1), ("resnet20 (width 8)", 1)]
    for seed, params in ((0, 1000), (1, 2000)):
        net = RESNET20 | {"stem": RESNET20["stem"] | {"stride": seed + 1}}
        write_run(tmp_path / "more", "resnet", 20, seed, [50.0], net=net, params=params)
    assert names(tmp_path / "more") == [
        ("resnet20 (width 16, 1,000 parameters)", 1),
        ("resnet20 (width 16, 2,000 parameters)", 1),
    ]


def test_one_net_under_two_custom_names_is_two_arms(tmp_path: Path) -> None:
    for name in ("one", "other"):
        write_run(tmp_path / name, "resnet", 20, 0, [50.0], name=name)
    assert names(tmp_path) == [("one", 1), ("other", 1)]


def test_settings_that_a_name_says_are_arms_of_their_own(tmp_path: Path) -> None:
    for suffix in ("", "-lr0.05"):
        for seed in (0, 1):
            write_run(tmp_path, "resnet", 20, seed, [50.0], suffix=suffix)
    assert names(tmp_path) == [("resnet20", 2), ("resnet20-lr0.05", 2)]


def test_nets_that_no_settings_describe_are_told_apart_by_family_depth_block_and_shortcut(tmp_path: Path) -> None:
    for family, depth, more in (
        ("plain", 21, {}),
        ("resnet", 21, {}),
        ("resnet", 22, {}),
        ("resnet", 21, {"block": "v2"}),
    ):
        seed = len(list(tmp_path.glob("*/*/*")))
        write_run(tmp_path / str(seed), family, depth, seed, [50.0], name="mine", **more)
    assert [len(arm.runs) for arm in group_arms(load_runs(tmp_path))] == [1, 1, 1, 1]


def test_plain_nets_come_first_whatever_they_are_called(tmp_path: Path) -> None:
    for family, shortcut in (("bottleneck", "B"), ("plain", "none")):
        write_run(tmp_path, family, 20, 0, [50.0], name="mine", shortcut=shortcut)
    assert names(tmp_path) == [("mine (plain20)", 1), ("mine (bottleneck20)", 1)]
