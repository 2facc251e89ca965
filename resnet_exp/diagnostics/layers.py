"""The layers of a net in the order in which an image meets them, each with the BN that follows it at once."""

from dataclasses import dataclass

from torch import nn

from resnet_exp.nets.layers import BatchNorm
from resnet_exp.nets.network import Network


@dataclass(frozen=True)
class Layer:
    """A layer with weights on the longest path: projections and the head are none.

    Args:
        name: of its module: `layer1.0.conv1`.
        stage: 0 for the stem.
        block: from 1 on through the whole net; 0 for the stem.
        module: the convolution or fully connected layer.
        norm: the BN right behind it; None without BN, and in v2 behind the stem and the last layer of a block.
    """

    name: str
    stage: int
    block: int
    module: nn.Module
    norm: BatchNorm | None


def layers_of(model: Network) -> list[Layer]:
    """The stem, then every layer of every block."""
    found: list[tuple[int, int, nn.Module, nn.Module | None]] = []
    if model.spec.stem is not None:
        found += [(0, 0, layer, None if model.pre else model.bn1) for layer in model.stem]
    for block in model.blocks:
        norms = (*block.norms[1:], None) if block.order == "pre" else block.norms
        for layer, norm in zip(block.layers, norms, strict=True):
            found.append((block.place.stage, block.place.number, layer, norm))
    names = {module: name for name, module in model.named_modules()}
    return [
        Layer(names[layer], stage, block, layer, norm if isinstance(norm, BatchNorm) else None)
        for stage, block, layer, norm in found
    ]
