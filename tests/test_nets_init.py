"""Initial weights."""

import pytest
import torch
from torch import nn

from resnet_exp.nets.init import initialise
from tests.helpers import make_net


@pytest.mark.parametrize("block", ["v1", "v2"])
def test_twins_start_from_the_same_tensors(block: str) -> None:
    plain, residual = (make_net(depth=20, shortcut=shortcut, block=block) for shortcut in ("none", "A"))
    initialise(plain, seed=3)
    initialise(residual, seed=3)
    assert plain.state_dict().keys() == residual.state_dict().keys()
    for name, tensor in plain.state_dict().items():
        assert torch.equal(tensor, residual.state_dict()[name]), name


def test_projections_leave_every_other_initial_tensor_alone() -> None:
    identity, projected = (make_net(depth=20, shortcut=shortcut) for shortcut in "AC")
    initialise(identity, seed=3)
    initialise(projected, seed=3)
    for name, tensor in identity.state_dict().items():
        assert torch.equal(tensor, projected.state_dict()[name]), name


def test_initialisation_is_he_normal_and_depends_on_the_seed_alone() -> None:
    first, again, other = (make_net(depth=20, width=64) for _ in range(3))
    initialise(first, seed=0)
    torch.manual_seed(99)
    initialise(again, seed=0)
    initialise(other, seed=1)
    convs = [m for m in first.modules() if isinstance(m, nn.Conv2d)][1:]
    for conv in convs:
        assert conv.weight.std().item() == pytest.approx((2 / (9 * conv.out_channels)) ** 0.5, rel=0.02)
        assert abs(conv.weight.mean().item()) < 0.01
    assert first.fc.bias.count_nonzero() == 0
    assert first.fc.weight.abs().max().item() <= 256**-0.5
    assert torch.equal(first.fc.weight, again.fc.weight)
    assert torch.equal(convs[0].weight, next(m for m in again.layer1.modules() if isinstance(m, nn.Conv2d)).weight)
    assert not torch.equal(first.fc.weight, other.fc.weight)
