"""What does a net lose with a block? After Veit et al., arXiv 1605.06431, figures 3 and 5."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from resnet_exp.runs.diagnostics import Diagnosis, Row
from resnet_exp.study.figure import bare, colours_of, key_of_depths, put_caption, wide_figure
from resnet_exp.study.runs import AT_CHANCE
from resnet_exp.study.statistics import estimate
from resnet_exp.why.argument import Argument
from resnet_exp.why.measured import Group, caption, difference_text, grouped, listed, mean_text, trained_twins


def rows_of(one: Diagnosis, kind: str, *, batch_norm: str = "stored") -> list[Row]:
    return [row for row in one.rows if row["kind"] == kind and row["batch_norm"] == batch_norm]


def error_of_whole(one: Diagnosis, *, batch_norm: str = "stored") -> float:
    """Error (%) of the net before anything is removed."""
    return float(rows_of(one, "none", batch_norm=batch_norm)[0]["error"])


def rises(one: Diagnosis, *, batch_norm: str = "stored") -> list[float]:
    """Points of error that each block alone costs."""
    whole = error_of_whole(one, batch_norm=batch_norm)
    return [float(row["error"]) - whole for row in rows_of(one, "one", batch_norm=batch_norm)]


def draw(found: Sequence[Diagnosis]) -> Figure:
    """Above: the error without each block, dots, beside that of the whole net, a line; swaps are crosses. Below: the
    error against the number of blocks removed. A column for each kind of net, a colour for each depth."""
    groups = grouped(found)
    variants = list(dict.fromkeys(group.variant for group in groups))
    colours = colours_of(sorted({group.depth for group in groups}))
    figure = wide_figure(len(variants), height=6.4)
    panels = figure.subplots(2, len(variants), squeeze=False, sharey=True)
    for column, variant in enumerate(variants):
        above, below = panels[0][column], panels[1][column]
        for group in (group for group in groups if group.variant == variant):
            colour = colours[group.depth]
            for one in group.found:
                url = f"{group.name} seed {one.subject.seed}"
                for kind, mark in (("one", "o"), ("swap", "x")):
                    points = [(float(row["first"]) + (kind == "swap") / 2, row["error"]) for row in rows_of(one, kind)]
                    above.plot(*np.array(points).reshape(-1, 2).T, mark, color=colour, markersize=3.5, url=url)
                above.axhline(error_of_whole(one), color=colour, linewidth=1, url=f"{url}: the whole net")
                counts, means = by_count(one)
                below.plot(counts, means, "o-", color=colour, markersize=3.5, linewidth=1.2, url=url)
        above.set_title(variant, fontweight="bold")
        above.set_xlabel("block that is removed")
        below.set_xlabel("blocks removed at random")
    for row in panels:
        row[0].set_ylabel("test error (%)")
        for panel in row:
            panel.set_ylim(0, 100)
            bare(panel)
            panel.set_axisbelow(True)
    key_of_depths(figure, colours)
    put_caption(figure, caption(found))
    return figure


def by_count(one: Diagnosis) -> tuple[list[int], list[float]]:
    """How many blocks were removed, and the mean error (%) over what was drawn; none and one included."""
    errors: dict[int, list[float]] = {}
    for kind in ("none", "one", "several"):
        for row in rows_of(one, kind):
            errors.setdefault(int(row["removed"]), []).append(float(row["error"]))
    return sorted(errors), [float(np.mean(errors[count])) for count in sorted(errors)]


def at_chance(one: Diagnosis) -> bool:
    """Whether the whole net does no better than guessing: it has nothing to lose."""
    return error_of_whole(one) >= AT_CHANCE * float(one.choices["chance"])


def median_rises(found: Sequence[Diagnosis], *, batch_norm: str = "stored") -> dict[int, float]:
    """Points of error that the median block costs, by seed."""
    return {one.subject.seed: float(np.median(rises(one, batch_norm=batch_norm))) for one in found}


def left_at_chance(found: Sequence[Diagnosis]) -> str:
    """`3 of 27`: how many of the nets that lack one block do no better than guessing."""
    errors = [float(row["error"]) / one.choices["chance"] for one in found for row in rows_of(one, "one")]
    return f"{sum(error >= AT_CHANCE for error in errors)} of {len(errors)}"


def said_of(name: str, found: Sequence[Diagnosis]) -> str:
    """What the median block costs a net, with both kinds of BN statistics, and how many nets do not survive."""
    points, known = mean_text([*median_rises(found).values()])
    said = f"{name} {points} points ({known}"
    if rows_of(found[0], "none", batch_norm="re-estimated"):
        again = mean_text([*median_rises(found, batch_norm="re-estimated").values()])[0]
        said += f"; {again} with BN statistics re-estimated"
    return f"{said}; {left_at_chance(found)} lesions leave it at chance)"


def compared(plain: Group, other: Group) -> str:
    """How much more or less a block costs the plain net than its residual twin, seed by seed, over those that both have
    and that know something. Empty where there is no interval, as with one seed."""
    mine, others = (median_rises([one for one in group.found if not at_chance(one)]) for group in (plain, other))
    differences = [mine[seed] - others[seed] for seed in sorted(mine.keys() & others.keys())]
    if not differences or estimate(differences).low is None:
        return ""
    points, word, known = difference_text(differences)
    return f"A block costs {plain.name} {points} points {word} than {other.name} ({known})."


def sentence(found: Sequence[Diagnosis]) -> str:
    """What the median block costs each net, which nets have nothing to lose, and plain nets beside their twins."""
    groups = [group for group in grouped(found) if all(rises(one) for one in group.found)]
    parts, text = [], []
    for group in groups:
        lost = [one for one in group.found if at_chance(one)]
        if learned := [one for one in group.found if not at_chance(one)]:
            parts.append(said_of(group.name, learned))
        if lost:
            error, known = mean_text([error_of_whole(one) for one in lost])
            text.append(f"{group.name} as a whole errs for {error} % of the images, which is chance ({known}).")
    if parts:
        text.insert(0, f"To lose one block costs in the median {listed(parts)}.")
    return " ".join([*text, *filter(None, (compared(plain, other) for plain, other in trained_twins(groups)))])


ARGUMENT = Argument(
    "lesion",
    heading="What does a net lose with a block?",
    shows=(
        "Test error with one block removed (dots; the line is the whole net's) and with two neighbours swapped"
        " (crosses), above; with several removed at random, below. Stored BN statistics; nothing is trained again."
        " After arXiv 1605.06431."
    ),
    draw=draw,
    sentence=sentence,
)
