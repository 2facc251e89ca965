"""What is drawn and said of what blocks still know of the image."""

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest
from matplotlib.axes import Axes

from resnet_exp.runs.diagnostics import Diagnosis, Row
from resnet_exp.why.information import draw, sentence
from tests.helpers import make_diagnosis


def diagnosis(
    name: str,
    now: list[float],
    errors: list[float],
    *,
    shortcut: str,
    start: Sequence[float] = (0.9, 0.5, 0.25, 0.1),
    seed: int = 0,
    step: int = 60,
    depth: int = 8,
) -> Diagnosis:
    """R^2 and error of the stem and of the blocks of three stages after `step`, and before the first step R^2 and an
    error of 90; of the pixels 0.95 and 30."""
    rows: list[Row] = []
    for when, (r2s, wrong) in ({0: (start, [90.0] * len(start))} | {step: (now, errors)}).items():
        rows.append({"step": when, "name": "pixels", "stage": 0, "block": 0, "layers": 0, "r2": 0.95, "error": 30.0})
        for n, (r2, error) in enumerate(zip(r2s, wrong, strict=True)):
            stage = math.ceil(3 * n / (len(r2s) - 1))
            at = {"step": when, "name": f"block {n}" if n else "stem", "stage": stage, "block": n, "layers": 1 + 2 * n}
            rows.append(at | {"r2": r2, "error": error})
    return make_diagnosis("information", name, rows, shortcut=shortcut, seed=seed, step=step, depth=depth)


ERRORS = [40.0, 60.0, 70.0, 75.0]
PLAIN = [
    diagnosis("plain8", [0.9, 0.6, 0.4, 0.20], ERRORS, shortcut="none"),
    diagnosis("plain8", [0.9, 0.6, 0.4, 0.22], ERRORS, shortcut="none", seed=1),
]
RESIDUAL = [
    diagnosis("resnet8", [0.9, 0.8, 0.7, 0.6], [40, 42, 44, 45], shortcut="A", start=(0.9, 0.5, 0.4, 0.1)),
    diagnosis("resnet8", [0.9, 0.7, 0.7, 0.6], [40, 42, 44, 47], shortcut="A", start=(0.9, 0.5, 0.4, 0.12), seed=1),
]


def lines(panel: Axes, style: str) -> list[tuple[list[float], list[float]]]:
    return [(list(line.get_xdata()), list(line.get_ydata())) for line in panel.lines if line.get_linestyle() == style]


def test_a_column_a_kind_of_net_the_image_above_and_the_class_below() -> None:
    plain, residual, plain_error, residual_error = draw([*RESIDUAL, *PLAIN]).axes
    assert [plain.get_title(), residual.get_title()] == ["plain", "resnet"]
    x = pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert lines(plain, "-")[:2] == [(x, [0.9, 0.6, 0.4, 0.20]), (x, [0.9, 0.6, 0.4, 0.22])]
    assert lines(residual, ":") == [(x, [0.9, 0.5, 0.4, 0.1]), (x, [0.9, 0.5, 0.4, 0.12])]
    assert lines(plain_error, "-")[0] == (x, ERRORS)
    assert lines(residual_error, ":")[0] == (x, [90] * 4)
    assert lines(plain, "--") == [([0, 1], [0.95, 0.95])]
    assert lines(plain_error, "--") == [([0, 1], [30, 30])]
    assert [tick.get_text() for tick in plain_error.get_xticklabels()] == ["stem", "1", "2", "3"]
    assert plain_error.get_ylim()[0] == 0


def test_colours_tell_depths_and_tips_tell_runs() -> None:
    deep = diagnosis("plain14", [0.9, 0.6, 0.4, 0.1], ERRORS, shortcut="none", depth=14)
    figure = draw([*PLAIN, deep])
    solid = [line for line in figure.axes[0].lines if line.get_linestyle() == "-" and line.get_url()]
    assert [line.get_url() for line in solid] == [
        *("plain8 seed 0, step 60", "plain8 seed 1, step 60", "plain14 seed 0, step 60")
    ]
    one, same, other = (line.get_color() for line in solid)
    assert one == same != other
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["8 layers", "14 layers", "before the first step", "the pixels themselves"]


def test_the_sentence_compares_twins_over_their_seeds() -> None:
    assert sentence([*RESIDUAL, *PLAIN]) == (
        "From the last block's output a linear reader explains this share of the image's variance: 0.21 (plain8) and"
        " 0.60 (resnet8); from the pixels themselves 0.95."
        " Before the first step it was 0.10 (plain8) and 0.11 (resnet8)."
        " plain8's last block tells 0.39 less than resnet8 (95 % interval 0.26 to 0.52, 2 seeds)."
        " Before the first step it told 0.01 less than resnet8 (95 % interval -0.12 to 0.14, 2 seeds; it may be none)."
        " At the end of stage 1 it tells 0.15 less than resnet8 (95 % interval -0.49 to 0.79, 2 seeds; it may be none)."
        " A linear classifier errs for 75.0 % of held-out images behind the last block of plain8, for 46.0 % behind"
        " that of resnet8, and for 30.0 % on the pixels; plain8 has 29.0 points more than resnet8 (95 % interval 16.3"
        " to 41.7, 2 seeds)."
    )


def test_the_errors_in_the_sentence_are_of_the_seeds_that_both_nets_have() -> None:
    third = diagnosis("plain8", [0.9, 0.6, 0.4, 0.2], [40, 60, 70, 15], shortcut="none", seed=2)
    said = sentence([*RESIDUAL, *PLAIN, third])
    assert "errs for 75.0 % of held-out images behind the last block of plain8, for 46.0 % behind that" in said
    assert "plain8 has 29.0 points more than resnet8" in said


def test_the_words_follow_the_numbers() -> None:
    knowing = diagnosis("plain8", [0.9, 0.6, 0.4, 0.7], [40, 42, 44, 35], shortcut="none")
    text = sentence([knowing, RESIDUAL[0]])
    assert "plain8's last block tells 0.10 more than resnet8 (1 seed)." in text
    assert "At the end of stage 1 it tells 0.20 less than resnet8 (1 seed)." in text
    assert "plain8 has 10.0 points less than resnet8 (1 seed)." in text


def test_of_several_depths_the_deepest_twins_are_compared() -> None:
    deep = [
        diagnosis("plain14", [0.9, 0.6, 0.4, 0.1], ERRORS, shortcut="none", depth=14),
        diagnosis("resnet14", [0.9, 0.6, 0.4, 0.5], ERRORS, shortcut="A", depth=14),
        diagnosis("resnet20", [0.9, 0.6, 0.4, 0.3], ERRORS, shortcut="A", depth=20),
    ]
    text = sentence([*deep, *PLAIN, *RESIDUAL])
    assert "0.21 (plain8), 0.10 (plain14), 0.60 (resnet8), 0.50 (resnet14) and 0.30 (resnet20)" in text
    assert "plain14's last block tells 0.40 less than resnet14 (1 seed)." in text
    assert "plain8's" not in text


def test_of_several_settings_each_has_its_own_deepest_twins() -> None:
    found = [
        diagnosis(f"{kind}8-lr{lr}", [0.9, 0.6, 0.4, told], ERRORS, shortcut="none" if kind == "plain" else "A")
        for kind, lr, told in (
            *(("plain", 0.1, 0.1), ("resnet", 0.1, 0.2)),
            *(("plain", 0.05, 0.4), ("resnet", 0.05, 0.8)),
        )
    ]
    text = sentence(found)
    assert "plain8-lr0.1's last block tells 0.10 less than resnet8-lr0.1 (1 seed)." in text
    assert "plain8-lr0.05's last block tells 0.40 less than resnet8-lr0.05 (1 seed)." in text
    assert text.count("last block tells") == 2


def test_the_last_block_of_a_stage_speaks_for_it() -> None:
    falling, more = [0.9, 0.8, 0.6, 0.5, 0.4, 0.3, 0.2], [50.0] * 7
    pair = [
        diagnosis("plain14", falling, more, shortcut="none", depth=14, start=falling),
        diagnosis("resnet14", [0.9] * 7, more, shortcut="A", depth=14, start=falling),
    ]
    text = sentence(pair)
    assert "plain14's last block tells 0.70 less than resnet14 (1 seed)." in text
    assert "At the end of stage 1 it tells 0.30 less than resnet14 (1 seed)." in text
    panel = draw(pair).axes[2]
    assert panel.get_xticks().tolist() == pytest.approx([0, 1 / 3, 2 / 3, 1], abs=1e-3)


def test_stages_of_other_places_in_each_net_are_not_marked() -> None:
    uneven = diagnosis("plain14", [0.9] * 6, [50.0] * 6, shortcut="none", depth=14, start=[0.9] * 6)
    panel = draw([*PLAIN, uneven]).axes[1]
    assert [tick.get_text() for tick in panel.get_xticklabels()] == ["stem", "last"]


def test_a_net_alone_that_nobody_has_trained() -> None:
    fresh = diagnosis("plain8", [0.9, 0.5, 0.2, -0.001], [40.0, 60.0, 80.0, 90.0], shortcut="none", step=0)
    assert sentence([fresh]) == (
        "From the last block's output a linear reader explains this share of the image's variance: 0.00 (plain8);"
        " from the pixels themselves 0.95."
    )
    panel = draw([fresh]).axes[0]
    assert [line.get_url() for line in panel.lines if line.get_url()] == ["plain8 seed 0, before the first step"]
    assert len(lines(panel, ":")) == 1


def test_a_seed_that_diverged_is_left_out_and_named() -> None:
    broken = diagnosis("plain8", [math.nan] * 4, [math.nan] * 4, shortcut="none", seed=1)
    text = sentence([PLAIN[0], broken, *RESIDUAL])
    assert "plain8's last block tells 0.40 less than resnet8 (1 seed)." in text
    assert "Some seeds of plain8 are left out: their numbers are not finite." in text
    assert "nan" not in text
    alone = sentence([broken])
    assert alone == "Before the first step it was 0.10 (plain8). " + text[text.index("Some seeds") :]
    draw([broken])


def test_a_seed_that_was_not_trained_as_far_tells_of_the_beginning_alone() -> None:
    begun = diagnosis("plain8", [0.9, 0.5, 0.2, 0.3], ERRORS, shortcut="none", seed=1, step=0)
    begun = replace(begun, rows=begun.rows[:5])
    text = sentence([PLAIN[0], begun, RESIDUAL[0]])
    assert "variance: 0.20 (plain8) and 0.60 (resnet8)" in text
    assert "Before the first step it was 0.20 (plain8) and 0.10 (resnet8)." in text
    assert "not finite" not in text
    drawn = [line.get_url() for line in draw([PLAIN[0], begun]).axes[0].lines if line.get_url()]
    assert drawn == [
        f"plain8 seed {one}" for one in ("0, before the first step", "1, before the first step", "0, step 60")
    ]


def test_after_other_numbers_of_steps_twins_are_compared_at_the_beginning_alone() -> None:
    begun = diagnosis("plain8", [0.9, 0.5, 0.2, 0.3], ERRORS, shortcut="none", step=0)
    text = sentence([begun, RESIDUAL[0]])
    assert "Before the first step plain8's last block told 0.20 more than resnet8 (1 seed)." in text
    assert "tells" not in text
    assert "linear classifier" not in text


def test_who_reads_less_than_the_mean_image_tells_nothing() -> None:
    lost = diagnosis("plain8", [0.9, -7.0, 0.4, -0.3], ERRORS, shortcut="none")
    text = sentence([lost, RESIDUAL[0]])
    assert "0.00 (plain8) and 0.60 (resnet8)" in text
    assert "plain8's last block tells 0.60 less than resnet8 (1 seed)." in text
    assert "At the end of stage 1 it tells 0.80 less than resnet8 (1 seed)." in text
    assert lines(draw([lost]).axes[0], "-")[0][1] == [0.9, 0.0, 0.4, 0.0]
