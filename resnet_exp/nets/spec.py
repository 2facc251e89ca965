"""A net as data: what `nets.network` builds and what the summary of a run records. Knows no torch.

One description holds every net of the residual literature: a CIFAR net has three stages, an ImageNet net four behind a
7x7 stem; a plain net is the one with shortcut `none`; VGG is a plain net of one-layer blocks with pools between its
stages; in a fully connected net each kernel is 0.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, TypeVar

Part = TypeVar("Part")


@dataclass(frozen=True)
class Stem:
    """The first layer.

    Args:
        channels: of its output.
        kernel: pixels a side; 0: fully connected, over all numbers of an image.
        stride: of the convolution.
        inputs: channels of an image, or all its numbers where `kernel` is 0.
        pool: whether a 3x3 max-pool of stride 2 follows ([P1] table 1).
    """

    channels: int
    kernel: int = 3
    stride: int = 1
    inputs: int = 3
    pool: bool = False


@dataclass(frozen=True)
class Stage:
    """Equal blocks in a row.

    Args:
        blocks: how many.
        channels: of their outputs.
        stride: of the first block; it shrinks the map.
        pool: whether a 2x2 max-pool follows (VGG).
    """

    blocks: int
    channels: int
    stride: int = 1
    pool: bool = False


@dataclass(frozen=True)
class BlockSpec:
    """What every block of a net computes between its input and the addition.

    Args:
        kernels: of its layers, in pixels a side: (3, 3) basic, (1, 3, 1) bottleneck; 0: fully connected.
        narrow: all layers but the last have this many times fewer channels than the block's output (bottleneck: 4).
        strided: which layer carries the stride, from 0. Bottlenecks of [P1] have it in the first 1x1 convolution,
            torchvision's in the 3x3; weights fit both and mean another net, so it is part of the record.
        bias: whether its layers have biases (VGG).
    """

    kernels: tuple[int, ...] = (3, 3)
    narrow: int = 1
    strided: int = 0
    bias: bool = False

    def layers(self, channels: int, *, stride: int) -> list[tuple[int, int, int]]:
        """Kernel, output channels and stride of each layer of a block that puts out `channels` and has this stride."""
        last = len(self.kernels) - 1
        return [
            (kernel, channels if index == last else channels // self.narrow, stride if index == self.strided else 1)
            for index, kernel in enumerate(self.kernels)
        ]


@dataclass(frozen=True)
class BlockPlace:
    """One block of a net, and where it stands.

    Args:
        number: from 1 on through the whole net.
        stage: from 1.
        index: in its stage, from 0.
        in_channels: of its input.
        out_channels: of its output.
        stride: of its one layer that shrinks the map.
    """

    number: int
    stage: int
    index: int
    in_channels: int
    out_channels: int
    stride: int

    @property
    def path(self) -> str:
        """As `Network.named_modules` has it: `layer2.0`."""
        return f"layer{self.stage}.{self.index}"

    @property
    def changes_shape(self) -> bool:
        return self.stride > 1 or self.in_channels != self.out_channels


@dataclass(frozen=True)
class Head:
    """From the last map to the logits.

    Args:
        pool: pixels a side to which the map is averaged.
        hidden: widths of the fully connected layers before the last one (VGG: 4096, 4096).
    """

    pool: int = 1
    hidden: tuple[int, ...] = ()


@dataclass(frozen=True)
class NetSpec:
    """One net but for the number of classes, which the images decide.

    Args:
        stem: None: the first stage reads the image.
        order: `post`, BN and ReLU after a convolution ([P1]), or `pre`, before it ([P2]).
        norm: `batch` or `none`.
        shortcut: `none` (plain), `A`, `B` or `C`, see `layers.make_shortcut`.
    """

    stem: Stem | None
    stages: tuple[Stage, ...]
    block: BlockSpec = BlockSpec()
    order: str = "post"
    norm: str = "batch"
    shortcut: str = "A"
    head: Head = Head()

    def by_stage(self) -> list[list[BlockPlace]]:
        """Every block in the order in which an image meets them, stage by stage."""
        found: list[list[BlockPlace]] = []
        number, channels = 0, self.stem.channels if self.stem else 3
        for stage, of_stage in enumerate(self.stages, start=1):
            found.append([])
            for index in range(of_stage.blocks):
                number, stride = number + 1, of_stage.stride if index == 0 else 1
                found[-1].append(BlockPlace(number, stage, index, channels, of_stage.channels, stride))
                channels = of_stage.channels
        return found

    @property
    def blocks(self) -> list[BlockPlace]:
        """Those of all stages."""
        return [place for stage in self.by_stage() for place in stage]

    def projects(self, place: BlockPlace) -> bool:
        """Whether the shortcut of a block is a 1x1 convolution: under B where the shape changes, under C everywhere.

        [P1] 3.3 and 4.1.
        """
        return self.shortcut == "C" or (self.shortcut == "B" and place.changes_shape)

    @property
    def depth(self) -> int:
        """Layers with weights on the longest path, projections not counted."""
        of_blocks = sum(stage.blocks for stage in self.stages) * len(self.block.kernels)
        return (self.stem is not None) + of_blocks + len(self.head.hidden) + 1

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {key: list_of(value) for key, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "NetSpec":
        """The inverse of `to_dict`.

        Raises:
            ValueError: a key is unknown, or missing.
        """
        check_keys(cls, values)
        stem, stages = values["stem"], values["stages"]
        parts = {
            "stem": None if stem is None else part(Stem, stem),
            "stages": tuple(part(Stage, stage) for stage in stages),
            "block": part(BlockSpec, values["block"]),
            "head": part(Head, values["head"]),
        }
        return cls(**{**values, **parts})


def part(kind: type[Part], values: Mapping[str, Any]) -> Part:
    """A part of a description, from what `to_dict` made of it; raises as `check_keys`."""
    check_keys(kind, values)
    return kind(**{key: tuple(value) if isinstance(value, list) else value for key, value in values.items()})


def check_keys(kind: type[Any], values: Mapping[str, Any]) -> None:
    """Raises ValueError unless there is a value for each field of a part, and no other."""
    names = [field.name for field in fields(kind)]
    unknown, missing = [key for key in values if key not in names], [name for name in names if name not in values]
    for what, keys in (("unknown", unknown), ("missing", missing)):
        if keys:
            raise ValueError(f"{kind.__name__}: {what} {', '.join(keys)}; its keys are {', '.join(names)}")


def list_of(value: Any) -> Any:
    """The same with lists in place of tuples."""
    if isinstance(value, dict):
        return {key: list_of(item) for key, item in value.items()}
    return [list_of(item) for item in value] if isinstance(value, tuple | list) else value
