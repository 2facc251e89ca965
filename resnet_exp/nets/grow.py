"""The constructed solution of [P1] section 1: a deeper net that computes what a shallower one does.

"There exists a solution by construction to the deeper model: the added layers are identity mapping, and the other
layers are copied from the learned shallower model." Blocks are added at the end of each stage, where the map has one
shape and, in a v1 net, no number is negative.

- Plain: every added layer is a Dirac kernel (an identity matrix in a fully connected net), a BN that undoes itself, and
  a ReLU, which passes what is not negative. With mean m and variance v of its own input as statistics, gamma =
  sqrt(v + eps) and beta = m make BN the identity: in eval mode up to rounding, in train mode up to the difference
  between a batch's statistics and these. Statistics of 0 and 1 would do in eval mode alone: in train mode such a layer
  gives every channel a new mean and size. Without BN it is exact.
- Residual: what ends the branch is zero (the scale and shift of the last BN; in v2, or without BN, the last layer's
  weights), all else is as drawn. Exact in both modes.

[P1] He et al., Deep Residual Learning, arXiv 1512.03385.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from resnet_exp.nets.deeper import check_grows
from resnet_exp.nets.layers import BatchNorm
from resnet_exp.nets.network import Block, Network
from resnet_exp.nets.spec import NetSpec

Moments = tuple[Tensor, Tensor]  # mean and variance of each channel, each (C,)


@torch.no_grad()
def grow(model: Network, weights: Mapping[str, Tensor], shallow: NetSpec, *, moments: Sequence[Moments]) -> None:
    """Makes the deeper net compute what the shallower one does, in place.

    Args:
        model: the deeper net as drawn from its seed, which is what the rest of an added residual block keeps.
        weights: the shallower net's state dict.
        shallow: its description.
        moments: of what leaves each of its stages, as it is in training.

    Raises:
        ValueError: it is no shallower net of the same kind.
    """
    check_grows(shallow, model.spec)
    model.load_state_dict(dict(weights), strict=False)  # blocks are counted from a stage's first: the names agree
    for blocks, stage, (mean, variance) in zip(model.stages, shallow.stages, moments, strict=True):
        for block in list(blocks)[stage.blocks :]:
            assert isinstance(block, Block)
            if model.spec.shortcut == "none":
                pass_on(block, mean=mean, variance=variance)
            else:
                for parameter in block.ending.parameters():
                    parameter.zero_()


def pass_on(block: Block, *, mean: Tensor, variance: Tensor) -> None:
    """Makes a plain v1 block the identity for inputs >= 0 with these moments, each (C,)."""
    for layer, norm in zip(block.layers, block.norms, strict=True):
        make_identity(layer)
        if isinstance(norm, BatchNorm):
            assert norm.running_mean is not None
            assert norm.running_var is not None
            norm.running_mean.copy_(mean)
            norm.running_var.copy_(variance)
            norm.weight.copy_((norm.running_var + norm.eps).sqrt())
            norm.bias.copy_(mean)


def make_identity(layer: nn.Module) -> None:
    """Makes a layer of equally many inputs and outputs pass its input on."""
    assert isinstance(layer, nn.Conv2d | nn.Linear)
    layer.weight.zero_()
    middle: Tensor = layer.weight  # (C, C), or (C, C, k, k), of which the pixel in the middle is k // 2 from the first
    for size in layer.weight.shape[2:]:
        middle = middle[:, :, size // 2]
    middle.fill_diagonal_(1.0)
    if layer.bias is not None:
        layer.bias.zero_()
