"""How gradients grow or shrink on their way through a net: the numbers, what theory says of them, and their words.

Sources: [Y] Yang et al., A Mean Field Theory of Batch Normalization, arXiv 1902.08129; [H] He et al., Delving Deep into
Rectifiers, arXiv 1502.01852.
"""

import math
from dataclasses import dataclass

import numpy as np

from resnet_exp.runs.diagnostics import Diagnosis
from resnet_exp.runs.schema import DRAWN
from resnet_exp.why.measured import Floats, Group, column, steps_of
from resnet_exp.why.ratios import ratio

# From how many times as large, at one end of a net as at the other, a thing grows, and explodes; as many times smaller
# it shrinks, and vanishes. One order of magnitude is noise between layers; three are more than bf16 tells apart.
GROWS, EXPLODES = 10.0, 1000.0
# [Y] theorem 3.10, whose 1.467 is of the square: fully connected, BN and ReLU, width and batch without end.
PLAIN_BN = math.sqrt(math.pi / (math.pi - 1))


@dataclass(frozen=True)
class Prediction:
    """By what factor the gradient grows from a layer to the one before it, before the first step, and in which nets."""

    factor: float
    of: str


def prediction(group: Group) -> Prediction | None:
    """What theory says of the net, or of one like it, as it is drawn. None of one that began from other weights; and of
    residual nets with BN, and of blocks that begin at zero: there it knows no constant factor."""
    spec = group.spec
    if any(steps_of(one)[:1] != [0] or one.choices.get("initial_weights", DRAWN) != DRAWN for one in group.begun):
        return None
    if group.is_plain and spec.norm == "batch":
        return Prediction(PLAIN_BN, "wide fully connected nets with BN")
    if group.is_plain:  # [H] 2.2: what the initialisation is chosen for
        return Prediction(1.0, "wide nets without BN or borders")
    if spec.norm == "none" and not group.found[0].choices["zero_init"]:
        # the branch adds as much as the shortcut brings, so the square of the gradient doubles with each block
        return Prediction(2 ** (1 / (2 * len(spec.block.kernels))), "wide v2 nets without BN or borders")
    return None


def growth(one: Diagnosis, *, step: int) -> float:
    """The factor by which the gradient at a layer's output grows from a layer to the one before it.

    The least-squares slope of its logarithm against the number of the layer inside the stages, with a constant of its
    own for each stage: where a stage begins the size of the map jumps. So a stem, alone in its stage, has no say. NaN
    where a gradient is zero or not finite.
    """
    stages, sizes = column(one, "stage", step=step), column(one, "output", step=step)
    if not (np.isfinite(sizes) & (sizes > 0)).all():
        return math.nan
    above = below = 0.0
    for stage in {*stages}:
        inside = np.log(sizes[stages == stage])
        places = np.arange(len(inside)) - (len(inside) - 1) / 2
        above += float(places @ inside)
        below += float(places @ places)
    return math.exp(-above / below) if below else math.nan


def back(one: Diagnosis, *, step: int) -> float:
    """How many times as large the gradient is at the first layer's output as at the last's."""
    sizes = column(one, "output", step=step)
    return ratio(float(sizes[0]), float(sizes[-1]))


def forth(one: Diagnosis, *, step: int) -> float:
    """How many times as large the last layer's response is as the first's."""
    sizes = column(one, "response", step=step)
    return ratio(float(sizes[-1]), float(sizes[0]))


def relative(one: Diagnosis, *, step: int) -> Floats:
    """The gradient of each layer's weights in units of the weights, (L,)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return column(one, "weight_gradient", step=step) / column(one, "weight", step=step)


def relative_at_first(one: Diagnosis, *, step: int) -> float:
    return float(relative(one, step=step)[0])


def weights_grew(one: Diagnosis, *, step: int) -> float:
    """How many times as large the first layer's weights are as at the first step that was measured."""
    now, then = (float(column(one, "weight", step=at)[0]) for at in (step, steps_of(one)[0]))
    return ratio(now, then)


# Words


def change(factor: float) -> str:
    """What a thing does that becomes `factor` times as large."""
    if factor >= EXPLODES:
        return "explodes"
    if factor >= GROWS:
        return "grows"
    if factor > 1 / GROWS:
        return "keeps its size"
    return "shrinks" if factor > 1 / EXPLODES else "vanishes"
