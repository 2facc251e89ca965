"""Which layers a net has, in the order in which an image meets them."""

import torch

from resnet_exp.diagnostics.layers import layers_of
from tests.helpers import make_net


def met(**net: object) -> list[str]:
    """The names of all layers and norms, in the order in which a forward pass calls them; no projection, no head."""
    model = make_net(seed=0, **net)
    order: list[str] = []
    for name, module in model.named_modules():
        if not list(module.children()) and "downsample" not in name and name != "fc":
            module.register_forward_hook(lambda m, i, o, name=name: order.append(name))
    size = 8
    model.eval()(torch.zeros(1, 3, size, size))
    return order


def shown(**net: object) -> list[str]:
    """What `layers_of` says of the same."""
    model = make_net(**net)
    names = {module: name for name, module in model.named_modules()}
    return [part for layer in layers_of(model) for part in (layer.name, *([names[layer.norm]] if layer.norm else []))]


def test_post_activation_nets_are_met_in_that_order() -> None:
    for net in ({"shortcut": "none"}, {"shortcut": "A"}, {"shortcut": "B"}, {"bottleneck": True, "depth": 11}):
        assert met(width=4, **net) == shown(width=4, **net), net


def test_in_pre_activation_nets_no_bn_follows_the_last_layer_of_a_block() -> None:
    model = make_net(block="v2", width=4)
    norms = [layer.norm for layer in layers_of(model)]
    assert [norm is None for norm in norms] == [True, *[False, True] * 3]
    order = [name for name in met(block="v2", width=4) if "conv" in name]
    assert [layer.name for layer in layers_of(model)] == order
    assert norms[1] is model.get_submodule("layer1.0.bn2")


def test_stages_and_blocks_are_counted_from_the_stem() -> None:
    layers = layers_of(make_net(depth=14, width=4))
    assert [layer.stage for layer in layers] == [0, *[1] * 4, *[2] * 4, *[3] * 4]
    assert [layer.block for layer in layers] == [0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6]
    assert all(layer.norm is None for layer in layers_of(make_net(norm="none", width=4)))


def test_fully_connected_nets_have_layers_too() -> None:
    layers = layers_of(make_net(depth=6, layout="mlp", width=8))
    assert [layer.name for layer in layers][:3] == ["linear1", "layer1.0.linear1", "layer1.0.linear2"]
    assert len(layers) == 5
