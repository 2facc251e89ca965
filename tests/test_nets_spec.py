"""A description as JSON holds it, and back."""

import dataclasses
import json
from typing import Any

import pytest

from resnet_exp.config import NetConfig
from resnet_exp.nets.spec import BlockSpec, Head, NetSpec, Stage, Stem
from resnet_exp.nets.table import MODELS, net_spec

VGG = NetSpec(
    None,
    (Stage(1, 4, pool=True), Stage(2, 8, pool=True)),
    BlockSpec((3,), bias=True),
    norm="none",
    shortcut="none",
    head=Head(pool=7, hidden=(16, 12)),
)


def of_model(model: str, **changes: object) -> NetSpec:
    return net_spec(NetConfig(**({"width": 16} | MODELS[model] | changes)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "spec",
    [
        *(of_model(model) for model in MODELS),
        of_model("resnet50", bottleneck_stride="3x3", norm="none", shortcut="C"),
        of_model("preact20", depth=26, blocks=(4, 4, 4), channels=(16, 20, 24)),
        VGG,
    ],
)
def test_a_description_comes_back_from_json_as_it_was(spec: NetSpec) -> None:
    again = NetSpec.from_dict(json.loads(json.dumps(spec.to_dict())))
    assert again == spec
    assert hash(again) == hash(spec), "a list in place of a tuple cannot be hashed"


def altered(path: tuple[Any, ...], key: str, *, remove: bool) -> dict[str, Any]:
    """A description with one key more or less."""
    values = dataclasses.replace(VGG, stem=Stem(4)).to_dict()
    part: Any = values
    for step in path:
        part = part[step]
    if remove:
        del part[key]
    else:
        part[key] = 1
    return values


@pytest.mark.parametrize(
    ("path", "key", "kind"),
    [
        ((), "order", "NetSpec"),
        ((), "head", "NetSpec"),
        (("stem",), "kernel", "Stem"),
        (("stages", 1), "pool", "Stage"),
        (("block",), "strided", "BlockSpec"),
        (("head",), "hidden", "Head"),
    ],
)
def test_a_key_that_is_missing_or_unknown_is_named(path: tuple[Any, ...], key: str, kind: str) -> None:
    with pytest.raises(ValueError, match=f"^{kind}: missing {key}; its keys are "):
        NetSpec.from_dict(altered(path, key, remove=True))
    with pytest.raises(ValueError, match=f"^{kind}: unknown colour; its keys are .*{key}"):
        NetSpec.from_dict(altered(path, "colour", remove=False))
