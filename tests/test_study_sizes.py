"""Published sizes, and nets side by side."""

from dataclasses import replace

import pytest

from resnet_exp.config import NetConfig
from resnet_exp.nets.cost import costs_of
from resnet_exp.nets.names import net_name
from resnet_exp.nets.table import MODELS, net_spec
from resnet_exp.study.sizes import PublishedSize, SizedNet, load_published_sizes, published_size, size_table
from tests.helpers import of_model


def nets_by_name() -> dict[str, str]:
    """`model=` by the name of its net."""
    specs = ((model, net_spec(NetConfig(**({"width": 16} | settings)))) for model, settings in MODELS.items())
    return {net_name(spec): model for model, spec in specs}


@pytest.mark.parametrize("name", load_published_sizes())
def test_the_runners_nets_have_the_published_sizes(name: str) -> None:
    """To the digits that are published; two differ by more, as the papers' own numbers do."""
    known = load_published_sizes()[name]
    size, classes = known.image_size, known.classes
    spec = net_spec(of_model(nets_by_name()[name]), image_size=size)
    assert published_size(SizedNet(name, spec, size, classes, params=0, macs=0)) == known
    if known.parameters and spec.depth < 1000:  # a net of 1,001 layers takes long to build
        params = sum(cost.params for cost in costs_of(spec, num_classes=classes, image_size=size)) / 1e6
        assert params == pytest.approx(float(known.parameters), abs=0.03 if params > 1 else 0.005)
    if known.multiply_adds:
        macs = sum(cost.macs for cost in costs_of(spec, num_classes=classes, image_size=size)) / 1e9
        assert macs == pytest.approx(float(known.multiply_adds), abs=0.06)


def test_what_is_published_is_said_in_words() -> None:
    assert str(load_published_sizes()["vgg19"]) == (
        "19.6 billion multiply-adds (He et al. 2015, arXiv 1512.03385, figure 3)"
    )
    both = PublishedSize(16, 32, 10, "1.7", "0.3", "someone")
    assert str(both) == "1.7 million parameters, 0.3 billion multiply-adds (someone)"


def sized(model: str, *, image_size: int = 32, classes: int = 10, **changes: object) -> SizedNet:
    """A net and its images; what it takes is left out."""
    spec = net_spec(of_model(model, **changes), image_size=image_size)
    return SizedNet(net_name(spec), spec, image_size, classes, params=0, macs=0)


def test_a_published_size_is_of_one_width_number_of_classes_and_architecture() -> None:
    assert published_size(sized("resnet20")) == load_published_sizes()["resnet20"]
    assert published_size(sized("resnet20", image_size=16)) == load_published_sizes()["resnet20"]
    assert published_size(sized("resnet20", width=8)) is None
    assert published_size(sized("resnet20", classes=100)) is None
    assert published_size(sized("resnet", depth=26)) is None
    whole = sized("resnet20")
    head = replace(whole.spec.head, hidden=(64,))
    assert published_size(replace(whole, spec=replace(whole.spec, head=head))) is None
    assert published_size(sized("resnet20", channels=(16, 32, 128))) is None


def test_published_multiply_adds_are_for_images_of_one_size() -> None:
    known = load_published_sizes()["imagenet-resnet34"]
    assert published_size(sized("resnet34", image_size=224, classes=1000)) == known
    assert published_size(sized("resnet34", image_size=64, classes=1000)) is None
    assert published_size(sized("resnet34", image_size=224, classes=20)) is None


def test_nets_stand_side_by_side_beside_what_is_published_for_that_image() -> None:
    spec = net_spec(NetConfig(**MODELS["plain34"]))
    table = size_table(
        [
            SizedNet("imagenet-plain34", spec, 224, 1000, 21_623_848, 3_644_493_824),
            SizedNet("imagenet-plain34", spec, 64, 20, 21_000_000, 300_000_000),
            SizedNet("resnet26", spec, 32, 10, 5, 6),
        ]
    )
    assert table.rows == [
        ["imagenet-plain34", "34", "21,623,848", "-", "3,644,493,824", "3.6 billion", "224x224", "1,000"],
        ["imagenet-plain34", "34", "21,000,000", "-", "300,000,000", "-", "64x64", "20"],
        ["resnet26", "34", "5", "-", "6", "-", "32x32", "10"],
    ]
