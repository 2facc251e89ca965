"""What each layer of a net costs for one image: shape, parameters, multiply-adds."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

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
    """What each layer of a net costs for one image of `image_size` pixels a side."""
    # On a CPU: one image takes less time than importing what torch needs to follow shapes on the meta device.
    with torch.random.fork_rng(devices=[]):  # the weights it draws are nobody's
        model = Network(spec, num_classes=num_classes)
    return describe(model, image_size=image_size)


def kind_of(module: nn.Module) -> str:
    """The name that torch has for it or for what it is made from."""
    return next(kind.__name__ for kind in type(module).__mro__ if kind.__module__.startswith("torch."))


def describe(model: nn.Module, *, image_size: int) -> list[LayerCost]:
    """Shape, parameters and multiply-adds of every layer, for one image of `image_size` pixels a side.

    Multiply-adds count convolutions and the head, as [P1] does: each number of their output takes one with each weight
    of its filter.
    """
    layers = [(path, m) for path, m in model.named_modules() if next(m.parameters(recurse=False), None) is not None]
    costs: list[LayerCost] = []

    def record(path: str, module: nn.Module, output: Tensor) -> None:
        params = sum(p.numel() for p in module.parameters(recurse=False))
        macs = output[0].numel() * module.weight[0].numel() if isinstance(module, nn.Conv2d | nn.Linear) else 0
        costs.append(LayerCost(path, kind_of(module), tuple(output.shape[1:]), params, macs))

    hooks = [
        module.register_forward_hook(lambda module, _, output, path=path: record(path, module, output))
        for path, module in layers
    ]
    was_training = model.training
    model.eval()  # a single 1x1 map has no batch statistics
    with torch.no_grad():
        model(torch.empty(1, 3, image_size, image_size, device=next(model.parameters()).device))
    model.train(was_training)
    for hook in hooks:
        hook.remove()
    return costs
