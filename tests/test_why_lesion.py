"""What is drawn and said of removed blocks."""

from resnet_exp.runs.diagnostics import Diagnosis, Row
from resnet_exp.why.lesion import by_count, draw, sentence
from tests.helpers import make_diagnosis


def diagnosis(
    name: str, errors: list[float], *, shortcut: str, seed: int = 0, norm: str = "batch", whole: float = 10.0
) -> Diagnosis:
    """A whole net, the same with one block removed (`errors`), with two and three at random, and with a swap."""
    base: Row = {"blocks": "", "draw": 0, "batch_norm": "stored", "loss": 1.0}
    rows: list[Row] = [base | {"kind": "none", "removed": 0, "first": 0, "error": whole}]
    rows += [base | {"kind": "one", "removed": 1, "first": n, "error": e} for n, e in enumerate(errors, 1)]
    rows += [
        base | {"kind": "several", "removed": 2, "draw": d, "first": 1, "error": e} for d, e in ((0, 40.0), (1, 50.0))
    ]
    rows.append(base | {"kind": "swap", "removed": 0, "first": 1, "error": 33.0})
    if norm == "batch":
        rows += [row | {"batch_norm": "re-estimated", "error": float(row["error"]) - 1} for row in rows]
    return make_diagnosis(
        "lesion", name, rows, shortcut=shortcut, seed=seed, norm=norm, choices={"chance": 90.0, "images": 50}
    )


PLAIN = diagnosis("plain8", [90.0, 70.0, 88.0], shortcut="none")
RESIDUAL = [
    diagnosis("resnet8", [12.0, 30.0, 14.0], shortcut="A"),
    diagnosis("resnet8", [16.0, 30.0, 14.0], shortcut="A", seed=1),
]


def test_dots_crosses_and_the_whole_net() -> None:
    plain, residual, plain_below, residual_below = draw([PLAIN, *RESIDUAL]).axes
    dots = [line for line in residual.lines if line.get_marker() == "o"]
    assert [list(line.get_ydata()) for line in dots] == [[12, 30, 14], [16, 30, 14]]
    assert list(dots[0].get_xdata()) == [1, 2, 3]
    (cross,) = (line for line in plain.lines if line.get_marker() == "x")
    assert (list(cross.get_xdata()), list(cross.get_ydata())) == ([1.5], [33])
    wholes = [
        list(line.get_ydata()) for line in plain.lines if line.get_marker() == "None" and len(line.get_ydata()) == 2
    ]
    assert wholes == [[10, 10]]
    (line,) = plain_below.lines
    assert (list(line.get_xdata()), list(line.get_ydata())) == ([0, 1, 2], [10, (90 + 70 + 88) / 3, 45])
    assert len(residual_below.lines) == 2
    assert by_count(PLAIN)[0] == [0, 1, 2]


def test_the_sentence_has_the_median_block_and_who_is_left_at_chance() -> None:
    assert sentence([PLAIN, *RESIDUAL]) == (
        "To lose one block costs in the median plain8 78.00 points (1 seed; 78.00 with BN statistics re-estimated;"
        " 2 of 3 lesions leave it at chance) and resnet8 5.00 points (95 % interval -7.71 to 17.71, 2 seeds; 5.00 with"
        " BN statistics re-estimated; 0 of 6 lesions leave it at chance)."
    )


def test_twins_are_compared_seed_by_seed_with_an_interval() -> None:
    second = diagnosis("plain8", [80.0, 70.0, 84.0], shortcut="none", seed=1)
    # 78 - 4 and 70 - 6: 69 on average, and 12.706 times 5 to either side
    assert sentence([PLAIN, second, *RESIDUAL]).endswith(
        " A block costs plain8 69.00 points more than resnet8 (95 % interval 5.47 to 132.53, 2 seeds)."
    )
    second = diagnosis("plain8", [12.0, 15.0, 11.0], shortcut="none", seed=1)
    assert sentence([PLAIN, second, *RESIDUAL]).endswith("to 530.54, 2 seeds; it may be none).")
    least = [diagnosis("plain8", [11.0, 11.0, seed + 10.0], shortcut="none", seed=seed) for seed in (0, 2)]
    assert "A block costs plain8" not in sentence([*least, *RESIDUAL]), "they share one seed"
    least = [diagnosis("plain8", [10.5 + seed, 11.0, 10.0], shortcut="none", seed=seed) for seed in (0, 1)]
    assert "points less than resnet8" in sentence([*least, *RESIDUAL])


def test_a_net_at_chance_has_nothing_to_lose() -> None:
    lost = [diagnosis("plain8", [90.0, 90.0, 89.0], shortcut="none", seed=seed, whole=88.0 + seed) for seed in (0, 1)]
    assert sentence(lost) == (
        "plain8 as a whole errs for 88.50 % of the images, which is chance (95 % interval 82.15 to 94.85, 2 seeds)."
    )
    said = sentence([*lost, *RESIDUAL])
    assert said.startswith("To lose one block costs in the median resnet8 5.00 points")
    assert "A block costs" not in said
    said = sentence([PLAIN, lost[1], *RESIDUAL])
    assert "plain8 78.00 points (1 seed;" in said
    assert "plain8 as a whole errs for 89.00 % of the images, which is chance (1 seed)." in said


def test_a_net_without_bn_has_one_kind_of_statistics() -> None:
    bare = diagnosis("resnet8-nobn", [12.0, 30.0, 14.0], shortcut="A", norm="none")
    assert sentence([bare]) == (
        "To lose one block costs in the median resnet8-nobn 4.00 points (1 seed; 0 of 3 lesions leave it at chance)."
    )
