"""Ridge regression against a slow, obvious one, and where the answer is known."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from resnet_exp.diagnostics.ridge import PENALTIES, explained, fit_ridge

Floats = NDArray[np.float64]


def draws(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def noisy(images: int, features: int, targets: int, *, noise: float) -> tuple[Tensor, Tensor]:
    """Features of unequal size around 3, and targets that follow from them but for noise."""
    x = draws(images, features) * torch.linspace(0.1, 2, features, dtype=torch.float64) + 3
    return x, x @ draws(features, targets, seed=1) + 5 + noise * draws(images, targets, seed=2)


def design(x: Floats) -> Floats:
    return np.hstack([np.ones((len(x), 1)), x])


def slow_ridge(x: Floats, y: Floats, penalty: float) -> tuple[Floats, Floats]:
    """Normal equations, sum by sum, with a constant that is not shrunk: its coefficients (1 + F, T); and the hat matrix
    (N, N), which makes fitted targets of targets."""
    images, features = x.shape
    centred = x - x.mean(0)
    size = sum(centred[i, j] ** 2 for i in range(images) for j in range(features)) / features
    rows, wide = design(x), features + 1
    normal = np.zeros((wide, wide))
    for a in range(wide):
        for b in range(wide):
            normal[a, b] = sum(rows[i, a] * rows[i, b] for i in range(images))
        if a > 0:
            normal[a, a] += penalty * size
    solved = np.linalg.inv(normal) @ rows.T
    return solved @ y, rows @ solved


@pytest.mark.parametrize("noise", [0.0, 1.0, 3.0, 4.0, 5.0, 30.0])
def test_it_agrees_with_the_slow_one_penalty_included(noise: float) -> None:
    x, y = noisy(12, 6, 2, noise=noise)
    scores, fits = {}, {}
    for penalty in PENALTIES:
        fits[penalty], hat = slow_ridge(x.numpy(), y.numpy(), penalty)
        left = y.numpy() - hat @ y.numpy()
        scores[penalty] = np.sum(left**2) / (1 - np.trace(hat) / 12) ** 2  # generalised cross-validation
    (fitted,) = fit_ridge(x, y)
    assert fitted.penalty == min(scores, key=lambda penalty: scores[penalty])
    fresh = draws(7, 6, seed=3)
    np.testing.assert_allclose(fitted(fresh), design(fresh.numpy()) @ fits[fitted.penalty], rtol=1e-6)


def test_the_penalty_grows_with_the_noise() -> None:
    penalties = [fit_ridge(*noisy(40, 20, 3, noise=noise))[0].penalty for noise in (0.0, 1.0, 30.0)]
    assert penalties[0] == PENALTIES[0]
    assert penalties == sorted(set(penalties))


def test_of_several_targets_each_is_fitted_alone() -> None:
    x, y = noisy(40, 20, 3, noise=0.0)
    other = draws(40, 4, seed=9)
    together = fit_ridge(x, y, other)
    for one, target in zip(together, (y, other), strict=True):
        (alone,) = fit_ridge(x, target)
        assert one.penalty == alone.penalty
        assert torch.equal(one.weights, alone.weights)
    assert together[0].penalty != together[1].penalty


def test_the_scale_of_the_features_does_not_matter() -> None:
    x, y = noisy(40, 20, 3, noise=1.0)
    (one,), (other,) = fit_ridge(x, y), fit_ridge(1e6 * x, y)
    fresh = draws(7, 20, seed=3)
    torch.testing.assert_close(other(1e6 * fresh), one(fresh))


def test_fewer_units_than_features_and_fewer_images_too() -> None:
    few = draws(30, 3)
    x = (few @ draws(3, 50, seed=1)).float()  # of rank 3, as rounded as a net's
    (fitted,) = fit_ridge(x[:20], few[:20])
    assert explained(fitted(x[20:]), few[20:], mean=fitted.mean) > 1 - 1e-9


def test_features_that_are_all_the_same_tell_nothing() -> None:
    y = draws(30, 2)
    (fitted,) = fit_ridge(torch.full((20, 4), 0.1), y[:20])
    assert torch.equal(fitted(torch.full((10, 4), 0.1)), y[:20].mean(0).expand(10, 2))
    assert explained(fitted(torch.full((10, 4), 0.1)), y[20:], mean=fitted.mean) == 0


def test_what_is_explained() -> None:
    y = torch.tensor([[0.0, 10.0], [2.0, 10.0]])
    mean = torch.tensor([1.0, 10.0])
    assert explained(y, y, mean=mean) == 1
    assert explained(mean.expand(2, 2), y, mean=mean) == 0
    assert explained(y + torch.tensor([0.5, 0.0]), y, mean=mean) == 0.75
    assert explained(2 * mean - y, y, mean=mean) == -3
