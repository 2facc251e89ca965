"""The weights that a net begins with."""

import math

import torch
from torch import nn

from resnet_exp.nets.layers import Projection
from resnet_exp.nets.network import Network


def initialise(model: Network, *, seed: int, zero_init: bool = False) -> None:
    """He initialisation in place, drawn on the CPU from `seed` alone ([P1] 4.2 after arXiv 1502.01852).

    Convolutions and hidden layers: normal with variance 2 / (k * k * out_channels); the last layer: uniform in
    +-1/sqrt(in_features); biases zero; BN: one and zero. These are the choices of the authors' released code for [P2].
    Projections draw last, so nets that differ only in their shortcuts start from the same tensors everywhere else.

    Args:
        zero_init: residual branches start at zero (Goyal et al., arXiv 1706.02677, 5.1), so that every block starts as
            its shortcut: the scale of the BN that ends a branch, or the weights of the layer that does, are zero. Plain
            nets have no such branch and start as ever.
    """
    generator = torch.Generator().manual_seed(seed)
    layers = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    projections = {m for s in model.modules() if isinstance(s, Projection) for m in s.modules()}
    with torch.no_grad():
        for layer in sorted(layers, key=lambda m: m in projections):
            weight = torch.empty(layer.weight.shape)
            if layer is model.fc:
                bound = 1 / math.sqrt(layer.in_features)
                layer.weight.copy_(weight.uniform_(-bound, bound, generator=generator))
            else:
                fan_out = layer.weight[:, 0].numel()  # k * k * out_channels
                layer.weight.copy_(weight.normal_(0.0, math.sqrt(2 / fan_out), generator=generator))
            if layer.bias is not None:
                layer.bias.zero_()
        if zero_init and model.spec.shortcut != "none":
            for block in model.blocks:
                nn.init.zeros_(block.ending.get_parameter("weight"))
