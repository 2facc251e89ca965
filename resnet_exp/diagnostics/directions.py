"""Directions in the space of a net's weights, and the way along them: Li et al., arXiv 1712.09913, sections 4 and 7.

What is moved are the parameters with more than one dimension, the kernels and matrices. Those of BN and biases stay
where they are.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from resnet_exp.nets.network import Network

Weights = list[Tensor]  # the movable parameters of a net, in its order, or something of their shapes


def movable(model: Network) -> Weights:
    """The parameters of more than one dimension, themselves."""
    return [parameter.detach() for parameter in model.parameters() if parameter.dim() > 1]


def filter_normalised(weights: Weights, *, seed: int, number: int) -> list[Weights]:
    """`number` random directions; nets of equal shapes get the same ones before each is scaled to its net.

    Every slice along the first index, a filter or the weights of a unit, gets the norm that it has in `weights`.
    Otherwise a net whose weights are large would look flat, though with BN their size changes nothing. Section 4.
    """
    generator = torch.Generator().manual_seed(seed)
    directions = []
    for _ in range(number):
        drawn = [torch.randn(weight.shape, generator=generator).to(weight.device) for weight in weights]
        directions.append([laid_out_as(d * norms(w) / norms(d), w) for d, w in zip(drawn, weights, strict=True)])
    return directions


def norms(weight: Tensor) -> Tensor:
    """Of each slice along the first index, (C, ...) -> (C, 1, ...)."""
    return weight.flatten(1).norm(dim=1).reshape(-1, *[1] * (weight.dim() - 1))


def laid_out_as(values: Tensor, weight: Tensor) -> Tensor:
    """The same values in the memory layout of `weight`: sums of two layouts are slow."""
    return torch.empty_like(weight).copy_(values)


@contextmanager
def moving(model: Network) -> Iterator["Walk"]:
    """Within it the net's weights can be moved; behind it they are what they were."""
    walk = Walk(movable(model))
    try:
        yield walk
    finally:
        walk.go([], [])


class Walk:
    """Moves weights away from where they were when it began."""

    def __init__(self, weights: Weights) -> None:
        self.weights = weights
        self.start = [weight.clone() for weight in weights]

    @torch.no_grad()
    def go(self, directions: Sequence[Weights], distances: Sequence[float]) -> None:
        """To start + the sum of distance * direction; from the start each time, so that no error adds up."""
        torch._foreach_copy_(self.weights, self.start)
        for direction, distance in zip(directions, distances, strict=True):
            torch._foreach_add_(self.weights, direction, alpha=distance)


@dataclass(frozen=True)
class Trajectory:
    """The way of the weights through training, seen in the plane in which it varies most.

    Args:
        steps: at which the weights are known.
        coordinates: in the plane, one pair a step; those of the last are 0, 0.
        directions: the plane's axes, orthogonal and of length 1.
        explained: the share of the trajectory's variance along each.
    """

    steps: list[int]
    coordinates: list[tuple[float, float]]
    directions: list[Weights]
    explained: tuple[float, float]


def principal(steps: Sequence[int], weights: Sequence[Weights]) -> Trajectory | None:
    """The first two principal components of the weights minus the last ones; section 7.

    The last weights count as a point of the trajectory, too, and the plane goes through them. None: the weights moved
    along less than two directions, or some are not finite, of a run that diverged.
    """
    if not all(torch.isfinite(weight).all() for one in weights for weight in one):
        return None
    away = torch.stack([torch.cat([w.double().flatten() for w in one]) for one in weights])  # (steps, parameters)
    away -= away[-1].clone()
    centred = away - away.mean(0)
    values, vectors = torch.linalg.eigh(centred @ centred.T)  # of the small matrix, (steps, steps), rising
    if not len(steps) > 2 or not values[-2] > 1e-9 * values[-1]:
        return None
    axes = vectors[:, [-1, -2]].T @ centred  # (2, parameters)
    axes /= axes.norm(dim=1, keepdim=True)
    coordinates = away @ axes.T  # (steps, 2)
    signs = torch.where(coordinates[0] < 0, -1.0, 1.0)  # an axis has two: training begins on the positive side
    shares = values[[-1, -2]] / values.clamp(min=0).sum()
    return Trajectory(
        steps=list(steps),
        coordinates=[(float(a), float(b)) for a, b in coordinates * signs],
        directions=[shaped(axis, weights[-1]) for axis in axes * signs[:, None]],
        explained=(float(shares[0]), float(shares[1])),
    )


def shaped(values: Tensor, weights: Weights) -> Weights:
    """Numbers in a row, (parameters,), as something of the shapes of `weights`."""
    parts = values.split([weight.numel() for weight in weights])
    return [laid_out_as(part.reshape(weight.shape), weight) for part, weight in zip(parts, weights, strict=True)]
