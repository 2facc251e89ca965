"""The constructed solution: a deeper net that computes what a shallower one does."""

import pytest
import torch
from torch import Tensor

from resnet_exp.nets.deeper import check_grows
from resnet_exp.nets.grow import grow, make_identity
from resnet_exp.nets.network import Network
from tests.helpers import make_net

IMAGES = torch.randn(64, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def trained(**net: object) -> Network:
    """A net whose BN scales, shifts and statistics are not those it began with."""
    model = make_net(seed=0, **net)
    generator = torch.Generator().manual_seed(1)
    for norm in model.batch_norms:
        norm.momentum = 1.0
        torch.nn.init.uniform_(norm.weight, 0.5, 1.5, generator=generator)
        torch.nn.init.normal_(norm.bias, 0, 0.3, generator=generator)
    model(IMAGES)
    return model


def moments_of(model: Network) -> list[tuple[Tensor, Tensor]]:
    """Mean and variance of what leaves each stage, over these images, in train mode."""
    found: list[tuple[Tensor, Tensor]] = []
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    hooks = [
        stage.register_forward_hook(
            lambda m, i, y: found.append(
                (y.transpose(0, 1).flatten(1).mean(1), y.transpose(0, 1).flatten(1).var(1, correction=0))
            )
        )
        for stage in model.stages
    ]
    with torch.no_grad():
        model.train()(IMAGES)
    for hook in hooks:
        hook.remove()
    model.load_state_dict(state)
    return found


def grown(shallow: Network, *, depth: int, **net: object) -> Network:
    deep = make_net(seed=5, depth=depth, **net)
    grow(deep, shallow.state_dict(), shallow.spec, moments=moments_of(shallow))
    return deep


def logits(model: Network, *, training: bool) -> Tensor:
    with torch.no_grad():
        return model.train(training)(IMAGES)


NETS = {
    "plain": {"shortcut": "none", "width": 4},
    "plain-nobn": {"shortcut": "none", "width": 4, "norm": "none"},
}
RESIDUAL = {
    "resnet": {"width": 4},
    "resnet-B": {"width": 4, "shortcut": "B"},
    "preact": {"width": 4, "block": "v2"},
    "resnet-nobn": {"width": 4, "norm": "none"},
}


@pytest.mark.parametrize("net", ["plain", "plain-nobn"])
def test_a_plain_net_computes_the_same_but_for_rounding(net: str) -> None:
    shallow = trained(depth=8, **NETS[net])
    deep = grown(shallow, depth=20, **NETS[net])
    for training in (False, True):
        one, other = logits(shallow, training=training), logits(deep, training=training)
        assert (one - other).abs().max() <= 2e-5 * one.abs().max(), training
    assert len(deep.blocks) == 9
    assert not torch.allclose(logits(make_net(seed=5, depth=20, **NETS[net]), training=True), other, rtol=0.1)


@pytest.mark.parametrize("net", list(RESIDUAL))
def test_a_residual_net_computes_the_same_bits_in_both_modes(net: str) -> None:
    shallow = trained(depth=8, **RESIDUAL[net])
    deep = grown(shallow, depth=14, **RESIDUAL[net])
    for training in (False, True):
        assert torch.equal(logits(shallow, training=training), logits(deep, training=training)), training


def test_what_is_not_the_end_of_an_added_branch_is_as_drawn() -> None:
    deep, drawn = grown(trained(depth=8, width=4), depth=14, width=4), make_net(seed=5, depth=14, width=4)
    added = "layer2.1."
    for name, tensor in deep.state_dict().items():
        if name.startswith(added) and not name.startswith(f"{added}bn2"):
            assert torch.equal(tensor, drawn.state_dict()[name]), name
    assert not deep.get_submodule("layer2.1.bn2").weight.any()


def test_an_identity_passes_every_pixel_where_it_was() -> None:
    conv = torch.nn.Conv2d(3, 3, 3, padding=1)
    with torch.no_grad():
        make_identity(conv)
        assert torch.equal(conv(IMAGES), IMAGES)  # a kernel that is off by a pixel shifts it
        linear = torch.nn.Linear(8, 8)
        make_identity(linear)
        assert torch.equal(linear(IMAGES[:, 0, 0]), IMAGES[:, 0, 0])


def test_plain_statistics_are_those_of_the_data() -> None:
    shallow = trained(depth=8, shortcut="none", width=4)
    mean, variance = moments_of(shallow)[1]
    norm = grown(shallow, depth=14, shortcut="none", width=4).get_submodule("layer2.1.bn1")
    assert torch.equal(norm.running_mean, mean)
    assert torch.equal(norm.bias, mean)
    assert torch.allclose(norm.weight, (variance + norm.eps).sqrt())


@pytest.mark.parametrize(
    ("shallow", "deep", "why"),
    [
        ({"depth": 14}, {"depth": 8}, "a stage has fewer blocks"),
        ({"depth": 8}, {"depth": 14, "width": 8}, "they differ in more than their blocks"),
        ({"depth": 8}, {"depth": 14, "shortcut": "none"}, "they differ in more than their blocks"),
        ({"depth": 8, "shortcut": "C"}, {"depth": 14, "shortcut": "C"}, "none passes its input on"),
        ({"depth": 8, "shortcut": "none", "block": "v2"}, {"depth": 14, "shortcut": "none", "block": "v2"}, "ReLU"),
        (
            {"depth": 11, "shortcut": "none", "bottleneck": True},
            {"depth": 20, "shortcut": "none", "bottleneck": True},
            "too few channels",
        ),
    ],
)
def test_what_cannot_be_grown_is_refused(shallow: dict[str, object], deep: dict[str, object], why: str) -> None:
    one, other = make_net(**{"width": 4, **shallow}), make_net(**{"width": 4, **deep})
    with pytest.raises(ValueError, match="cannot grow") as caught:
        check_grows(one.spec, other.spec)
    assert why in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 3


def test_a_net_grows_into_itself_whatever_it_is() -> None:
    net = make_net(shortcut="C", width=4)
    check_grows(net.spec, net.spec)
