"""Shapes, parameters and multiply-adds of every layer."""

import pytest
import torch

from resnet_exp.nets.cost import describe
from resnet_exp.nets.network import Network
from tests.helpers import make_net

PARAMS = {20: 269_722, 56: 853_018, 110: 1_727_962}
MACS = {20: 40.6, 56: 125.5, 110: 252.9}  # millions


def on_meta(**arguments: object) -> Network:
    with torch.device("meta"):
        return make_net(**arguments)


@pytest.mark.parametrize(("depth", "millions"), MACS.items())
def test_description_counts_parameters_and_multiply_adds(depth: int, millions: float) -> None:
    costs = describe(on_meta(depth=depth), image_size=32)
    assert sum(cost.params for cost in costs) == PARAMS[depth]
    assert sum(cost.macs for cost in costs) / 1e6 == pytest.approx(millions, abs=0.05)
    assert sum(cost.kind in ("Conv2d", "Linear") for cost in costs) == depth


@pytest.mark.parametrize("bottleneck", [False, True])
@pytest.mark.parametrize("block", ["v1", "v2"])
@pytest.mark.parametrize("shortcut", ["none", "A", "B", "C"])
@pytest.mark.parametrize("size", [32, 15])
def test_every_kind_of_net_halves_the_map_twice(block: str, shortcut: str, bottleneck: bool, size: int) -> None:
    net = on_meta(depth=20, block=block, shortcut=shortcut, bottleneck=bottleneck, width=8, num_classes=7)
    shapes = {cost.path: cost.shape for cost in describe(net, image_size=size)}
    wide = 4 if bottleneck else 1
    half, quarter = (size + 1) // 2, (size + 3) // 4
    last = f"conv{3 if bottleneck else 2}"
    blocks = 2 if bottleneck else 3
    assert shapes["conv1"] == (8, size, size)
    assert shapes[f"layer1.{blocks - 1}.{last}"] == (8 * wide, size, size)
    assert shapes[f"layer2.{blocks - 1}.{last}"] == (16 * wide, half, half)
    assert shapes[f"layer3.{blocks - 1}.{last}"] == (32 * wide, quarter, quarter)
    assert shapes["fc"] == (7,)
