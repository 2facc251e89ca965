"""Is the loss around residual nets smoother? After Li et al., arXiv 1712.09913, figures 2, 5 and 9."""

import math
from collections.abc import Sequence

import numpy as np

from resnet_exp.runs.diagnostics import Diagnosis
from resnet_exp.text import counted
from resnet_exp.why.argument import Argument, Drawing
from resnet_exp.why.measured import Group, difference_text, grouped, listed, mean_text, trained_twins
from resnet_exp.why.surface_figures import draw, draw_path, draw_relief, plainly
from resnet_exp.why.surface_rows import line, modes_of, rise

DISTANCE = 0.25  # from the net, in norms of the weights, at which its surroundings are judged


def rises(group: Group, *, batch_norm: str) -> dict[int, float]:
    """By how much the loss is higher at DISTANCE on the line than at the net, by seed."""
    return {one.subject.seed: rise(one, batch_norm=batch_norm, distance=DISTANCE) for one in group.found}


def number_text(values: Sequence[float]) -> tuple[str, str]:
    """The mean over seeds, and what is known of it; the mean of what is not finite is none."""
    wild = sum(not math.isfinite(value) for value in values)
    if wild:
        return "more than a number can hold", f"in {wild} of {len(values)} seeds"
    return mean_text(values, form=plainly)


def in_middle(group: Group) -> str:
    """The mean over seeds of the loss at the net, with its own BN statistics where it has any."""
    losses = []
    for one in group.found:
        alphas, loss = line(one, batch_norm=modes_of(one)[-1])
        losses.append(float(loss[np.abs(alphas).argmin()]))
    return number_text(losses)[0]


def said_of(group: Group) -> str:
    """`4.36 and 0.22 (plain20, from 0.11; 3 seeds)`: with stored BN statistics and with each batch's own."""
    modes = modes_of(group.found[0])
    means = {mode: number_text(list(rises(group, batch_norm=mode).values()))[0] for mode in modes}
    seeds = counted(len(group.found), "seed")
    if "batch" not in modes:
        return f"{means['stored']} ({group.name}, from {in_middle(group)}; no BN; {seeds})"
    return f"{means['stored']} and {means['batch']} ({group.name}, from {in_middle(group)}; {seeds})"


def compared(plain: Group, other: Group) -> list[str]:
    """Sentences on the difference between twins, seed by seed, with each kind of BN statistics."""
    parts, text = [], []
    for mode in modes_of(plain.found[0]):
        ours, theirs = rises(plain, batch_norm=mode), rises(other, batch_norm=mode)
        differences = [ours[seed] - theirs[seed] for seed in sorted(ours.keys() & theirs.keys())]
        where = {"stored": "with stored statistics", "batch": "with each batch's own"}[mode]
        if not all(map(math.isfinite, differences)):
            known = number_text(differences)[1]
            text.append(f"{plain.name} and {other.name} cannot be compared {where}: the loss is not finite {known}.")
        elif differences:
            amount, word, known = difference_text(differences, form=plainly)
            parts.append(f"{amount} {word} {where} ({known})")
    return [f"Around {plain.name} it rises by {listed(parts)} than around {other.name}.", *text] if parts else text


def sentence(found: Sequence[Diagnosis]) -> str:
    """How far the loss rises near each net with both kinds of BN statistics; then each plain net against its twin."""
    groups = grouped(found)
    text = [
        f"A random step of {DISTANCE:g} times the weights' norm raises the loss, with stored BN statistics and with"
        f" each batch's own, by {listed([said_of(group) for group in groups])}."
    ]
    for plain, other in trained_twins(groups):
        text += compared(plain, other)
    return " ".join(text)


ARGUMENT = Argument(
    "surface",
    heading="Is the loss around residual nets smoother?",
    shows=(
        "Loss on training images when the weights are moved along two random, filter-normalised directions, by alpha"
        " and beta times their norm: with the stored BN statistics and with each batch's own; below along the first"
        " direction alone, a line a seed (dotted: the loss of guessing). The levels of a row are common to its nets;"
        " above 100 all is one colour, white is no number. After arXiv 1712.09913."
    ),
    draw=draw,
    sentence=sentence,
    more=(
        Drawing(
            "surface-3d",
            shows="The same planes in three dimensions, the height being the loss on a logarithmic scale up to 100.",
            draw=draw_relief,
        ),
        Drawing(
            "surface-path",
            shows=(
                "The way of the weights through training (a dot for each step that was kept, a star for the newest) in"
                " the plane in which it varies most, on the loss there with each batch's own BN statistics. In"
                " brackets: the share of the trajectory's variance along each axis, which for a random walk would be"
                " about 61 and 15 %."
            ),
            draw=draw_path,
        ),
    ),
)
