"""What a drawing says: against the net that torch builds."""

from dataclasses import replace

import pytest

from resnet_exp.nets.cost import costs_of
from resnet_exp.nets.layers import PaddedIdentity, Projection
from resnet_exp.nets.network import Block, Network
from resnet_exp.nets.spec import BlockSpec, Head, NetSpec, Stage, Stem
from resnet_exp.study.net_rows import Row, Shortcut, rows_of

BASIC, BOTTLENECK = BlockSpec((3, 3)), BlockSpec((1, 3, 1), narrow=4)
CIFAR = NetSpec(Stem(4), (Stage(2, 4), Stage(2, 8, stride=2), Stage(2, 16, stride=2)), BASIC)
IMAGENET = NetSpec(Stem(4, kernel=7, stride=2, pool=True), (Stage(1, 16), Stage(3, 32, stride=2)), BOTTLENECK)
VGG = NetSpec(
    None,
    (Stage(2, 4, pool=True), Stage(3, 8, pool=True)),
    BlockSpec((3,), bias=True),
    norm="none",
    shortcut="none",
    head=Head(pool=7, hidden=(6, 5)),
)
FULLY_CONNECTED = NetSpec(Stem(5, kernel=0, inputs=3 * 8 * 8), (Stage(3, 5),), BlockSpec((0, 0)))


@pytest.mark.parametrize("order", ["post", "pre"])
@pytest.mark.parametrize(
    ("spec", "image_size"),
    [
        (CIFAR, 32),
        (CIFAR, 15),
        (replace(CIFAR, block=BOTTLENECK, shortcut="C"), 32),
        (IMAGENET, 64),
        (IMAGENET, 37),
        (replace(IMAGENET, block=replace(BOTTLENECK, strided=1), shortcut="B"), 37),
        (VGG, 28),
        (VGG, 12),
        (VGG, 37),
        (FULLY_CONNECTED, 8),
    ],
)
def test_the_layers_and_their_outputs_are_those_of_the_net(spec: NetSpec, image_size: int, order: str) -> None:
    spec = replace(spec, order=order)
    costs = costs_of(spec, num_classes=7, image_size=image_size)
    built = [cost.shape for cost in costs if cost.kind in ("Conv2d", "Linear") and "downsample" not in cost.path]
    rows = rows_of(spec, image_size=image_size, num_classes=7)
    drawn = [(row.channels, row.size, row.size) if row.size else (row.channels,) for row in rows if row.kind == "layer"]
    assert drawn == built
    assert len(drawn) == spec.depth
    assert rows[0] == Row("image", "image", 3, image_size, 0)


def test_labels_are_those_of_the_papers_figure() -> None:
    assert [row.label for row in rows_of(IMAGENET, image_size=64, num_classes=10)] == [
        *("image", "7x7 conv, 4, /2", "3x3 max pool, /2"),
        *("1x1 conv, 4", "3x3 conv, 4", "1x1 conv, 16"),
        *("1x1 conv, 8, /2", "3x3 conv, 8", "1x1 conv, 32"),
        *("1x1 conv, 8", "3x3 conv, 8", "1x1 conv, 32") * 2,
        *("average pool", "fc, 10"),
    ]
    assert [row.label for row in rows_of(VGG, image_size=32, num_classes=10)] == [
        *("image", "3x3 conv, 4", "3x3 conv, 4", "2x2 max pool, /2"),
        *("3x3 conv, 8", "3x3 conv, 8", "3x3 conv, 8", "2x2 max pool, /2"),
        *("average pool to 7x7", "fc, 6", "fc, 5", "fc, 10"),
    ]
    assert "average pool to 7x7" not in [row.label for row in rows_of(VGG, image_size=28, num_classes=10)]
    assert {row.label for row in rows_of(FULLY_CONNECTED, image_size=8, num_classes=10)} == {"image", "fc, 5", "fc, 10"}


def test_what_closes_a_net_that_activates_first_is_said() -> None:
    pre = replace(CIFAR, order="pre")
    assert [row.label for row in rows_of(pre, image_size=32, num_classes=10)][-3:] == [
        *("BN-ReLU", "average pool", "fc, 10"),
    ]
    without = rows_of(replace(pre, norm="none"), image_size=32, num_classes=10)
    assert without[-3] == Row("ReLU", "operation", 16, 8, 0)


@pytest.mark.parametrize("option", ["none", "A", "B", "C"])
@pytest.mark.parametrize("spec", [CIFAR, IMAGENET, replace(CIFAR, order="pre"), replace(CIFAR, block=BlockSpec((3,)))])
def test_each_block_has_the_shortcut_that_the_net_has(spec: NetSpec, option: str) -> None:
    def shortcut_of(block: Block) -> Shortcut | None:
        if block.downsample is None:
            return None
        first, last = block.layers[0], block.layers[-1]
        stride = any(getattr(layer, "picked_stride", 1) > 1 or layer.stride != (1, 1) for layer in block.layers)
        changes_shape = stride or first.in_channels != last.out_channels
        if not isinstance(block.downsample, Projection):
            assert isinstance(block.downsample, PaddedIdentity) == changes_shape
        return Shortcut(isinstance(block.downsample, Projection), changes_shape)

    spec = replace(spec, shortcut=option)
    length = len(spec.block.kernels)
    rows = [row for row in rows_of(spec, image_size=32, num_classes=10) if row.kind == "layer" and row.stage]
    for number, block in enumerate(Network(spec).blocks):
        of_block = rows[number * length : (number + 1) * length]
        expected = shortcut_of(block)
        assert [row.begins for row in of_block] == [expected, *[None] * (length - 1)]
        assert [row.ends for row in of_block] == [*[None] * (length - 1), expected]


def test_of_equal_blocks_few_are_listed_and_the_others_counted() -> None:
    stages = (Stage(3, 256), Stage(8, 512, stride=2), Stage(36, 1024, stride=2), Stage(3, 2048, stride=2))
    spec = NetSpec(Stem(64, kernel=7, stride=2, pool=True), stages, BOTTLENECK, shortcut="B")
    for keep, left_out in ((2, [5, 33]), (1, [6, 34])):
        rows = rows_of(spec, keep, image_size=224, num_classes=1000)
        gaps = [row for row in rows if row.kind == "gap"]
        assert [row.label for row in gaps] == [f"… {count} more blocks like this" for count in left_out]
        assert [(row.channels, row.size, row.stage) for row in gaps] == [(512, 28, 2), (1024, 14, 3)]
        assert sum(row.kind == "layer" for row in rows) + 3 * sum(left_out) == spec.depth == 152
        written_out: list[Row] = []
        for row in rows:
            written_out += written_out[-3:] * left_out.pop(0) if row.kind == "gap" else [row]
        assert written_out == rows_of(spec, image_size=224, num_classes=1000)


def test_a_first_block_that_changes_nothing_is_one_of_the_equal_ones() -> None:
    net = NetSpec(Stem(16), tuple(Stage(200, 16 * 2**i, stride=2 if i else 1) for i in range(3)), BASIC)
    labels = [row.label for row in rows_of(net, 2, image_size=32, num_classes=10)]
    assert [label for label in labels if "more" in label] == [
        *("… 198 more blocks like this", "… 197 more blocks like this", "… 197 more blocks like this"),
    ]
    deep_vgg = replace(VGG, stages=(Stage(1500, 4),))
    assert "… 1,497 more layers like this" in [row.label for row in rows_of(deep_vgg, 2, image_size=32, num_classes=10)]
