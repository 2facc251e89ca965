"""What a drawing of a net says from top to bottom: its layers, their outputs, where shortcuts begin and end.

Shapes follow from the description by arithmetic and are those of `nets.network`, which needs torch.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from resnet_exp.nets.spec import BlockPlace, Head, NetSpec, Stem


@dataclass(frozen=True)
class Shortcut:
    """What a block adds to its residual function.

    Args:
        projection: a 1x1 convolution (options B and C of arXiv 1512.03385, 3.3), else the identity.
        changes_shape: whether the block's output has another shape than its input.
    """

    projection: bool
    changes_shape: bool


@dataclass(frozen=True)
class Row:
    """One line of a drawing.

    Args:
        label: what it says.
        kind: `image`, `layer` (it has weights), `operation` (it has none) or `gap` (it stands for blocks left out).
        channels: of its output; of a vector, its length.
        size: pixels a side of its output; 0: a vector.
        stage: from 1; 0: stem or head.
        begins: the shortcut that leaves above this row.
        ends: the shortcut that is added to this row's output.
    """

    label: str
    kind: str
    channels: int
    size: int
    stage: int
    begins: Shortcut | None = None
    ends: Shortcut | None = None


def rows_of(spec: NetSpec, keep: int | None = None, *, image_size: int, num_classes: int) -> list[Row]:
    """A row for the image, each layer with weights, each pool; projections are told by their shortcut.

    Args:
        image_size: pixels a side.
        keep: of the equal blocks in a row, so many are listed and one row counts the others; None: all.
    """
    rows = [Row("image", "image", 3, image_size, 0)]
    if spec.stem is not None:
        rows += stem_rows(spec.stem, image_size=image_size)
    for places in spec.by_stage():
        rows += stage_rows(spec, places, size=rows[-1].size, keep=keep)
    if spec.order == "pre":
        rows.append(Row(activation(spec), "operation", rows[-1].channels, rows[-1].size, 0))
    return rows + head_rows(spec.head, before=rows[-1], num_classes=num_classes)


def activation(spec: NetSpec) -> str:
    """What stands behind each layer, or before it in a net of order `pre`."""
    return "BN-ReLU" if spec.norm == "batch" else "ReLU"


def stem_rows(stem: Stem, *, image_size: int) -> list[Row]:
    rows = [layer_row(stem.kernel, stem.channels, stride=stem.stride, stage=0, size=image_size)]
    if stem.pool:
        rows.append(Row("3x3 max pool, /2", "operation", stem.channels, shrunk(rows[-1].size, stride=2), 0))
    return rows


def stage_rows(spec: NetSpec, places: Sequence[BlockPlace], *, size: int, keep: int | None) -> list[Row]:
    """The rows of a stage, whose input has `size` pixels a side."""
    alike = sum(not place.changes_shape for place in places)
    left_out = 0 if keep is None or alike <= keep + 1 else alike - keep
    rows: list[Row] = []
    for place in places[: len(places) - left_out]:
        rows += block_rows(spec, place, size=rows[-1].size if rows else size)
    number, channels = places[0].stage, places[0].out_channels
    if left_out:
        what = "blocks" if len(spec.block.kernels) > 1 else "layers"
        rows.append(Row(f"… {left_out:,} more {what} like this", "gap", channels, rows[-1].size, number))
    if spec.stages[number - 1].pool:
        rows.append(Row("2x2 max pool, /2", "operation", channels, rows[-1].size // 2, number))
    return rows


def block_rows(spec: NetSpec, place: BlockPlace, *, size: int) -> list[Row]:
    rows: list[Row] = []
    for kernel, channels, stride in spec.block.layers(place.out_channels, stride=place.stride):
        rows.append(layer_row(kernel, channels, stride=stride, stage=place.stage, size=size))
        size = rows[-1].size
    if spec.shortcut != "none":
        shortcut = Shortcut(projection=spec.projects(place), changes_shape=place.changes_shape)
        rows[0] = replace(rows[0], begins=shortcut)
        rows[-1] = replace(rows[-1], ends=shortcut)
    return rows


def head_rows(head: Head, *, before: Row, num_classes: int) -> list[Row]:
    rows = []
    if before.size and head.pool == 1:
        rows.append(Row("average pool", "operation", before.channels, 0, 0))
    elif before.size not in (0, head.pool):
        label = f"average pool to {head.pool}x{head.pool}"
        rows.append(Row(label, "operation", before.channels, head.pool, 0))
    return rows + [layer_row(0, width, stride=1, stage=0, size=0) for width in (*head.hidden, num_classes)]


def layer_row(kernel: int, channels: int, *, stride: int, stage: int, size: int) -> Row:
    """A layer over maps of `size` pixels a side; its kernel is 0 where it is fully connected."""
    if kernel == 0:
        return Row(f"fc, {channels}", "layer", channels, 0, stage)
    label = f"{kernel}x{kernel} conv, {channels}" + (f", /{stride}" if stride > 1 else "")
    return Row(label, "layer", channels, shrunk(size, stride=stride), stage)


def shrunk(size: int, *, stride: int) -> int:
    """Pixels a side behind a layer that pads by half its kernel."""
    return (size - 1) // stride + 1
