"""Shortcuts and 1x1 convolutions."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from resnet_exp.config import NetConfig
from resnet_exp.nets.layers import Conv1x1, PaddedIdentity, Projection, make_shortcut
from resnet_exp.nets.table import net_spec


def test_option_a_takes_every_second_pixel_and_appends_zeros() -> None:
    x = torch.arange(2 * 5 * 5, dtype=torch.float32).view(1, 2, 5, 5)
    y = PaddedIdentity(2, 4, stride=2)(x)
    assert y.shape == (1, 4, 3, 3)
    assert torch.equal(y[0, 0], torch.tensor([[0.0, 2, 4], [10, 12, 14], [20, 22, 24]]))
    assert y[:, 2:].count_nonzero() == 0


@pytest.mark.parametrize("channels", [1, 3, 4, 8, 12, 16])
def test_a_strided_1x1_convolution_computes_the_same_as_torchs(channels: int) -> None:
    """In double precision torch computes it with another library, which may be trusted at any width."""
    torch.manual_seed(0)
    conv = Conv1x1(channels, 8, stride=2).to(memory_format=torch.channels_last)
    for _ in range(5):  # where memory is written out of bounds, not every time shows it
        x = torch.randn(32, channels, 32, 32).contiguous(memory_format=torch.channels_last).requires_grad_()
        y = conv(x)
        weights = torch.randn_like(y)
        found = torch.autograd.grad((y * weights).sum(), [x, conv.weight])
        x_64, weight_64 = x.detach().double().requires_grad_(), conv.weight.detach().double().requires_grad_()
        y_64 = F.conv2d(x_64, weight_64, stride=2)
        expected = torch.autograd.grad((y_64 * weights.double()).sum(), [x_64, weight_64])
        for one, other in zip([y, *found], [y_64, *expected], strict=True):
            assert torch.allclose(one.double(), other, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(
    ("option", "same", "other"),
    [
        ("none", type(None), type(None)),
        ("A", nn.Identity, PaddedIdentity),
        ("B", nn.Identity, Projection),
        ("C", Projection, Projection),
    ],
)
def test_shortcut_options(option: str, same: type, other: type) -> None:
    spec = net_spec(NetConfig(14, "v1", option, False, 8))
    found = [type(make_shortcut(spec, place)) for place in spec.blocks]
    assert found == [same, same, other, same, other, same]
