"""What is drawn and said of nets that began as shallower ones."""

from pathlib import Path
from typing import Any

import pytest

from resnet_exp.config import NetConfig
from resnet_exp.nets.table import net_spec
from resnet_exp.study.runs import Run
from resnet_exp.why.grow import ARGUMENT, draw, find, growths, sentence
from resnet_exp.why.report import write_report
from tests.helpers import load_runs, write_run


def add(
    folder: Path,
    depth: int,
    errors: list[float],
    *,
    seed: int = 0,
    grown: int | None = None,
    lr: float = 0.1,
    shortcut: str = "none",
    weights: str = "drawn from the seed",
) -> None:
    """A run of as many rows as there are errors, the last of which is its final one; `grown` from so many layers."""
    family = "plain" if shortcut == "none" else "resnet"
    own = "" if lr == 0.1 else f"-lr{lr:g}"
    more: dict[str, Any] = {}
    if grown is not None:
        begun = {"shallow": errors[0] - 1, "deep": errors[0], "difference": 0.1, "relative": 0.01}
        more["grown"] = {"from": f"{family}{grown}", "name": f"{family}{grown}", "depth": grown, "train mode": begun}
        weights, errors = f"grown from depth={grown}", errors[1:]
    suffix = (f"-grown{grown}" if grown else "") + own
    net = net_spec(NetConfig(depth, "v1", shortcut, False, 4), image_size=8).to_dict()
    choices = {"lr": lr, "initial_weights": weights, "precision": "off"}
    write_run(folder, family, depth, seed, errors, suffix=suffix, shortcut=shortcut, net=net, choices=choices, **more)


def study(folder: Path, *, seeds: int = 3) -> list[Run]:
    """The shallower nets end at 20; grown ones at 30 at the large rate and at 15 at the small one; 70 from scratch."""
    for seed in range(seeds):
        off = (-1, 0, 1)[seed]
        add(folder, 8, [60.0, 20.0 + off], seed=seed)
        add(folder, 14, [85.0, 70.0 + off], seed=seed)
        add(folder, 14, [20.0 + off, 50.0, 30.0 + 2 * off], seed=seed, grown=8)
        add(folder, 14, [20.0 + off, 18.0, 15.0 + 2 * off], seed=seed, grown=8, lr=0.01)
        add(folder, 8, [20.0 + off, 25.0, 10.0 + off], seed=seed, grown=8)
    return load_runs(folder)


def test_the_sentence_says_who_keeps_improves_and_loses(tmp_path: Path) -> None:
    assert sentence(study(tmp_path)) == (
        "14 plain layers begin as 8 trained ones compute, with a training error of 20.00 %"
        " (95 % interval 17.52 to 22.48, 3 seeds, lr 0.1)."
        " At lr 0.1 they end at 30.00 % (95 % interval 25.03 to 34.97, 3 seeds),"
        " 10.00 points above the 8 layers (95 % interval +7.52 to +12.48, paired by seed): SGD loses the solution;"
        " the 8 layers alone, trained on likewise, end at 10.00 %, 20.00 points below them"
        " (95 % interval -22.48 to -17.52, paired by seed)."
        " At lr 0.01 they end at 15.00 % (95 % interval 10.03 to 19.97, 3 seeds),"
        " 5.00 points below the 8 layers (95 % interval -7.48 to -2.52, paired by seed): SGD improves on the solution."
        " From scratch 14 layers end at 70.00 % (95 % interval 67.52 to 72.48, 3 seeds, lr 0.1)."
    )


def test_one_seed_has_numbers_and_no_judgement(tmp_path: Path) -> None:
    text = sentence(study(tmp_path, seeds=1))
    assert "they end at 28.00 % (1 seed), 9.00 points above the 8 layers; the 8 layers alone" in text
    assert "SGD" not in text
    assert "interval" not in text


@pytest.mark.parametrize(
    ("ends", "said"),
    [
        ((19.9, 20.1, 21.0), "SGD keeps the solution"),
        ((10.0, 25.0, 31.0), "these seeds cannot tell whether SGD keeps the solution"),
    ],
)
def test_kept_and_open(tmp_path: Path, ends: tuple[float, ...], said: str) -> None:
    for seed, end in enumerate(ends):
        add(tmp_path, 8, [20.0 + seed / 2], seed=seed)
        add(tmp_path, 14, [20.0, end], seed=seed, grown=8)
    assert said in sentence(load_runs(tmp_path))


@pytest.mark.usefixtures("unsaved")
def test_the_margin_of_the_report_judges(tmp_path: Path) -> None:
    for seed, end in enumerate((21.9, 22.1, 22.5)):
        add(tmp_path, 8, [20.0 + seed / 2], seed=seed)
        add(tmp_path, 14, [20.0, end], seed=seed, grown=8)
    for margin, said in ((1.0, "SGD loses the solution"), (3.0, "SGD keeps the solution")):
        assert said in write_report(tmp_path, out=tmp_path / "report", margin=margin)


def test_two_seeds_of_different_numbers_are_not_paired(tmp_path: Path) -> None:
    for seed in (0, 1):
        add(tmp_path, 8, [20.0 + seed], seed=seed)
        add(tmp_path, 14, [20.0, 30.0 + seed], seed=2 + seed, grown=8)
    text = sentence(load_runs(tmp_path))
    assert "10.00 points above the 8 layers (95 % interval " in text
    assert "paired" not in text


def test_without_the_shallower_runs_it_says_where_they_end(tmp_path: Path) -> None:
    add(tmp_path, 14, [20.0, 50.0, 30.0], grown=8)
    runs = load_runs(tmp_path)
    assert sentence(runs) == "14 plain layers begin as 8 trained ones compute. At lr 0.1 they end at 30.00 % (1 seed)."
    assert draw(runs).axes


def test_a_net_with_other_weights_is_not_from_scratch(tmp_path: Path) -> None:
    add(tmp_path, 8, [60.0, 20.0])
    add(tmp_path, 14, [85.0, 70.0], weights="of another file")
    add(tmp_path, 14, [20.0, 50.0, 30.0], grown=8)
    (growth,) = growths(load_runs(tmp_path))
    assert (growth.shallow is not None, growth.scratch) == (True, None)


def test_a_curve_begins_where_the_first_update_finds_it(tmp_path: Path) -> None:
    (panel,) = draw(study(tmp_path)).axes
    lines = {line.get_label(): line for line in panel.lines}
    assert lines["14 layers, grown from 8, lr 0.1"].get_xydata().tolist() == [[0, 20], [100, 50], [200, 30]]  # type: ignore[union-attr]
    assert lines["14 layers, from scratch, lr 0.1"].get_xydata().tolist() == [[100, 85], [200, 70]]  # type: ignore[union-attr]
    alone = lines["8 layers, trained on, lr 0.1"]
    assert (alone.get_linestyle(), alone.get_color()) == (":", lines["14 layers, grown from 8, lr 0.1"].get_color())
    (dashed,) = (line for line in panel.lines if line.get_linestyle() == "--")
    assert list(dashed.get_ydata()) == [20, 20]
    assert panel.get_title() == "plain, 8 and 14 layers"


def test_plain_nets_stand_left_of_residual_ones_each_with_its_own(tmp_path: Path) -> None:
    for shortcut in ("A", "none"):
        add(tmp_path, 8, [60.0, 20.0], shortcut=shortcut)
        add(tmp_path, 14, [20.0, 50.0, 30.0], grown=8, shortcut=shortcut)
    found = growths(load_runs(tmp_path))
    assert [growth.kind for growth in found] == ["plain", "resnet"]
    assert [growth.shallow.name for growth in found if growth.shallow] == ["plain8", "resnet8"]
    assert len(draw(load_runs(tmp_path)).axes) == 2


def test_a_study_of_drawn_nets_has_nothing_to_say(tmp_path: Path) -> None:
    add(tmp_path / "drawn", 8, [60.0, 20.0])
    assert find([tmp_path / "drawn"], "grow") == ([], [])
    assert find([tmp_path / "none"], "grow") == ([], [])
    add(tmp_path / "on", 8, [60.0, 20.0])
    add(tmp_path / "on", 8, [20.0, 25.0, 10.0], grown=8)
    assert find([tmp_path / "on"], "grow") == ([], [])
    add(tmp_path / "grown", 14, [20.0, 50.0, 30.0], grown=8)
    found, left_out = ARGUMENT.find([tmp_path / "grown"], "grow")
    assert (len(found), left_out) == (1, [])
