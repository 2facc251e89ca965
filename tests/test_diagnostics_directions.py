"""Directions in weight space, against slow loops and trajectories whose plane is known."""

import math

import numpy as np
import pytest
import torch

from resnet_exp.diagnostics.directions import filter_normalised, movable, moving, principal
from tests.helpers import make_net


def test_what_is_moved_are_kernels_and_matrices() -> None:
    model = make_net(width=4, shortcut="B", seed=0)
    moved = {weight.data_ptr() for weight in movable(model)}
    names = {name for name, parameter in model.named_parameters() if parameter.data_ptr() in moved}
    kept = {name for name, _ in model.named_parameters()} - names
    assert {"conv1.weight", "layer2.0.downsample.0.weight", "fc.weight"} <= names
    assert {"bn1.weight", "bn1.bias", "layer2.0.downsample.1.weight", "fc.bias"} <= kept
    assert not any("bn" in name or "bias" in name for name in names)


def test_every_filter_has_the_norm_of_the_nets_own() -> None:
    weights = movable(make_net(width=4, seed=0))
    generator = torch.Generator().manual_seed(7)
    for direction in filter_normalised(weights, seed=7, number=2):
        for w, d in zip(weights, direction, strict=True):
            drawn = torch.randn(w.shape, generator=generator)
            for index in range(len(w)):
                own, ours = drawn[index].flatten().tolist(), w[index].flatten().tolist()
                factor = math.sqrt(sum(x * x for x in ours)) / math.sqrt(sum(x * x for x in own))
                np.testing.assert_allclose(d[index].flatten(), [x * factor for x in own], rtol=1e-5)


def test_nets_of_equal_shapes_get_the_same_directions_before_each_is_scaled() -> None:
    plain, residual = (movable(make_net(width=4, shortcut=shortcut, seed=s)) for shortcut, s in (("none", 0), ("A", 1)))
    for one, other in zip(
        filter_normalised(plain, seed=0, number=2), filter_normalised(residual, seed=0, number=2), strict=True
    ):
        for d, e in zip(one, other, strict=True):
            d, e = (x.flatten(1) / x.flatten(1).norm(dim=1, keepdim=True) for x in (d, e))
            torch.testing.assert_close(d, e)
    first, second = filter_normalised(plain, seed=0, number=2)
    again = filter_normalised(plain, seed=0, number=1)[0]
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], second[0])
    assert not torch.equal(first[0], filter_normalised(plain, seed=1, number=1)[0][0])


def test_a_filter_of_zeros_stays_and_layouts_are_kept() -> None:
    model = make_net(width=4, seed=0).to(memory_format=torch.channels_last)
    weights = movable(model)
    weights[1][2] = 0
    (direction,) = filter_normalised(weights, seed=0, number=1)
    assert float(direction[1][2].abs().max()) == 0
    assert direction[1].is_contiguous(memory_format=torch.channels_last)


def test_a_walk_begins_at_the_same_place_each_time_and_ends_there() -> None:
    model = make_net(width=4, seed=0)
    before = [weight.clone() for weight in movable(model)]
    one, other = filter_normalised(before, seed=0, number=2)
    with moving(model) as net:
        for _ in range(3):
            net.go((one, other), (0.5, -0.25))
        for weight, start, a, b in zip(movable(model), before, one, other, strict=True):
            np.testing.assert_allclose(weight, start.double() + 0.5 * a.double() - 0.25 * b.double(), atol=1e-6)
        net.go((one, other), (0.0, 0.0))
        assert all(torch.equal(weight, start) for weight, start in zip(movable(model), before, strict=True))
        net.go((one,), (1.0,))
    assert all(torch.equal(weight, start) for weight, start in zip(movable(model), before, strict=True))


def steps_in_plane(*places: tuple[float, float]) -> tuple[list[list[torch.Tensor]], list[torch.Tensor]]:
    """Weights of two tensors at places of a plane, whose axes of length 1 are given, too."""
    axes, _ = torch.linalg.qr(torch.randn(14, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(3)))
    centre = torch.arange(14, dtype=torch.float64)
    flat = [(centre + a * axes[:, 0] + b * axes[:, 1]).float() for a, b in places]
    return [[one[:6].reshape(2, 3), one[6:].reshape(2, 2, 2, 1)] for one in flat], [axes[:, 0], axes[:, 1]]


def test_a_trajectory_in_a_plane_is_all_explained() -> None:
    places = [(9.0, 1.0), (4.0, -2.0), (1.0, 0.5), (0.0, 0.0)]
    weights, axes = steps_in_plane(*places)
    found = principal([0, 10, 20, 30], weights)
    assert found is not None
    assert sum(found.explained) == pytest.approx(1)
    expected = np.linalg.svd(np.array(places) - np.mean(places, 0), compute_uv=False) ** 2
    np.testing.assert_allclose(found.explained, expected / expected.sum(), rtol=1e-5)
    first, second = (torch.cat([part.flatten() for part in axis]).double() for axis in found.directions)
    assert [float(first @ first), float(second @ second), float(first @ second)] == pytest.approx([1, 1, 0], abs=1e-5)
    for (alpha, beta), place in zip(found.coordinates, places, strict=True):
        np.testing.assert_allclose(alpha * first + beta * second, place[0] * axes[0] + place[1] * axes[1], atol=1e-5)
    assert found.coordinates[-1] == (0, 0)
    assert found.coordinates[0] > (0, 0)
    assert found.steps == [0, 10, 20, 30]


def test_components_are_those_of_a_slow_decomposition() -> None:
    generator = torch.Generator().manual_seed(1)
    weights = [[torch.randn(3, 4, generator=generator), torch.randn(2, 5, generator=generator)] for _ in range(6)]
    found = principal(range(6), weights)
    assert found is not None
    flat = np.array([np.concatenate([w.double().numpy().ravel() for w in one]) for one in weights])
    _, values, rows = np.linalg.svd(flat - flat.mean(0), full_matrices=False)
    np.testing.assert_allclose(found.explained, (values**2 / (values**2).sum())[:2], rtol=1e-6)
    for axis, direction, row in zip((0, 1), found.directions, rows, strict=False):
        ours = torch.cat([part.flatten() for part in direction]).double().numpy()
        assert abs(ours @ row) == pytest.approx(1, abs=1e-6)
        np.testing.assert_allclose([place[axis] for place in found.coordinates], (flat - flat[-1]) @ ours, atol=1e-5)


def test_without_a_plane_there_is_no_trajectory() -> None:
    on_a_line, _ = steps_in_plane((0.0, 0.0), (1.0, 0.0), (3.0, 0.0))
    still, _ = steps_in_plane((1.0, 1.0), (1.0, 1.0), (1.0, 1.0))
    two, _ = steps_in_plane((0.0, 0.0), (1.0, 2.0))
    assert principal([0, 1, 2], on_a_line) is None
    for lost in (math.nan, math.inf):
        moved, _ = steps_in_plane((9.0, 1.0), (4.0, -2.0), (0.0, 0.0))
        assert principal([0, 1, 2], moved) is not None
        moved[1][0][0, 0] = lost
        assert principal([0, 1, 2], moved) is None
    assert principal([0, 1, 2], still) is None
    assert principal([0, 1], two) is None
