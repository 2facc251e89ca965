"""Shapes, parameters and multiply-adds of every layer."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from resnet_exp.nets.cost import costs_of, largest_output
from resnet_exp.nets.network import Network
from resnet_exp.nets.spec import BlockSpec, Head, NetSpec, Stage, Stem
from tests.helpers import make_net

PARAMS = {20: 269_722, 56: 853_018, 110: 1_727_962}
MACS = {20: 40.6, 56: 125.5, 110: 252.9}  # millions


def spec_of(**settings: Any) -> NetSpec:
    with torch.device("meta"):
        return make_net(**settings).spec


@pytest.mark.parametrize(("depth", "millions"), MACS.items())
def test_parameters_and_multiply_adds_are_counted(depth: int, millions: float) -> None:
    costs = costs_of(spec_of(depth=depth), num_classes=10, image_size=32)
    assert sum(cost.params for cost in costs) == PARAMS[depth]
    assert sum(cost.macs for cost in costs) / 1e6 == pytest.approx(millions, abs=0.05)
    assert sum(cost.kind in ("Conv2d", "Linear") for cost in costs) == depth


@pytest.mark.parametrize("bottleneck", [False, True])
@pytest.mark.parametrize("block", ["v1", "v2"])
@pytest.mark.parametrize("shortcut", ["none", "A", "B", "C"])
@pytest.mark.parametrize("size", [32, 15])
def test_every_kind_of_net_halves_the_map_twice(block: str, shortcut: str, bottleneck: bool, size: int) -> None:
    spec = spec_of(depth=20, block=block, shortcut=shortcut, bottleneck=bottleneck, width=8)
    shapes = {cost.path: cost.shape for cost in costs_of(spec, num_classes=7, image_size=size)}
    wide = 4 if bottleneck else 1
    half, quarter = (size + 1) // 2, (size + 3) // 4
    last = f"conv{3 if bottleneck else 2}"
    blocks = 2 if bottleneck else 3
    assert shapes["conv1"] == (8, size, size)
    assert shapes[f"layer1.{blocks - 1}.{last}"] == (8 * wide, size, size)
    assert shapes[f"layer2.{blocks - 1}.{last}"] == (16 * wide, half, half)
    assert shapes[f"layer3.{blocks - 1}.{last}"] == (32 * wide, quarter, quarter)
    assert shapes["fc"] == (7,)


CIFAR = (Stage(2, 16), Stage(2, 32, stride=2))
SPECS = {
    "cifar": NetSpec(Stem(16), CIFAR),
    "pre": NetSpec(Stem(8), CIFAR, order="pre", shortcut="C"),
    "bottleneck": NetSpec(Stem(16), (Stage(2, 64), Stage(1, 128, stride=2)), BlockSpec((1, 3, 1), narrow=4)),
    "strided late": NetSpec(Stem(4), (Stage(1, 64, stride=3),), BlockSpec((3, 3), strided=1), shortcut="B"),
    "narrow, strided late": NetSpec(Stem(4), (Stage(1, 64, stride=2),), BlockSpec((1, 3, 1), 2, strided=1)),
    "imagenet": NetSpec(Stem(64, kernel=7, stride=2, pool=True), (Stage(1, 64), Stage(1, 512, stride=2))),
    "vgg": NetSpec(
        None,
        (Stage(1, 8, pool=True), Stage(2, 40, pool=True)),
        BlockSpec((3,), bias=True),
        shortcut="none",
        head=Head(2, (6000,)),
    ),
    "fully connected": NetSpec(Stem(70, kernel=0), (Stage(2, 70),), BlockSpec((0, 0)), norm="none"),
    "fully connected with BN": NetSpec(Stem(5, kernel=0), (Stage(2, 7),), BlockSpec((0, 0)), shortcut="none"),
    "wide head": NetSpec(None, (Stage(1, 8, pool=True),), BlockSpec((3,)), shortcut="none", head=Head(2, (90_000,))),
}


@pytest.mark.parametrize("size", [64, 33])
@pytest.mark.parametrize("name", SPECS)
def test_each_layer_is_that_of_the_net_itself(name: str, size: int) -> None:
    """Its path, kind, output, parameters and multiply-adds, in the order in which it computes; the largest output."""
    spec = SPECS[name]
    if spec.stem and spec.stem.kernel == 0:
        spec = replace(spec, stem=replace(spec.stem, inputs=3 * size**2))
    with torch.device("meta"):
        net = Network(spec, num_classes=3)
        found = []

        def record(path: str, layer: nn.Module, out: Tensor) -> None:
            params = sum(tensor.numel() for tensor in layer.parameters(recurse=False))
            macs = 0 if isinstance(layer, nn.BatchNorm2d) else out[0].numel() * layer.weight[0].numel()
            kind = next(kind for kind in (nn.Conv2d, nn.Linear, nn.BatchNorm2d) if isinstance(layer, kind))
            found.append((path, kind.__name__, tuple(out.shape[1:]), params, macs))

        for path, module in net.named_modules():
            if [*module.parameters(recurse=False)]:
                module.register_forward_hook(lambda layer, _, out, path=path: record(path, layer, out))
        net.eval()(torch.empty(1, 3, size, size))
    costs = costs_of(spec, num_classes=3, image_size=size)
    assert [(cost.path, cost.kind, cost.shape, cost.params, cost.macs) for cost in costs] == found
    assert largest_output(spec, image_size=size) == max(math.prod(shape) for _, _, shape, _, _ in found)


@pytest.mark.parametrize(
    "settings",
    [
        {"depth": 8},
        {"depth": 8, "block": "v2", "shortcut": "B"},
        {"depth": 11, "bottleneck": True, "shortcut": "C"},
        {"depth": 11, "bottleneck": True, "bottleneck_stride": "3x3", "shortcut": "none"},
        {"depth": 10, "layout": "imagenet", "blocks": (1, 1, 1, 1)},
        {"depth": 8, "layout": "vgg", "shortcut": "none", "blocks": (2, 1, 1, 1), "norm": "none"},
    ],
    ids=str,
)
def test_a_layer_sees_what_can_change_it(settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """The gradient of one number of its output, in the middle, reaches that far into the image."""
    monkeypatch.setattr(torch.nn.functional, "max_pool2d", torch.nn.functional.avg_pool2d)  # any could be the largest
    net = make_net(**({"width": 2} | settings)).double().eval()
    for parameter in net.parameters():
        torch.nn.init.uniform_(parameter, 0.5, 1.0)  # positive: nothing cancels, and no ReLU is dead
    size = 257 if settings.get("layout") == "imagenet" else 129
    images = torch.rand(1, 3, size, size, dtype=torch.float64, requires_grad=True)
    outputs: dict[str, Tensor] = {}
    for path, module in net.named_modules():
        if isinstance(module, nn.Conv2d | nn.BatchNorm2d) and "downsample" not in path:
            module.register_forward_hook(lambda _, __, out, path=path: outputs.setdefault(path, out))
    net(images)
    seen = {cost.path: cost.receptive_field for cost in costs_of(net.spec, num_classes=10, image_size=size)}
    for path, out in outputs.items():
        middle = out.shape[-1] // 2
        (gradient,) = torch.autograd.grad(out[0, :, middle, middle].sum(), images, retain_graph=True)
        columns = gradient[0].abs().sum((0, 1)).nonzero().flatten()
        assert int(columns[-1] - columns[0]) + 1 == seen[path], path
