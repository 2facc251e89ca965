"""Runs that are no one study are refused, and what differs is named."""

from pathlib import Path
from typing import Any

import pytest

from resnet_exp.study.arms import group_arms, setting_of
from resnet_exp.study.comparable import check_comparable
from resnet_exp.study.report import write_report
from tests.helpers import Command, load_runs, write_run


def check(folder: Path) -> None:
    runs = load_runs(folder)
    check_comparable(runs, group_arms(runs))


@pytest.mark.parametrize(
    ("name", "net", "setting"),
    [
        ("plain56", "plain56", ""),
        ("resnet56-B", "resnet56-B", ""),
        ("resnet20-lr0.05", "resnet20", "-lr0.05"),
        ("resnet20-B-lr0.05-cifar100", "resnet20-B", "-lr0.05-cifar100"),
        ("imagenet-resnet50-v1.5-seed", "imagenet-resnet50-v1.5", "-seed"),
        ("my-own-name", "plain20", "my-own-name"),
        ("resnet200", "resnet20", "resnet200"),
    ],
)
def test_a_name_says_the_net_and_what_else_a_sweep_varied(name: str, net: str, setting: str) -> None:
    assert setting_of(name, net=net) == setting


def test_nets_depths_and_seeds_may_differ(study: Path) -> None:
    write_run(study, "resnet", 110, 0, [50.0, 40.0, 25.0], suffix="-B", shortcut="B")
    check(study)


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"steps": 600}, "steps: 300 (8 runs), 600 (plain110/seed0)"),
        ({"width": 8}, "width: 16 (8 runs), 8 (plain110/seed0)"),
        ({"n_train": 1000}, "training images: 5000 (8 runs), 1000 (plain110/seed0)"),
        (
            {"dataset": {"name": "test data <1>", "fingerprint": "xyz", "image_size": 16}},
            "data fingerprint: abc (8 runs), xyz (plain110/seed0)",
        ),
        ({"choices": {"milestones": [100]}}, "milestones: [200] (8 runs), [100] (plain110/seed0)"),
        ({"choices": {"milestones": [200], "precision": "bf16"}}, "precision: off (8 runs), bf16 (plain110/seed0)"),
        ({"choices": {"milestones": [200], "augmentation": "none"}}, "crop and flip (8 runs), none (plain110/seed0)"),
    ],
)
def test_runs_that_differ_in_a_recorded_choice_are_refused(study: Path, changed: dict[str, Any], named: str) -> None:
    write_run(study, "plain", 110, 0, [60.0, 50.0, 40.0], **changed)
    with pytest.raises(ValueError, match="not comparable") as refused:
        check(study)
    assert named in str(refused.value)
    assert "--mix" in str(refused.value)
    assert len(str(refused.value).splitlines()) == 3


def test_a_difference_under_one_setting_does_not_hide_another(study: Path) -> None:
    for suffix in ("-lr0.05", "-lr0.02"):
        for seed, steps in enumerate((300, 600)):
            write_run(study, "plain", 20, seed, [60.0], suffix=suffix, steps=steps)
    with pytest.raises(ValueError, match=r"steps: 300 .2 runs., 600 .2 runs."):
        check(study)


def test_what_a_name_says_may_differ(tmp_path: Path) -> None:
    for lr in (0.1, 0.05):
        for depth in (20, 56):
            write_run(tmp_path, "plain", depth, 0, [50.0], suffix=f"-lr{lr}", choices={"milestones": [], "lr": lr})
    check(tmp_path)
    write_run(tmp_path, "plain", 110, 0, [50.0], suffix="-lr0.05", choices={"milestones": [], "lr": 0.1})
    with pytest.raises(ValueError, match=r"lr: 0\.05 \(2 runs\), 0\.1 \(plain110-lr0\.05/seed0\)"):
        check(tmp_path)


def test_how_fast_a_run_is_may_differ_and_the_papers_warm_up_too(tmp_path: Path) -> None:
    for depth, warmup, compiled in ((20, 0, True), (56, 0, False), (110, 400, True)):
        write_run(
            tmp_path, "plain", depth, 0, [50.0], choices={"milestones": [], "warmup_steps": warmup, "compile": compiled}
        )
    check(tmp_path)
    write_run(tmp_path, "plain", 44, 0, [50.0], choices={"milestones": [], "warmup_steps": 400, "compile": True})
    with pytest.raises(ValueError, match=r"warmup_steps: 400 \(2 runs\), 0 \(2 runs\)"):
        check(tmp_path)


def test_one_warm_up_for_all_depths_is_no_difference(tmp_path: Path) -> None:
    for depth in (20, 56, 110):
        write_run(tmp_path, "preact", depth, 0, [50.0], choices={"warmup_steps": 400})
    check(tmp_path)


PREACT = {"block": "v2", "shortcut": "A"}


@pytest.mark.parametrize(
    ("plain20", "preact20"),
    [(0, 400), (0, 0)],
    ids=["each by the paper of its block", "by depth alone, as version 0.1"],
)
def test_warm_ups_by_one_rule_of_the_papers_are_no_difference(tmp_path: Path, plain20: int, preact20: int) -> None:
    for depth, of_plain, of_preact in ((20, plain20, preact20), (110, 400, 400)):
        write_run(tmp_path, "plain", depth, 0, [50.0], shortcut="none", choices={"warmup_steps": of_plain})
        write_run(tmp_path, "preact", depth, 0, [50.0], choices={"warmup_steps": of_preact}, **PREACT)
    check(tmp_path)


def test_warm_ups_by_two_rules_are_a_difference(tmp_path: Path) -> None:
    for depth, steps in ((20, 0), (56, 400)):
        write_run(tmp_path, "preact", depth, 0, [50.0], choices={"warmup_steps": steps}, **PREACT)
    with pytest.raises(ValueError, match=r"warmup_steps: 0 \(preact20/seed0\), 400 \(preact56/seed0\)"):
        check(tmp_path)


def test_crops_with_another_border_are_a_difference_and_version_01_had_black_ones(tmp_path: Path) -> None:
    choices = {"padding": "2 pixels"}
    write_run(tmp_path, "plain", 20, 0, [50.0], choices=choices)  # without a schema number: of version 0.1
    write_run(tmp_path, "plain", 20, 1, [51.0], schema=2, choices=choices | {"border": "black"})
    check(tmp_path)
    assert len(group_arms(load_runs(tmp_path))) == 1
    write_run(tmp_path, "plain", 20, 2, [52.0], schema=2, choices=choices | {"border": "mean"})
    with pytest.raises(ValueError, match=r"border: black \(2 runs\), mean \(plain20/seed2\)"):
        check(tmp_path)


def test_what_an_older_version_did_not_record_is_no_difference(study: Path) -> None:
    data = {"name": "test data <1>", "image_size": 16}  # without a fingerprint
    write_run(study, "plain", 110, 0, [60.0, 50.0, 40.0], choices={"milestones": [200]}, dataset=data)
    check(study)


def test_running_errors_over_other_stretches_are_not_comparable(tmp_path: Path) -> None:
    write_run(tmp_path, "plain", 20, 0, [50.0, 40.0], steps=200)
    other = write_run(tmp_path, "plain", 56, 0, [45.0], steps=200)
    (other / "metrics.csv").write_text((other / "metrics.csv").read_text().replace("\n100,", "\n200,"))
    with pytest.raises(ValueError, match=r"steps between rows: 100 \(plain20/seed0\), 200 \(plain56/seed0\)"):
        check(tmp_path)


def test_a_run_that_diverges_before_its_first_row_was_due_is_comparable(tmp_path: Path) -> None:
    """Weights are looked at with every checkpoint, which may come before a row does."""
    write_run(tmp_path, "plain", 20, 0, [50.0, 40.0], steps=200)
    early = write_run(tmp_path, "plain", 20, 1, [90.0], steps=200, status="diverged")
    table = (early / "metrics.csv").read_text()
    (early / "metrics.csv").write_text(table.replace("\n100,", "\n50,"))
    check(tmp_path)
    (early / "metrics.csv").write_text(table.replace("\n100,", "\n50,") + table.splitlines()[1] + "\n")
    with pytest.raises(ValueError, match=r"steps between rows: 100 \(plain20/seed0\), 50 \(plain20/seed1\)"):
        check(tmp_path)


def test_several_nets_under_one_name_are_not_seeds_of_one(tmp_path: Path) -> None:
    for depth, seed in ((20, 0), (56, 1)):
        folder = write_run(tmp_path, "plain", depth, seed, [50.0], name="mine")
        assert folder.exists()
    check(tmp_path)
    arms = group_arms(load_runs(tmp_path))
    assert [arm.name for arm in arms] == ["mine (plain20)", "mine (plain56)"]
    assert [[run.summary["seed"] for run in arm.runs] for arm in arms] == [[0], [1]]
    estimates = [arm.final("test_error") for arm in arms]
    assert [estimate.n for estimate in estimates if estimate] == [1, 1]


def test_one_run_is_not_counted_as_two(study: Path) -> None:
    write_run(study / "copy", "plain", 56, 1, [70.0, 60.0, 52.0])
    with pytest.raises(ValueError, match="plain56 seed 1: 2 runs"):
        check(study)


def test_the_command_refuses_and_mixes_when_told_to(study: Path, command: Command) -> None:
    write_run(study, "plain", 110, 0, [60.0, 50.0, 40.0], width=8)
    refused = command("study", module="resnet_exp.cli.report")
    assert refused.returncode == 1
    assert "width: 16 (8 runs), 8 (plain110/seed0)" in refused.stderr
    assert len(refused.stderr.splitlines()) == 3
    assert not (study / "report").exists()
    mixed = command("study", "--mix", module="resnet_exp.cli.report")
    assert mixed.returncode == 0
    assert "not comparable: width: 16 (8 runs), 8 (plain110/seed0)" in (study / "report" / "report.html").read_text()


def test_a_mixed_report_says_so_at_its_top(study: Path, tmp_path: Path) -> None:
    write_run(study, "plain", 110, 0, [60.0, 50.0, 40.0], steps=600)
    write_report(study, out=tmp_path / "out", mix=True)
    summary = (tmp_path / "out" / "summary.md").read_text()
    assert summary.index("not comparable: steps: 300 (8 runs), 600 (plain110/seed0)") < summary.index("| net")
    assert "not comparable: steps" in (tmp_path / "out" / "curves.svg").read_text()
