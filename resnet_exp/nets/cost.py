"""What each layer of a net costs for one image: shape, parameters, multiply-adds; and how much of the image it sees.

By arithmetic from the net's description: whoever only asks needs neither torch nor the net.
"""

import math
from dataclasses import dataclass

from resnet_exp.nets.spec import BlockPlace, NetSpec


@dataclass(frozen=True)
class LayerCost:
    """One layer with parameters, for one image.

    Args:
        path: in the net, as `Network.named_modules` has it.
        kind: torch's name of it.
        shape: of its output: (C, H, W), or (C,) of a vector.
        params: how many numbers it learns.
        macs: multiply-adds. Convolutions and fully connected layers count, as [P1] does: each number of their output
            takes one with each weight of its filter.
        receptive_field: pixels a side of the square that can change one number of the output, along the longest way
            through the net; it may reach beyond the image. None: the whole image.
    """

    path: str
    kind: str
    shape: tuple[int, ...]
    params: int
    macs: int
    receptive_field: int | None


def costs_of(spec: NetSpec, *, num_classes: int, image_size: int) -> list[LayerCost]:
    """What each layer costs for one image of `image_size` pixels a side, in the order in which a net computes them."""
    walk = Walk(channels=3, side=image_size)
    walk.net(spec, num_classes=num_classes)
    return walk.found


def largest_output(spec: NetSpec, *, image_size: int) -> int:
    """The most numbers that a layer puts out for one image: what an evaluation's memory grows with."""
    return max(math.prod(cost.shape) for cost in costs_of(spec, num_classes=1, image_size=image_size))


@dataclass
class Walk:
    """The way of one image through a net, layer by layer.

    Args:
        channels: of the map, or numbers of the vector, that comes next.
        side: pixels a side of the map; 0: it is a vector.
        seen: pixels of the image a side that one number depends on.
        apart: pixels of the image between the squares that neighbouring numbers depend on.
    """

    channels: int
    side: int
    seen: int = 1
    apart: int = 1

    def __post_init__(self) -> None:
        self.found: list[LayerCost] = []

    def net(self, spec: NetSpec, *, num_classes: int) -> None:
        stem, post = spec.stem, spec.order == "post"
        if stem is not None:
            if stem.kernel == 0:
                self.channels, self.side = stem.inputs, 0
            self.layer("conv1" if stem.kernel else "linear1", stem.kernel, stem.channels, stride=stem.stride)
            if post:
                self.norm("bn1", spec)
            if stem.pool:
                self.move(3, stride=2)
        for stage, places in zip(spec.stages, spec.by_stage(), strict=True):
            for place in places:
                self.block(spec, place)
            if stage.pool:
                self.seen += self.apart
                self.apart *= 2
                self.side //= 2
        if not post:
            self.norm("bn", spec)
        self.channels, self.side = self.channels * (spec.head.pool**2 if self.side else 1), 0
        for number, width in enumerate(spec.head.hidden, start=1):
            self.layer(f"fc{number}", 0, width, bias=True)
        self.layer("fc", 0, num_classes, bias=True)

    def block(self, spec: NetSpec, place: BlockPlace) -> None:
        before, post = Walk(self.channels, self.side, self.seen, self.apart), spec.order == "post"
        path, layers = place.path, spec.block.layers(place.out_channels, stride=place.stride)
        for number, (kernel, channels, stride_here) in enumerate(layers, start=1):
            if not post:
                self.norm(f"{path}.bn{number}", spec)
            name = f"{path}.{'conv' if kernel else 'linear'}{number}"
            self.layer(name, kernel, channels, stride=stride_here, bias=spec.block.bias)
            if post:
                self.norm(f"{path}.bn{number}", spec)
        if spec.projects(place):
            before.layer(f"{path}.downsample.0", 1, place.out_channels, stride=place.stride)
            if post:
                before.norm(f"{path}.downsample.1", spec)
            self.found += before.found

    def layer(self, path: str, kernel: int, channels: int, *, stride: int = 1, bias: bool = False) -> None:
        """A convolution of `kernel` pixels a side, or, if that is 0, a fully connected layer."""
        weights = self.channels * max(kernel, 1) ** 2  # of one filter
        if kernel:
            self.move(kernel, stride=stride)
        self.channels = channels
        kind, params = "Conv2d" if kernel else "Linear", channels * (weights + bias)
        self.add(path, kind, params=params, macs=channels * max(self.side, 1) ** 2 * weights)

    def norm(self, path: str, spec: NetSpec) -> None:
        if spec.norm == "batch":
            self.add(path, "BatchNorm2d", params=2 * self.channels, macs=0)

    def move(self, kernel: int, *, stride: int) -> None:
        """Past a window that keeps the map's size but for the stride."""
        self.side = (self.side + 2 * (kernel // 2) - kernel) // stride + 1
        self.seen += (kernel - 1) * self.apart
        self.apart *= stride

    def add(self, path: str, kind: str, *, params: int, macs: int) -> None:
        shape = (self.channels, self.side, self.side) if self.side else (self.channels,)
        self.found.append(LayerCost(path, kind, shape, params, macs, self.seen if self.side else None))
