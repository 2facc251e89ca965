"""Ridge regression (Hoerl and Kennard 1970) in closed form, in float64.

How strongly it shrinks is chosen by generalised cross-validation (Golub, Heath and Wahba 1979): the squared error of
leaving out one image after another, as if each had the mean leverage. It follows from one eigendecomposition for every
penalty at once, asks for no second split, and draws nothing at random.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

# What is added to every eigenvalue of the features' covariance, over their mean: so it does not depend on their scale.
# The least lets an exact map through, the greatest leaves little but the mean.
PENALTIES = tuple(10.0**power for power in range(-6, 4))
RANK = 1e-12  # of the largest eigenvalue: below it lies what rounding float32 features makes of no variance


@dataclass(frozen=True)
class Ridge:
    """What was fitted: targets = (features - `centre`) @ `weights` + `mean`.

    Args:
        centre: (F,), of the features it was fitted on.
        weights: (F, T).
        mean: (T,), of the targets it was fitted on.
        penalty: the one of PENALTIES that was chosen.
    """

    centre: Tensor
    weights: Tensor
    mean: Tensor
    penalty: float

    def __call__(self, features: Tensor) -> Tensor:
        """(N, F) -> (N, T) float64."""
        return (features.double() - self.centre) @ self.weights + self.mean


def fit_ridge(features: Tensor, *targets: Tensor) -> list[Ridge]:
    """The ridge regression from features (N, F) to each of several targets (N, T), all finite, N at least 2.

    Each has a constant that is not shrunk, and its own penalty, one for all of its columns.
    """
    centre = features.double().mean(0)
    inputs = features.double() - centre
    eigenvalues, axes = torch.linalg.eigh(inputs.T @ inputs)
    kept = eigenvalues > RANK * eigenvalues[-1]
    unit = eigenvalues[kept].sum() / len(eigenvalues)
    eigenvalues, axes = eigenvalues[kept], axes[:, kept]  # (R,), (F, R)
    shrinks = {penalty: eigenvalues / (eigenvalues + penalty * unit) for penalty in PENALTIES}
    found = []
    for target in targets:
        mean = target.double().mean(0)
        outputs = target.double() - mean
        along = axes.T @ (inputs.T @ outputs) / eigenvalues.sqrt()[:, None]  # (R, T), on orthonormal axes of images
        explicable = along.square().sum(1)
        beyond = outputs.square().sum() - explicable.sum()
        scores = [
            (beyond + ((1 - shrink).square() * explicable).sum()) / (1 - (1 + shrink.sum()) / len(inputs)).square()
            for shrink in shrinks.values()
        ]
        penalty = PENALTIES[int(torch.stack(scores).argmin())]
        weights = axes @ ((shrinks[penalty] / eigenvalues.sqrt())[:, None] * along)
        found.append(Ridge(centre, weights, mean, penalty))
    return found


def explained(predicted: Tensor, targets: Tensor, *, mean: Tensor) -> float:
    """R^2: the share of the targets' variance that a prediction explains, all of (N, T) together.

    Args:
        mean: (T,), what somebody would say who sees no feature: that of the images fitted on. Who says so has 0.
    """
    return 1 - float((targets - predicted).square().sum() / (targets - mean).square().sum())
