"""What is said of residual branches: how training changed them, and what weight decay did."""

from collections.abc import Sequence

import pytest

from resnet_exp.runs.diagnostics import Diagnosis, Row
from resnet_exp.why.branches import change, sentence
from resnet_exp.why.ratios import over_seeds
from tests.helpers import make_diagnosis

NAN = float("nan")


def rows_at(
    step: int,
    branch: Sequence[float],
    shortcut: float,
    *,
    gamma: float = 1.0,
    weights: float = 2.0,
    cosine: float = 0.0,
) -> list[Row]:
    """Of three blocks in three stages; with stored statistics everything is 9."""
    rows: list[Row] = []
    for mode in ("batch", "stored"):
        for block, size in enumerate(branch, 1):
            row: Row = {"step": step, "batch_norm": mode, "block": block, "stage": block, "branch": size}
            row |= {"shortcut": shortcut, "ratio": size / shortcut, "cosine": cosine * block}
            row |= {"gamma": gamma, "beta": 0.0, "weights": weights}
            rows.append(row if mode == "batch" else row | {"branch": 9.0, "ratio": 9.0, "shortcut": 9.0, "cosine": 9.0})
    return rows


START = rows_at(0, [1.0, 1.0, 1.0], 2.0, cosine=-0.01)


def diagnosis(
    name: str,
    end: list[Row],
    *,
    start: list[Row] = START,
    seed: int = 0,
    decay: float = 1e-4,
    on: str = "all",
    depth: int = 8,
) -> Diagnosis:
    choices = {"weight_decay": decay, "weight_decay_on": on}
    return make_diagnosis("branches", name, [*start, *end], depth=depth, seed=seed, choices=choices)


def swept(decay: float, on: str, end: list[Row], *, seed: int = 0) -> Diagnosis:
    return diagnosis(f"resnet8-weight_decay{decay}-weight_decay_on{on}", end, decay=decay, on=on, seed=seed)


NONE = rows_at(60, [0.5, 1.0, 2.0], 2.0, weights=4.0)
ALL = rows_at(60, [0.2, 0.4, 0.6], 1.0, gamma=0.4, weights=1.0)
WEIGHTS = rows_at(60, [0.5, 1.1, 2.0], 2.0, gamma=1.1, weights=2.0)


def test_what_training_makes_of_branches() -> None:
    end = rows_at(60, [0.2, 0.8, 3.0], 4.0, cosine=0.1)
    other = rows_at(60, [0.2, 1.2, 3.0], 4.0, cosine=0.1)
    found = [diagnosis("resnet8", end), diagnosis("resnet8", other, seed=1)]
    assert sentence(found) == (
        "The median branch of resnet8 goes from 0.50 to 0.25 times its shortcut (95 % interval -0.39 to 0.89, 2 seeds),"
        " as F itself becomes 0.98 and its shortcut 2.00 times what they were; in the last stage its cosine with the"
        " negative gradient goes from -0.03 to 0.30. F goes to zero in none: the smallest median, of resnet8, keeps"
        " 0.98 of its size at the start."
    )


def test_a_net_that_nobody_trained_has_its_start_alone() -> None:
    assert sentence([diagnosis("resnet8", [])]) == (
        "After 0 steps the median branch of resnet8 is 0.50 times its shortcut (1 seed)."
    )


def test_what_weight_decay_makes_of_branches() -> None:
    found = []
    for seed in (0, 1):
        for on, end in (("all", ALL), ("weights", WEIGHTS)):
            found += [swept(0.0, on, NONE, seed=seed), swept(0.001, on, end, seed=seed)]
    found[1] = swept(0.001, "all", rows_at(60, [0.2, 0.41, 0.6], 1.0, gamma=0.4, weights=1.0))
    text = sentence(found)
    assert text.startswith(
        "By weight decay, the median branch of resnet8 ends at 0.50 and 0.41 times its shortcut for 0 and 0.001 on all"
        " parameters; and at 0.50 and 0.55 times its shortcut for 0 and 0.001 on weights alone."
        " 0.001 on all parameters leaves F 0.40 times as large as no decay does (95 % interval 0.35 to 0.47, 2 seeds);"
        " its shortcut 0.50, its gamma 0.40 and the weights of its last layer 0.25 times."
        " 0.001 on weights alone leaves F 1.10 times as large as no decay does (2 seeds);"
        " its shortcut 1.00, its gamma 1.10 and the weights of its last layer 0.50 times."
        " So decay on all parameters makes F smaller and on weights alone does nothing to F that these seeds show."
    )
    found[1] = swept(0.001, "all", rows_at(60, [0.2, 1.4, 1.6], 1.0))
    assert "So decay on all parameters and on weights alone does nothing to F that these seeds show." in sentence(found)
    assert text.endswith("of resnet8-weight_decay0.001-weight_decay_onall, keeps 0.40 of its size at the start.")


def test_a_branch_that_does_not_end_in_bn_has_no_gamma() -> None:
    ends = [rows_at(60, [1.0, 1.0, size], 2.0, gamma=NAN, weights=size) for size in (4.0, 2.0)]
    text = sentence([swept(0.0, "all", ends[0]), swept(0.001, "all", ends[1])])
    assert "(1 seed); its shortcut 1.00 and the weights of its last layer 0.50 times." in text


def test_without_decay_one_run_stands_for_both() -> None:
    text = sentence([swept(0.0, "all", NONE), swept(0.001, "weights", WEIGHTS)])
    assert "0.50 and 0.55 times its shortcut for 0 and 0.001 on weights alone" in text
    assert "0.001 on weights alone leaves F 1.10 times as large as no decay does (1 seed)" in text
    assert "So decay" not in text  # one seed tells nothing of the spread


@pytest.mark.parametrize(
    ("times", "words"),
    [
        ([0.5, 0.51], "makes F smaller"),
        ([1.5, 1.51], "makes F larger"),
        ([0.5, 0.9], "does nothing to F that these seeds show"),
    ],
)
def test_the_words_follow_the_interval(times: list[float], words: str) -> None:
    branch = over_seeds(times)
    assert branch is not None
    assert change(branch) == words


def test_a_branch_near_zero_is_called_so() -> None:
    gone = diagnosis("resnet8", rows_at(60, [0.01, 0.04, 1.0], 1.0))
    assert "F goes to zero in the median block of resnet8: it is below 0.05" in sentence([gone])
    dead = diagnosis("resnet8", rows_at(60, [0.0, 0.0, 1.0], 1.0))
    assert "F goes to zero in the median block of resnet8" in sentence([dead])
    there = diagnosis("resnet8", rows_at(60, [0.01, 0.06, 1.0], 1.0))
    assert "F goes to zero in none: the smallest median, of resnet8, keeps 0.06" in sentence([there])


def test_a_branch_that_starts_at_zero_has_no_share_of_its_start() -> None:
    start = rows_at(0, [0.0, 0.0, 0.0], 2.0, cosine=NAN)
    assert sentence([diagnosis("resnet8", NONE, start=start)]) == (
        "The median branch of resnet8 goes from 0.00 to 0.50 times its shortcut (1 seed)."
    )


def test_a_net_that_diverged_is_named() -> None:
    lost = diagnosis("resnet14", rows_at(60, [NAN, NAN, NAN], 1.0), depth=14)
    text = sentence([diagnosis("resnet8", NONE), lost])
    assert text.startswith("The median branch of resnet8 goes from 0.50 to 0.50")
    assert "The branches of resnet14 hold no finite numbers." in text
