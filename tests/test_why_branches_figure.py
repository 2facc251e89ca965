"""What is drawn of residual branches."""

import math
from dataclasses import replace

from matplotlib.axes import Axes

from resnet_exp.runs.diagnostics import Diagnosis, Row
from resnet_exp.why.branches_figure import draw
from tests.helpers import make_diagnosis

NAN = float("nan")


def diagnosis(
    name: str, ratios: dict[int, list[float]], *, seed: int = 0, decay: float = 1e-4, on: str = "all", depth: int = 8
) -> Diagnosis:
    """With these ratios by step; F is half of them, the weights are twice them, the cosine is a tenth."""
    rows: list[Row] = []
    for step, of_blocks in ratios.items():
        for mode in ("stored", "batch"):
            for block, ratio in enumerate(of_blocks, 1):
                value = ratio if mode == "batch" else 9.0
                row: Row = {"step": step, "batch_norm": mode, "block": block, "stage": 1, "ratio": value}
                rows.append(row | {"branch": value / 2, "weights": 2 * value, "cosine": value / 10})
    choices = {"weight_decay": decay, "weight_decay_on": on}
    return make_diagnosis("branches", name, rows, depth=depth, seed=seed, choices=choices)


def lines(panel: Axes, style: str) -> list[list[float]]:
    return [
        [*map(float, line.get_ydata())]
        for line in panel.lines
        if line.get_linestyle() == style and len(line.get_ydata())
    ]


def test_ratio_and_cosine_by_block_and_the_median_during_training() -> None:
    found = [
        diagnosis("resnet8", {0: [1, 1, 1], 30: [1, 2, 4], 60: [3, 1, 2]}),
        diagnosis("resnet8", {0: [1, 1, 1], 30: [1, 3, 4], 60: [4, 1, 3]}, seed=1),
        diagnosis("resnet14", {0: [1, 1, 1, 1, 1, 1], 60: [1, 2, 3, 4, 5, 6]}, depth=14),
    ]
    figure = draw(found)
    above, middle, below = figure.axes
    assert above.get_title() == "resnet"
    assert lines(above, "-") == [[3, 1, 2], [4, 1, 3], [1, 2, 3, 4, 5, 6]]
    assert lines(above, ":") == [[1, 1, 1], [1] * 6]
    assert lines(middle, "-")[:2] == [[0.3, 0.1, 0.2], [0.4, 0.1, 0.3]]
    assert lines(below, "-") == [[1, 2, 2], [1, 3, 3], [1, 3.5]]
    assert [text.get_text() for text in above.get_legend().get_texts()] == ["8 layers", "14 layers"]
    assert below.get_ylim()[1] > 3.5 > 0 == below.get_ylim()[0]


def test_a_column_for_each_kind_of_net_and_nothing_dotted_of_a_net_that_was_not_trained() -> None:
    figure = draw([diagnosis("resnet8", {0: [1, 1, 1]}), diagnosis("resnet8-B", {0: [1, 2, 3]})])
    assert [panel.get_title() for panel in figure.axes if panel.get_title()] == ["resnet", "resnet-B"]
    assert not any(lines(panel, ":") for panel in figure.axes)


def swept(decay: float, on: str, end: list[float], *, seed: int = 0) -> Diagnosis:
    name = f"resnet8-weight_decay{decay}-weight_decay_on{on}"
    return diagnosis(name, {0: [2, 2, 2], 60: end}, decay=decay, on=on, seed=seed)


SWEPT = [
    *(swept(0.0, "all", [1, 2, 3]), swept(0.001, "all", [0.5, 1, 1.5]), swept(0.001, "all", [0.5, 2, 2.5], seed=1)),
    *(swept(0.0, "weights", [1, 2, 3]), swept(0.001, "weights", [1, 2.5, 3])),
]


def test_against_weight_decay_where_it_was_varied() -> None:
    above, middle, below = draw(SWEPT).axes
    assert above.get_title() == "resnet8"
    assert lines(above, "-") == [[1, 2, 3], [0.5, 1.5, 2]]  # the mean over seeds
    assert lines(above, "--") == [[1, 2, 3], [1, 2.5, 3]]
    assert lines(above, ":") == [[2, 2, 2]]
    assert lines(middle, "-") == [[2, 1.5], [2, 2.5]]
    assert lines(middle, "None") == [[2], [1, 2], [2], [2.5]]  # a dot a seed
    assert lines(below, "-") == [[1, 0.75], [1, 1.25]]  # F against the start
    assert lines(below, ":") == [[1, 0.75], [1, 1.25]]  # and the weights
    assert [text.get_text() for text in middle.get_xticklabels()] == ["0", "0.001"]
    assert [text.get_text() for text in middle.get_legend().get_texts()] == ["all parameters", "weights alone"]


def test_what_starts_at_zero_has_no_size_against_its_start() -> None:
    found = [
        replace(one, rows=[row | {"branch": 0.0} if row["step"] == 0 else row for row in one.rows]) for one in SWEPT
    ]
    below = draw(found).axes[2]
    values = [number for line in below.lines for number in line.get_ydata()]
    assert any(map(math.isnan, values))  # of F
    assert any(map(math.isfinite, values))  # of the weights


def test_without_decay_one_run_stands_for_both() -> None:
    _, middle, _ = draw([SWEPT[0], SWEPT[1], SWEPT[4]]).axes
    assert lines(middle, "-") == [[2, 1], [2, 2.5]]


def test_numbers_that_are_none_are_left_out() -> None:
    found = [diagnosis("resnet8", {0: [1, 1, 1], 60: [NAN, NAN, NAN]}), diagnosis("resnet14", {0: [1] * 6}, depth=14)]
    figure = draw(found)
    figure.draw_without_rendering()
    assert lines(figure.axes[0], ":") == [[1, 1, 1]]
