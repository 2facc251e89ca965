"""Initial weights."""

from typing import Any

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


@pytest.mark.parametrize(
    ("settings", "ending"),
    [
        ({"block": "v1"}, "bn2"),
        ({"block": "v1", "bottleneck": True, "depth": 11, "shortcut": "B"}, "bn3"),
        ({"block": "v2"}, "conv2"),
        ({"block": "v1", "norm": "none"}, "conv2"),
        ({"block": "v1", "norm": "none", "layout": "mlp"}, "linear2"),
        ({"block": "v1", "layout": "mlp"}, "bn2"),
    ],
)
def test_zero_init_makes_every_block_its_shortcut(settings: dict[str, Any], ending: str) -> None:
    net, usual = make_net(**settings), make_net(**settings)
    initialise(net, seed=3, zero_init=True)
    initialise(usual, seed=3)
    zeroed = {f"layer{stage}.{i}.{ending}.weight" for stage, of in enumerate(net.stages, 1) for i in range(len(of))}
    for name, tensor in net.state_dict().items():
        assert torch.equal(tensor, torch.zeros_like(tensor) if name in zeroed else usual.state_dict()[name]), name
    seen = []
    for block in net.blocks[1:2]:
        block.register_forward_hook(lambda block, args, out: seen.append((args[0], block.downsample(args[0]), out)))
    net.eval()(torch.randn(4, 3, 32, 32))
    for _, kept, out in seen:
        assert torch.equal(out, torch.relu(kept) if settings["block"] == "v1" else out)
        assert settings["block"] == "v1" or torch.equal(out, kept) or net.blocks[1].activate_before_split


def test_zero_init_leaves_a_plain_net_alone() -> None:
    net, usual = (make_net(shortcut="none") for _ in range(2))
    initialise(net, seed=3, zero_init=True)
    initialise(usual, seed=3)
    assert all(torch.equal(tensor, usual.state_dict()[name]) for name, tensor in net.state_dict().items())
