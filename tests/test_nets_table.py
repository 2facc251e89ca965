"""Nets by name: what each means, and how it warms up."""

import dataclasses
import json
import math

import pytest
import torch

from resnet_exp.nets.init import initialise
from resnet_exp.nets.names import family, net_name
from resnet_exp.nets.network import Network
from resnet_exp.nets.spec import BlockSpec, Stage, Stem
from resnet_exp.nets.table import MODELS, net_spec, paper_warmup, signal_growth
from tests.helpers import of_model


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"depth": 21}, "depth=21"),
        ({"depth": 2}, "depth=2"),
        ({"depth": 56, "bottleneck": True, "block": "v3"}, "block=v3"),
        ({"depth": 20, "shortcut": "D"}, "shortcut=D"),
        ({"depth": 57, "bottleneck": True}, r"9n\+2 layers; near are 56 and 65"),
        ({"depth": 21}, r"6n\+2 layers; near are 20 and 26"),
        ({"depth": 7}, "near are 8"),
        ({"width": 0}, "width=0"),
        ({"layout": "resnext"}, "layout=resnext: choose cifar, imagenet, vgg, mlp"),
        ({"norm": "layer"}, "norm=layer: choose batch, none"),
        ({"bottleneck_stride": "first"}, "bottleneck_stride=first: choose 1x1, 3x3"),
        ({"layout": "imagenet"}, "depth=20: an ImageNet net of basic blocks has 18, 34 layers; blocks= makes others"),
        ({"layout": "imagenet", "bottleneck": True}, "of bottleneck blocks has 50, 101, 152 layers"),
        ({"layout": "vgg"}, "shortcut=A: a VGG net has none"),
        ({"layout": "vgg", "shortcut": "none", "block": "v2"}, "block=v2: a VGG net has v1"),
        ({"layout": "vgg", "shortcut": "none", "bottleneck": True}, "bottleneck=true: a VGG net has none"),
        ({"layout": "vgg", "shortcut": "none"}, "depth=20: a VGG net has 11, 13, 16, 19 layers"),
        ({"layout": "mlp", "depth": 21}, r"a fully connected net has 2n\+2 layers; near are 20 and 22"),
        ({"layout": "mlp", "shortcut": "C"}, "shortcut=C: a fully connected net has none or A"),
        ({"layout": "mlp", "channels": (8,)}, r"channels=\[8\]: all layers of a fully connected net are equally wide"),
        ({"blocks": (3, 4, 5)}, r"depth=20: blocks=\[3,4,5\] make 26 layers; say depth=26"),
        ({"blocks": (3, 0, 5)}, r"blocks=\[3,0,5\]: must be a positive number for each stage"),
        ({"channels": ()}, r"channels=\[\]: must be a positive number"),
        ({"channels": (4, 8)}, r"channels=\[4,8\] for 2 stages, blocks for 3"),
        ({"bottleneck": True, "depth": 11, "channels": (4, 8, 9)}, "those of bottlenecks are multiples of 4"),
    ],
)
def test_impossible_nets_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        net_spec(of_model("resnet", **changes))


def test_vgg_needs_an_image_that_can_be_halved_five_times() -> None:
    assert net_spec(of_model("vgg19"), image_size=32).depth == 19
    with pytest.raises(ValueError, match="image_size=31: a VGG net halves it 5 times: at least 32"):
        net_spec(of_model("vgg19"), image_size=31)


def test_without_bn_each_residual_block_doubles_the_variance() -> None:
    """Measured from the first block's input to the last one's output; zero padding takes a little at every border."""
    for model, depth, least in (("resmlp", 42, 0.9), ("resnet", 26, 0.6)):
        spec = net_spec(of_model(model, depth=depth, norm="none", width=64))
        net, sizes = Network(spec), []
        initialise(net, seed=0)
        net.blocks[0].register_forward_pre_hook(lambda _, args, sizes=sizes: sizes.append(args[0].pow(2).mean()))
        net.blocks[-1].register_forward_hook(lambda _, __, out, sizes=sizes: sizes.append(out.pow(2).mean()))
        with torch.no_grad():
            net(torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(0)))
        measured = math.log10(sizes[1] / sizes[0]) / 2
        assert least < measured / signal_growth(spec) < 1.1
    assert signal_growth(net_spec(of_model("plain56", norm="none"))) == 0
    assert signal_growth(net_spec(of_model("resnet56"))) == 0


@pytest.mark.parametrize("model", MODELS)
def test_every_name_means_a_net_of_its_depth(model: str) -> None:
    net = of_model(model)
    assert net_spec(net).depth == net.depth
    digits = "".join(filter(str.isdigit, model))
    if digits:
        assert net.depth == int(digits)
    assert family(net_spec(net)).removeprefix("imagenet-").startswith(model.removesuffix(digits)) or net.bottleneck


def test_a_description_says_what_the_names_leave_open() -> None:
    spec = net_spec(of_model("resnet56"))
    assert spec.stem == Stem(channels=16, kernel=3, stride=1, inputs=3, pool=False)
    assert spec.stages == (Stage(9, 16), Stage(9, 32, stride=2), Stage(9, 64, stride=2))
    assert (spec.block, spec.order, spec.norm, spec.shortcut) == (BlockSpec((3, 3)), "post", "batch", "A")
    deep = net_spec(of_model("preact1001", width=8))
    assert deep.stages == (Stage(111, 32), Stage(111, 64, stride=2), Stage(111, 128, stride=2))
    assert (deep.block, deep.order, deep.shortcut) == (BlockSpec((1, 3, 1), narrow=4, strided=0), "pre", "B")
    assert json.loads(json.dumps(deep.to_dict())) == deep.to_dict()
    other = dataclasses.replace(deep, block=dataclasses.replace(deep.block, strided=1))
    assert other.to_dict() != deep.to_dict(), "where the stride is makes another net"


def test_the_same_net_has_one_description_whatever_it_is_called() -> None:
    assert net_spec(of_model("preact164")) == net_spec(of_model("preact_bottleneck"))
    assert net_spec(of_model("resnet56", shortcut="none")) == net_spec(of_model("plain56"))
    assert net_spec(of_model("plain56")) != net_spec(of_model("resnet56"))
    assert net_name(net_spec(of_model("preact164"))) == "preact_bottleneck164"


@pytest.mark.parametrize(
    ("model", "changes", "steps"),
    [
        ("resnet56", {}, 0),
        ("resnet110", {}, 400),
        ("plain110", {}, 400),
        ("resnet164", {}, 400),
        ("preact20", {}, 400),
        ("preact110", {}, 400),
        ("plain20", {"block": "v2"}, 0),
        ("resnet152", {}, 0),
        ("resnet50", {"block": "v2"}, 0),
        ("resmlp", {"depth": 150}, 0),
    ],
)
def test_auto_warms_up_as_the_paper_of_the_block(model: str, changes: dict[str, object], steps: int) -> None:
    """[P1] its 110 layers alone, [P2] every net; a plain net is the same in both and follows [P1]."""
    assert paper_warmup(net_spec(of_model(model, **changes))) == steps
