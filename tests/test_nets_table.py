"""Nets by name: what each means, what it is called, and how it warms up."""

import dataclasses
import json

import pytest

from resnet_exp.config import NetConfig
from resnet_exp.nets.spec import BlockSpec, Stage, Stem
from resnet_exp.nets.table import MODELS, family, net_name, net_spec, paper_warmup


def of_model(model: str, **changes: object) -> NetConfig:
    return NetConfig(**({"width": 16} | MODELS[model] | changes))  # type: ignore[arg-type]


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
    ],
)
def test_impossible_nets_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        net_spec(of_model("resnet", **changes))


@pytest.mark.parametrize("model", MODELS)
def test_every_name_means_a_net_of_its_depth(model: str) -> None:
    net = of_model(model)
    assert net_spec(net).depth == net.depth
    digits = "".join(filter(str.isdigit, model))
    if digits:
        assert net.depth == int(digits)
    assert family(net).startswith(model.removesuffix(digits)) or net.bottleneck


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
    assert net_name(of_model("preact164")) == "preact_bottleneck164"


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
    ],
)
def test_auto_warms_up_as_the_paper_of_the_block(model: str, changes: dict[str, object], steps: int) -> None:
    """[P1] its 110 layers alone, [P2] every net; a plain net is the same in both and follows [P1]."""
    assert paper_warmup(of_model(model, **changes)) == steps
