"""The four verdicts, on the numbers of published reproductions, and the sentence that says them."""

import math
from pathlib import Path
from typing import Any

import pytest
from scipy import stats

from resnet_exp.study.arms import Arm, group_arms
from resnet_exp.study.statistics import Verdict
from resnet_exp.study.verdict import by_depth, by_family, compare, sentence
from tests.helpers import load_runs, write_run

UNIT = [value / math.sqrt(2.5) for value in (-2, -1, 0, 1, 2)]  # five values of mean 0 and standard deviation 1


def runs(folder: Path, family: str, depth: int, *, mean: float, sd: float, seeds: int = 5) -> None:
    for seed in range(seeds):
        write_run(folder, family, depth, seed, [mean + sd * UNIT[seed] if seeds == 5 else mean])


def arms(folder: Path) -> list[Arm]:
    return group_arms(load_runs(folder))


def test_published_plain_nets_degrade_and_residual_nets_do_not(tmp_path: Path) -> None:
    """nabla0001/resnet: 9.78 ± 0.13 and 12.95 ± 0.22; 7.40 and 7.14, whose t is 1.7 (standard deviations of 0.242)."""
    runs(tmp_path, "plain", 20, mean=9.78, sd=0.13)
    runs(tmp_path, "plain", 56, mean=12.95, sd=0.22)
    runs(tmp_path, "resnet", 56, mean=7.40, sd=0.2418)
    runs(tmp_path, "resnet", 110, mean=7.14, sd=0.2418)
    plain, resnet = by_depth(arms(tmp_path))
    assert (plain.first.name, plain.second.name, plain.verdict) == ("plain20", "plain56", Verdict.DEGRADES)
    assert plain.difference.t == pytest.approx(27.7, abs=0.1)
    assert (resnet.first.name, resnet.second.name, resnet.verdict) == ("resnet56", "resnet110", Verdict.NO_DEGRADATION)
    assert resnet.difference.t == pytest.approx(-1.7, abs=0.01)
    text = sentence(arms(tmp_path))
    assert text.startswith(
        "Plain nets: depth degrades, the training error of 56 layers is 3.17 points above that of 20 ("
    )
    assert text.endswith(
        "resnet nets: depth does not degrade, the training error of 110 layers is 0.26 points below that of 56"
        " (95 % interval -0.61 to +0.09, within 1, 5 seeds)."
    )


def test_what_matters_is_for_the_reader_to_say(tmp_path: Path) -> None:
    runs(tmp_path, "resnet", 56, mean=7.40, sd=0.2418)
    runs(tmp_path, "resnet", 110, mean=7.14, sd=0.2418)
    (comparison,) = by_depth(arms(tmp_path), margin=0.5)
    assert comparison.verdict == Verdict.INCONCLUSIVE
    text = sentence(arms(tmp_path), margin=0.5)
    assert text.startswith(
        "Resnet nets: inconclusive, the training error of 110 layers is 0.26 points below that of 56"
    )
    assert text.endswith("5 seeds; about 15 of each would tell).")
    assert "+0.09, within 0.62, 5 seeds)" in sentence(arms(tmp_path), margin=0.62)


def test_a_deeper_net_that_ends_lower_improves(tmp_path: Path) -> None:
    runs(tmp_path, "resnet", 20, mean=5.0, sd=0.1)
    runs(tmp_path, "resnet", 56, mean=1.0, sd=0.1)
    (comparison,) = by_depth(arms(tmp_path))
    assert comparison.verdict == Verdict.IMPROVES
    assert "depth improves, the training error of 56 layers is 4.00 points below that of 20" in sentence(arms(tmp_path))


def test_one_seed_is_never_a_verdict_but_its_difference_is_told(tmp_path: Path) -> None:
    runs(tmp_path, "plain", 20, mean=10.0, sd=0, seeds=1)
    runs(tmp_path, "plain", 56, mean=70.0, sd=0, seeds=1)
    (comparison,) = by_depth(arms(tmp_path))
    assert comparison.verdict == Verdict.INCONCLUSIVE
    assert comparison.difference.value == 60
    assert sentence(arms(tmp_path)) == (
        "Plain nets: inconclusive, the training error of 56 layers is 60.00 points above that of 20"
        " (1 seed; an interval takes two or more of each)."
    )


def test_every_pair_of_depths_and_of_families_is_compared(tmp_path: Path) -> None:
    for family in ("plain", "resnet"):
        for depth in (20, 56, 110):
            runs(tmp_path, family, depth, mean=10.0 + depth, sd=0.1)
    write_run(tmp_path, "resnet", 20, 0, [30.0], suffix="-lr0.05")
    pairs = [(c.first.name, c.second.name) for c in by_depth(arms(tmp_path))]
    assert pairs == [
        *(("plain20", "plain56"), ("plain20", "plain110"), ("plain56", "plain110")),
        *(("resnet20", "resnet56"), ("resnet20", "resnet110"), ("resnet56", "resnet110")),
    ]
    pairs = [(c.first.name, c.second.name) for c in by_family(arms(tmp_path))]
    assert pairs == [(f"plain{depth}", f"resnet{depth}") for depth in (20, 56, 110)]


def test_intervals_are_those_of_scipy(tmp_path: Path) -> None:
    first, second = [10.0, 10.5, 11.2, 9.7], [12.0, 12.9, 12.2]
    for family, depth, values in (("plain", 20, first), ("plain", 56, second)):
        for seed, value in enumerate(values):
            write_run(tmp_path, family, depth, seed, [value])
    comparison = compare(*arms(tmp_path))
    assert comparison is not None
    assert comparison.paired is not None
    welch = stats.ttest_ind(second, first, equal_var=False).confidence_interval()
    assert (comparison.difference.low, comparison.difference.high) == pytest.approx((welch.low, welch.high))
    paired = stats.ttest_rel(second, first[:3]).confidence_interval()
    assert (comparison.paired.low, comparison.paired.high) == pytest.approx((paired.low, paired.high))


def test_the_sentence_has_the_numbers_of_seeds_in_the_order_of_the_nets(tmp_path: Path) -> None:
    runs(tmp_path, "plain", 20, mean=10.0, sd=0, seeds=3)
    for seed in range(2):
        write_run(tmp_path, "plain", 56, seed, [20.0 + seed])
    assert "of 56 layers is 10.50 points above that of 20 (" in sentence(arms(tmp_path))
    assert "2 and 3 seeds" in sentence(arms(tmp_path))
    for seed in range(2, 4):
        write_run(tmp_path, "plain", 56, seed, [20.0 + seed])
    assert "4 and 3 seeds" in sentence(arms(tmp_path))


def test_unfinished_nets_give_no_verdict_and_diverged_ones_do(tmp_path: Path) -> None:
    runs(tmp_path, "plain", 20, mean=10.0, sd=0.1)
    write_run(tmp_path, "plain", 56, 0, [70.0], status="running")
    assert by_depth(arms(tmp_path)) == []
    assert sentence(arms(tmp_path)).startswith("No verdict yet")
    runs(tmp_path, "plain", 32, mean=20.0, sd=0.1)
    assert "the training error of 32 layers is 10.00 points above that of 20" in sentence(arms(tmp_path))
    for seed in (1, 2):
        write_run(tmp_path, "plain", 56, seed, [90.0 + seed], status="diverged", train_error_clean=None)
    comparison = by_depth(arms(tmp_path))[1]
    assert comparison.verdict == Verdict.DEGRADES
    assert (comparison.second.name, comparison.estimates[1].n) == ("plain56", 2)


def test_the_sentence_names_failed_runs_and_equal_errors(tmp_path: Path) -> None:
    for seed in (0, 1):
        write_run(tmp_path, "plain", 20, seed, [9.5 + seed])
        write_run(tmp_path, "plain", 56, seed, [5.0, 5.0, 12.0], status="diverged")
        write_run(tmp_path, "resnet", 20, seed, [7.0 + seed])
        write_run(tmp_path, "resnet", 56, seed, [7.0 + seed])
    text = sentence(arms(tmp_path))
    assert text.startswith(
        "Plain nets: depth degrades, the training error of 56 layers is 80.00 points above that of 20 ("
    )
    assert "2 of 4 runs diverged" in text
    assert "resnet nets: inconclusive, the training error of 56 layers is the same as that of 20 (" in text


def test_plain_nets_of_both_versions_are_one_finding(tmp_path: Path) -> None:
    for depth in (20, 56):
        write_run(tmp_path, "plain", depth, 0, [float(depth)], shortcut="none")
        write_run(tmp_path, "plain", depth, 0, [float(depth)], suffix="-v2", shortcut="none", block="v2")
        write_run(tmp_path, "resnet", depth, 0, [9.0])
        write_run(tmp_path, "preact", depth, 0, [9.0], block="v2")
    said = "; plain and plain-v2 nets are of the same layers in the same order: one finding, not two."
    assert sentence(arms(tmp_path)).endswith(said)
    assert sentence(arms(tmp_path)).count("one finding") == 1, "a residual net of v1 is another than one of v2"


@pytest.mark.parametrize("changed", [{"width": 8}, {"suffix": "-v2-lr0.05"}])
def test_plain_nets_that_differ_in_more_than_the_version_are_two_findings(tmp_path: Path, changed: Any) -> None:
    for depth in (20, 56):
        write_run(tmp_path, "plain", depth, 0, [float(depth)], shortcut="none")
        other = {"suffix": "-v2", "shortcut": "none", "block": "v2"} | changed
        write_run(tmp_path, "plain", depth, 0, [float(depth)], **other)
    assert "plain-v2" in sentence(arms(tmp_path))
    assert "one finding" not in sentence(arms(tmp_path))


def test_equal_errors_are_never_a_verdict_and_the_sentence_says_why(tmp_path: Path) -> None:
    for seed in (0, 1):
        write_run(tmp_path, "plain", 20, seed, [10.0])
        write_run(tmp_path, "plain", 56, seed, [10.01])
    (comparison,) = by_depth(arms(tmp_path))
    assert comparison.verdict == Verdict.INCONCLUSIVE
    assert sentence(arms(tmp_path)) == (
        "Plain nets: inconclusive, the training error of 56 layers is 0.01 points above that of 20"
        " (2 seeds; no interval, as the seeds of each net ended with equal errors)."
    )


def test_the_verdict_is_on_the_last_tenth_of_the_rows(tmp_path: Path) -> None:
    for seed in (0, 1):
        write_run(tmp_path, "plain", 20, seed, [50.0] * 18 + [10.0 + seed, 40.0 + seed])
        write_run(tmp_path, "plain", 56, seed, [50.0] * 18 + [30.0 + seed, 30.0 + seed])
    (comparison,) = by_depth(arms(tmp_path))
    assert [estimate.mean for estimate in comparison.estimates] == [25.5, 30.5]


def test_nets_that_one_custom_name_calls_are_compared_by_depth_and_kind(tmp_path: Path) -> None:
    for family in ("plain", "resnet"):
        for depth in (20, 56):
            for seed in (0, 1):
                write_run(tmp_path, family, depth, seed, [10.0 + depth + seed], name="mine")
    pairs = [(c.first.name, c.second.name) for c in by_depth(arms(tmp_path))]
    assert pairs == [("mine (plain20)", "mine (plain56)"), ("mine (resnet20)", "mine (resnet56)")]
    pairs = [(c.first.name, c.second.name) for c in by_family(arms(tmp_path))]
    assert pairs == [(f"mine (plain{depth})", f"mine (resnet{depth})") for depth in (20, 56)]
