"""What nets are called."""

import dataclasses
import json

import pytest

from resnet_exp.nets.names import family, is_usual, net_name
from resnet_exp.nets.spec import NetSpec
from resnet_exp.nets.table import MODELS, net_spec
from tests.helpers import of_model


@pytest.mark.parametrize(
    ("model", "changes", "name", "kind"),
    [
        ("resnet56", {}, "resnet56", "resnet"),
        ("resnet56", {"shortcut": "B"}, "resnet56-B", "resnet"),
        ("plain20", {"block": "v2"}, "plain20-v2", "plain"),
        ("preact164", {}, "preact_bottleneck164", "preact_bottleneck"),
        ("resnet164", {"shortcut": "none"}, "plain_bottleneck164", "plain_bottleneck"),
        ("resnet164", {"bottleneck_stride": "3x3"}, "bottleneck164-v1.5", "bottleneck"),
        ("resnet20", {"norm": "none"}, "resnet20-nobn", "resnet"),
        ("resnet20", {"norm": "none", "shortcut": "C", "width": 5}, "resnet20-C-nobn", "resnet"),
        ("plain34", {}, "imagenet-plain34", "imagenet-plain"),
        ("plain34", {"block": "v2"}, "imagenet-plain34-v2", "imagenet-plain"),
        ("resnet34", {}, "imagenet-resnet34", "imagenet-resnet"),
        ("resnet34", {"shortcut": "B"}, "imagenet-resnet34-B", "imagenet-resnet"),
        ("resnet50", {}, "imagenet-resnet50", "imagenet-resnet"),
        ("resnet50", {"bottleneck_stride": "3x3"}, "imagenet-resnet50-v1.5", "imagenet-resnet"),
        ("resnet50", {"block": "v2"}, "imagenet-preact50", "imagenet-preact"),
        ("vgg19", {}, "vgg19", "vgg"),
        ("vgg19", {"norm": "batch", "depth": 11}, "vgg11-bn", "vgg"),
        ("mlp", {"depth": 22}, "mlp22", "mlp"),
        ("resmlp", {"depth": 6, "norm": "none"}, "resmlp6-nobn", "resmlp"),
        ("resmlp", {"depth": 6, "block": "v2"}, "resmlp6-v2", "resmlp"),
        (
            "preact",
            {"depth": 26, "blocks": (4, 4, 4), "channels": (160, 320, 640), "shortcut": "B"},
            "preact26-4x160.4x320.4x640-B",
            "preact",
        ),
        ("resnet", {"depth": 14, "blocks": (2, 2, 2)}, "resnet14", "resnet"),
        ("resnet", {"depth": 14, "blocks": (1, 2, 3)}, "resnet14-1x16.2x32.3x64", "resnet"),
    ],
)
def test_a_net_is_called_what_it_is(model: str, changes: dict[str, object], name: str, kind: str) -> None:
    spec = net_spec(of_model(model, **changes), image_size=64)
    assert (net_name(spec), family(spec)) == (name, kind)
    assert NetSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec
    assert is_usual(spec) == ("x" not in name.replace("-v1.5", "") and "v1.5" not in name)
    assert not is_usual(dataclasses.replace(spec, head=dataclasses.replace(spec.head, pool=3)))


def test_every_net_of_the_table_has_a_name_of_its_own() -> None:
    specs = {model: net_spec(of_model(model), image_size=224) for model in MODELS}
    by_name: dict[str, set[str]] = {}
    for spec in specs.values():
        by_name.setdefault(net_name(spec), set()).add(json.dumps(spec.to_dict()))
    assert all(len(nets) == 1 for nets in by_name.values())
