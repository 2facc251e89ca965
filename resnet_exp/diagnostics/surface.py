"""The loss around a net's weights: Li et al., Visualizing the Loss Landscape of Neural Nets, arXiv 1712.09913.

Along one and two random directions, filter-normalised, the same for all nets of equal shapes; and, where snapshots were
kept, in the plane of the trajectory. Training images as a test shows them, always the same.

The paper evaluates with the stored BN statistics. They belong to the weights in the middle, and away from there they
are wrong, in every layer a little more. So what is measured is the loss with the stored ones (`stored`) and with each
batch's own (`batch`), as in training, which leave the stored ones alone.
"""

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from resnet_exp.compute.watch import kept_statistics
from resnet_exp.diagnostics.case import Case
from resnet_exp.diagnostics.directions import Trajectory, Weights, filter_normalised, movable, moving, principal
from resnet_exp.diagnostics.question import Question
from resnet_exp.nets.network import Network
from resnet_exp.runs.diagnostics import Row

# Images of the line, and of the planes, which have ten times as many points: what a CPU computes in bearable time. A
# net of 56 layers, width 8, on 16x16 pixels takes 8 and 20 seconds on one core.
LINE_IMAGES, PLANE_IMAGES = 256, 64
AT_ONCE = 64  # in a batch, whose own statistics BN takes: equal for lines and planes, else they would not fit together
REACH = 1.0  # how far to go, in norms of the weights
LINE_POINTS, PLANE_POINTS = 41, 21  # from -REACH to REACH; odd, so that the middle is among them
MARGIN = 0.15  # of the trajectory's extent, left around it
SEED = 0  # of the random directions
FEWEST = 3  # steps that make a trajectory

Point = tuple[float, float]


def choices_of(case: Case) -> dict[str, Any]:
    images, path = len(case.parts.dataset.train), trajectory_of(case)
    choices: dict[str, Any] = {
        "line_images": min(LINE_IMAGES, images),
        "plane_images": min(PLANE_IMAGES, images),
        "split": "train, not augmented",
        "batch": AT_ONCE,
        "precision": "float32",
        "directions": "random, filter-normalised; parameters of one dimension are not moved",
        "seed": SEED,
        "reach": REACH,
        "line_points": LINE_POINTS,
        "plane_points": PLANE_POINTS,
        "chance_loss": float(np.log(len(case.parts.dataset.classes))),
        "trajectory_steps": path.steps if path else [],
        "explained": [round(share, 4) for share in path.explained] if path else [],
    }
    return choices


def trajectory_of(case: Case) -> Trajectory | None:
    """That of the weights that were kept; None if they are too few, or never moved. Leaves the newest loaded."""
    if len(case.steps) < FEWEST:
        return None
    return principal(case.steps, [[w.cpu().clone() for w in movable(case.load(step))] for step in case.steps])


def evenly(low: float, high: float, number: int) -> list[float]:
    """Numbers that a table keeps as they are: what is measured already is known by them."""
    return [in_table(value) for value in np.linspace(low, high, number)]


def in_table(value: float) -> float:
    return float(f"{value:.7g}") + 0.0  # -0 becomes 0


def around(path: Trajectory) -> list[Point]:
    """A grid that holds the trajectory, with a margin."""
    axes = []
    for places in zip(*path.coordinates, strict=True):
        margin = MARGIN * (max(places) - min(places))
        axes.append(evenly(min(places) - margin, max(places) + margin, PLANE_POINTS))
    return grid(*axes)


def grid(alphas: Sequence[float], betas: Sequence[float]) -> list[Point]:
    return [(alpha, beta) for alpha in alphas for beta in betas]


@torch.no_grad()
def loss_and_error(model: Network, batches: Sequence[tuple[Tensor, Tensor]]) -> tuple[float, float]:
    """Mean loss and error (%) over images and labels as the net is; what is not finite stays so."""
    loss, wrong, images = 0.0, 0, 0
    for shown, labels in batches:
        logits = model(shown)
        loss += float(F.cross_entropy(logits.double(), labels, reduction="sum"))
        right = (logits.argmax(1) == labels) & ~logits.isnan().any(1)  # of NaN no class is the largest
        wrong, images = wrong + int((~right).sum()), images + len(labels)
    return loss / images, 100 * wrong / images


def batches_of(case: Case, *, most: int) -> list[tuple[Tensor, Tensor]]:
    """Training images as the net sees them, and labels, in batches of about equal size."""
    batches = case.some("train", most=most).batches(most=AT_ONCE)
    return [(case.shown(batch.images), batch.labels) for batch in batches]


def rows_at(model: Network, batches: Sequence[tuple[Tensor, Tensor]], *, modes: Sequence[str], where: Row) -> list[Row]:
    """A row for each kind of BN statistics of the net as it is."""
    rows: list[Row] = []
    for mode in modes:
        with kept_statistics(model, training=True) if mode == "batch" else nullcontext():  # in eval mode none moves
            loss, error = loss_and_error(model, batches)
        order = {"kind": where["kind"], "batch_norm": mode, "step": where["step"]}
        rows.append(order | {"alpha": where["alpha"], "beta": where["beta"], "loss": loss, "error": error})
    return rows


def measure(case: Case, known: Sequence[Row]) -> Iterator[list[Row]]:
    """A piece for each point of the line, the plane, the trajectory and its plane: a row a kind of BN statistics."""
    done = {key(row) for row in known}
    modes = case.modes[::-1]
    path = trajectory_of(case)
    try:
        random = filter_normalised(movable(case.load(case.steps[-1])), seed=SEED, number=2)
        line = [(alpha, 0.0) for alpha in evenly(-REACH, REACH, LINE_POINTS)]
        yield from walk(case, "line", random, line, most=LINE_IMAGES, modes=modes, done=done)
        places = evenly(-REACH, REACH, PLANE_POINTS)
        yield from walk(case, "plane", random, grid(places, places), most=PLANE_IMAGES, modes=modes, done=done)
        if path is not None:
            yield from along(case, path, modes=modes, done=done)
            axes = [[part.to(case.parts.device) for part in axis] for axis in path.directions]
            # With a batch's own statistics alone: so far away the stored ones of the last weights say nothing.
            yield from walk(case, "pca", axes, around(path), most=PLANE_IMAGES, modes=modes[-1:], done=done)
    finally:
        case.load(case.steps[-1])


def key(row: Row) -> tuple[str | float, ...]:
    """What tells a piece from others."""
    return row["kind"], row["step"], row["alpha"], row["beta"]


def walk(
    case: Case,
    kind: str,
    directions: Sequence[Weights],
    points: Sequence[Point],
    *,
    most: int,
    modes: Sequence[str],
    done: set[tuple[str | float, ...]],
) -> Iterator[list[Row]]:
    """The loss at points around the newest weights, which are unknown yet."""
    step, batches = case.steps[-1], batches_of(case, most=most)
    with moving(case.load(step)) as net:
        for alpha, beta in points:
            where: Row = {"kind": kind, "step": step, "alpha": alpha, "beta": beta}
            if key(where) not in done:
                net.go(directions, (alpha, beta))
                yield rows_at(case.model, batches, modes=modes, where=where)


def along(
    case: Case, path: Trajectory, *, modes: Sequence[str], done: set[tuple[str | float, ...]]
) -> Iterator[list[Row]]:
    """The loss of the net itself at every step that was kept, with the BN parameters of that step, and where it is."""
    batches = batches_of(case, most=PLANE_IMAGES)
    for step, (alpha, beta) in zip(path.steps, path.coordinates, strict=True):
        where: Row = {"kind": "trajectory", "step": step, "alpha": in_table(alpha), "beta": in_table(beta)}
        if key(where) not in done:
            yield rows_at(case.load(step), batches, modes=modes, where=where)


def pieces(case: Case) -> int:
    path = trajectory_of(case)
    return LINE_POINTS + PLANE_POINTS**2 + (len(path.steps) + PLANE_POINTS**2 if path else 0)


QUESTION = Question("surface", choices_of, pieces, measure)
