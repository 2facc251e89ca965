"""What each layer of a net costs for one image: shape, parameters, multiply-adds."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from resnet_exp.nets.network import Network
from resnet_exp.nets.spec import NetSpec


@dataclass(frozen=True)
class LayerCost:
    """One layer with parameters: its path in the net, its output shape for one image, its cost for one image."""

    path: str
    kind: str
    shape: tuple[int, ...]
    params: int
    macs: int  # multiply-adds


def costs_of(spec: NetSpec, *, num_classes: int, image_size: int) -> list[LayerCost]:
    """What each layer of a net costs for one image of `image_size` pixels a side; computes nothing."""
    with torch.device("meta"):
        model = Network(spec, num_classes=num_classes)
    return describe(model, image_size=image_size)


def kind_of(module: nn.Module) -> str:
    """The name that torch has for it or for what it is made from."""
    return next(kind.__name__ for kind in type(module).__mro__ if kind.__module__.startswith("torch."))


def describe(model: nn.Module, *, image_size: int) -> list[LayerCost]:
    """Shape, parameters and multiply-adds of every layer, for one image of `image_size` pixels a side.

    Multiply-adds count convolutions and the head, as [P1] does. Nothing is computed if `model` lies on the meta device.
    """
    layers = [(path, m) for path, m in model.named_modules() if next(m.parameters(recurse=False), None) is not None]
    costs: list[LayerCost] = []
    device = next(model.parameters()).device
    counter = FlopCounterMode(display=False)
    flops_before = 0

    def record(path: str, module: nn.Module, output: Tensor) -> None:
        nonlocal flops_before
        flops = counter.get_total_flops()
        params = sum(p.numel() for p in module.parameters(recurse=False))
        macs = (flops - flops_before) // 2
        costs.append(LayerCost(path, kind_of(module), tuple(output.shape[1:]), params, macs))
        flops_before = flops

    hooks = [
        module.register_forward_hook(lambda module, _, output, path=path: record(path, module, output))
        for path, module in layers
    ]
    was_training = model.training
    model.eval()  # a single 1x1 map has no batch statistics
    with torch.no_grad(), counter:
        model(torch.empty(1, 3, image_size, image_size, device=device))
    model.train(was_training)
    for hook in hooks:
        hook.remove()
    return costs
