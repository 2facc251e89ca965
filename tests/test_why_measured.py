"""What was measured, gathered over a study."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from resnet_exp.runs.diagnostics import Diagnosis, write_diagnosis
from resnet_exp.why.measured import (
    caption,
    gather,
    grouped,
    left_out,
    listed,
    mean_text,
    newest,
    steps_of,
    trained_twins,
    twins,
)
from tests.helpers import make_diagnosis


def diagnosis(name: str, **net: Any) -> Diagnosis:
    return make_diagnosis("responses", name, [{"step": 60.0, "std": 1.5}], **{"depth": 20, **net})


def write(study: Path, *found: Diagnosis) -> None:
    for one in found:
        write_diagnosis(study / one.subject.name / f"seed{one.subject.seed}", one)


def test_every_complete_answer_below_the_folders_is_gathered_once(tmp_path: Path) -> None:
    whole = [diagnosis("plain20", shortcut="none"), diagnosis("resnet20"), diagnosis("resnet20", seed=1)]
    write(tmp_path / "a", *whole)
    write(tmp_path / "b", replace(diagnosis("resnet56", depth=56), complete=False))
    (tmp_path / "link").symlink_to(tmp_path / "a")
    damaged = diagnosis("resnet20", seed=2)
    write(tmp_path / "b", damaged)
    (tmp_path / "b/resnet20/seed2/diagnostics/responses.csv").write_text("")
    found, left_out = gather([tmp_path, tmp_path / "link"], "responses")
    assert found == whole
    assert len(left_out) == 2
    assert "resnet20/seed2/diagnostics/responses.json: missing, damaged" in left_out[0]
    assert left_out[1] == "diagnosis left out: resnet56 seed 0, responses: not complete"
    assert gather([tmp_path], "lesion") == ([], [])


def test_nets_are_grouped_plain_first_then_by_depth_with_seeds_in_order() -> None:
    groups = grouped(
        [
            *(diagnosis("resnet20", seed=1), diagnosis("resnet56", depth=56), diagnosis("resnet20")),
            *(diagnosis("resnet20-lr0.05"), diagnosis("plain56", depth=56, shortcut="none")),
        ]
    )
    assert [(group.name, group.variant, group.depth) for group in groups] == [
        *(("plain56", "plain", 56), ("resnet20", "resnet", 20), ("resnet56", "resnet", 56)),
        ("resnet20-lr0.05", "resnet-lr0.05", 20),
    ]
    assert [one.subject.seed for one in groups[1].found] == [0, 1]
    assert [group.is_plain for group in groups] == [True, False, False, False]


def test_runs_of_one_name_with_other_nets_or_images_are_not_pooled() -> None:
    one = diagnosis("resnet20")
    wider = diagnosis("resnet20", seed=1, channels=(8, 16, 32))
    fewer = replace(one, subject=replace(one.subject, seed=2, images=one.subject.images - 1))
    assert [len(group.found) for group in grouped([one, wider, fewer, diagnosis("resnet20", seed=3)])] == [2, 1, 1]


def at(step: int, name: str = "resnet20", **net: Any) -> Diagnosis:
    """Measured before the first step and after `step`."""
    rows = [{"step": float(when), "std": 1.5} for when in sorted({0, step})]
    return make_diagnosis("responses", name, rows, step=step, **{"depth": 20, **net})


def test_of_a_trained_net_those_seeds_speak_that_were_trained_furthest() -> None:
    found = [at(60, seed=2), at(0, seed=1), at(60), at(30, seed=3)]
    (group,) = grouped(found)
    assert (group.newest, [one.subject.seed for one in group.found]) == (60, [0, 2])
    assert [one.subject.seed for one in group.shorter] == [1, 3]
    assert [one.subject.seed for one in group.begun] == [0, 1, 2, 3]
    assert left_out(found) == (
        "Seeds 1 and 3 of resnet20 are left out of what is said after 60 steps: their newest weights are those after"
        " 0 and 30 steps."
    )
    assert left_out(found[:2]).startswith("Seed 1 of resnet20 is left out of what is said after 60 steps: its newest")
    assert left_out([found[0], found[2]]) == ""
    assert caption(found).endswith("4 seeds · 0 to 60 steps")


def test_twins_that_were_not_trained_alike_are_not_compared_after_training() -> None:
    found = [at(60, "plain20", shortcut="none"), at(0)]
    groups = grouped(found)
    assert (len(twins(groups)), trained_twins(groups)) == (1, [])
    assert left_out(found) == "plain20 after 60 steps is not compared with resnet20 after 0 steps."
    assert len(trained_twins(grouped([found[0], at(60)]))) == 1


def test_what_was_measured_beyond_the_newest_checkpoint_is_not_there() -> None:
    """As an older version did where a snapshot was newer."""
    one = at(60)
    assert (steps_of(one), newest(one)) == ([0, 60], 60)
    one = replace(one, choices={"step": 40})
    assert (steps_of(one), newest(one)) == ([0], 0)
    assert newest(replace(one, rows=[{"kind": "none"}])) == 40


def test_a_twin_differs_in_the_shortcut_alone() -> None:
    groups = grouped(
        [
            *(diagnosis("plain20", shortcut="none"), diagnosis("plain56", depth=56, shortcut="none")),
            *(diagnosis("resnet20"), diagnosis("resnet20-B", shortcut="B"), diagnosis("preact20", block="v2")),
        ]
    )
    assert [(plain.name, other.name) for plain, other in twins(groups)] == [
        ("plain20", "resnet20"),
        ("plain20", "resnet20-B"),
    ]


def names(found: list[Diagnosis]) -> list[tuple[str, str]]:
    return [(plain.name, other.name) for plain, other in twins(grouped(found))]


def test_twins_were_trained_under_the_same_setting() -> None:
    rates = ("0.1", "0.05")
    plain = [diagnosis(f"plain20-lr{lr}", shortcut="none") for lr in rates]
    assert names([*plain, *(diagnosis(f"resnet20-lr{lr}") for lr in rates)]) == [
        ("plain20-lr0.05", "resnet20-lr0.05"),
        ("plain20-lr0.1", "resnet20-lr0.1"),
    ]
    fewer = diagnosis("resnet20-lr0.1")
    assert names([plain[0], replace(fewer, subject=replace(fewer.subject, images=500))]) == []


def test_a_plain_net_knows_no_zero_init() -> None:
    residual = [diagnosis(f"resnet20{setting}") for setting in ("", "-zero_initTrue", "-zero_initTrue-lr0.05")]
    plain = diagnosis("plain20", shortcut="none")
    assert names([plain, *residual]) == [("plain20", "resnet20"), ("plain20", "resnet20-zero_initTrue")]
    same = diagnosis("plain20-zero_initTrue", shortcut="none")
    assert names([plain, same, *residual[:2]]) == [
        *(("plain20", "resnet20"), ("plain20-zero_initTrue", "resnet20-zero_initTrue"))
    ]


def test_the_caption_says_which_data_how_many_seeds_and_steps() -> None:
    found = [diagnosis("resnet20"), diagnosis("resnet20", seed=1), diagnosis("resnet56", depth=56)]
    found[2] = replace(found[2], choices={"step": 0})
    assert caption(found) == "shapes, 1,000 training images of 8x8 · 1 to 2 seeds · 0 to 60 steps"


def test_a_mean_is_shown_with_what_is_known_of_it() -> None:
    assert mean_text([0.5]) == ("0.50", "1 seed")
    mean, known = mean_text([0.7, 0.8])
    assert mean == "0.75"
    assert known == "95 % interval 0.11 to 1.39, 2 seeds"  # t of one degree of freedom: 12.706 * 0.05
    assert mean_text([2.0, 2.0]) == ("2.00", "2 seeds")


@pytest.mark.parametrize(("parts", "text"), [([], ""), (["a"], "a"), (["a", "b"], "a and b"), ([*"abc"], "a, b and c")])
def test_lists_are_read_aloud(parts: list[str], text: str) -> None:
    assert listed(parts) == text
