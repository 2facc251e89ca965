"""From a description to a net: block -> stage -> net, named as torchvision names them.

Sources: [P1] He et al., Deep Residual Learning, arXiv 1512.03385; [P2] He et al., Identity Mappings, arXiv 1603.05027.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resnet_exp.nets.layers import BatchNorm, activate, make_layer, make_norm, make_shortcut, relu
from resnet_exp.nets.spec import BlockPlace, Head, NetSpec


class Block(nn.Module):
    """The repeated unit of every net: a few layers, and what `make_shortcut` adds to them.

    Order `post`: y = relu(shortcut(x) + F(x)), F = conv-BN(-ReLU-conv-BN)*. [P1] eq. 1 and figures 2, 5.
    Order `pre`: y = shortcut(x) + F(x), F = (BN-ReLU-conv)*. [P2] eq. 5 and figure 4(e).

    In a `pre` net only a true identity carries the raw signal. The net's first block activates before the split ([P2]
    appendix), and so does every block whose shortcut is not an identity: [P2]'s code does it for projections; for
    option A, on which the paper is silent, we do the same.

    Args:
        spec: the net's description.
        place: which of its blocks.
    """

    def __init__(self, spec: NetSpec, place: BlockPlace) -> None:
        super().__init__()
        self.order, self.place = spec.order, place
        layers, norms, channels = [], [], place.in_channels
        for kernel, out_channels, stride in spec.block.layers(place.out_channels, stride=place.stride):
            layers.append(make_layer(kernel, channels, out_channels, stride=stride, bias=spec.block.bias))
            norms.append(make_norm(spec.norm, out_channels if spec.order == "post" else channels))
            channels = out_channels
        for number, (layer, norm) in enumerate(zip(layers, norms, strict=True), start=1):
            self.add_module(f"conv{number}" if isinstance(layer, nn.Conv2d) else f"linear{number}", layer)
            self.add_module(f"bn{number}", norm)
        self.layers, self.norms = tuple(layers), tuple(norms)
        self.downsample = make_shortcut(spec, place)
        self.activate_before_split = place.number == 1 or not isinstance(self.downsample, nn.Identity)

    @property
    def ending(self) -> nn.Module:
        """What ends the residual branch: if its weight is zero, so is the branch."""
        after_the_last_layer = self.order == "post" and isinstance(self.norms[-1], BatchNorm)
        return self.norms[-1] if after_the_last_layer else self.layers[-1]

    def forward(self, x: Tensor) -> Tensor:
        return self.post(x) if self.order == "post" else self.pre(x)

    def post(self, x: Tensor) -> Tensor:
        residual = self.norms[0](self.layers[0](x))
        for layer, norm in zip(self.layers[1:], self.norms[1:], strict=True):
            residual = norm(layer(relu(residual)))
        if self.downsample is not None:
            residual += self.downsample(x)
        return relu(residual)

    def pre(self, x: Tensor) -> Tensor:
        activated = activate(x, self.norms[0])
        residual = self.layers[0](activated)
        for layer, norm in zip(self.layers[1:], self.norms[1:], strict=True):
            residual = layer(relu(norm(residual)))
        if self.downsample is not None:
            residual += self.downsample(activated if self.activate_before_split else x)
        return residual


class Network(nn.Module):
    """The net of a description: stem, stages of blocks, head. Its parameters have torchvision's names.

    `conv1, bn1` is the stem, `layer1`, `layer2`, ... are the stages, `layer1.0.conv1, .bn1, ..., .downsample.0` a block
    and its projection, `bn` what closes a net of order `pre`, `fc1, fc2` hidden layers of the head, `fc` its last one.
    Blocks stand in flat `Sequential`s, so that 1,202 layers do not nest.

    Args:
        spec: the description.
        num_classes: outputs of the head.

    Raises:
        ValueError: the description's shortcut is unknown.
    """

    def __init__(self, spec: NetSpec, *, num_classes: int = 10) -> None:
        super().__init__()
        self.spec = spec
        self.pre = spec.order == "pre"
        stem = spec.stem
        self.stem: tuple[nn.Module, ...] = ()
        if stem is not None:
            self.stem = (make_layer(stem.kernel, stem.inputs, stem.channels, stride=stem.stride),)
            self.add_module("conv1" if stem.kernel else "linear1", self.stem[0])
            if not self.pre:  # a net of order `pre` activates in its first block, and closes with one more BN-ReLU
                self.bn1 = make_norm(spec.norm, stem.channels)
        stages = []
        for number, places in enumerate(spec.by_stage(), start=1):
            stages.append(nn.Sequential(*(Block(spec, place) for place in places)))
            self.add_module(f"layer{number}", stages[-1])
        self.stages, channels = tuple(stages), spec.stages[-1].channels
        if self.pre:
            self.bn = make_norm(spec.norm, channels)
        self.hidden = tuple(self.make_hidden(spec.head, channels))
        self.fc = nn.Linear(spec.head.hidden[-1] if spec.head.hidden else channels * spec.head.pool**2, num_classes)
        self.batch_norms = [module for module in self.modules() if isinstance(module, BatchNorm)]

    def make_hidden(self, head: Head, channels: int) -> list[nn.Linear]:
        layers, width = [], channels * head.pool**2
        for number, units in enumerate(head.hidden, start=1):
            layers.append(nn.Linear(width, units))
            self.add_module(f"fc{number}", layers[-1])
            width = units
        return layers

    @property
    def blocks(self) -> list[Block]:
        """The repeated units, in order."""
        return [block for stage in self.stages for block in stage if isinstance(block, Block)]

    def forward(self, images: Tensor) -> Tensor:
        if self.training and self.batch_norms:
            torch._foreach_add_([norm.num_batches_tracked for norm in self.batch_norms], 1)
        x = self.begin(images)  # (N, 3, S, S) -> (N, C, S, S)
        for stage, blocks in zip(self.spec.stages, self.stages, strict=True):
            x = blocks(x)  # (N, C, S, S) -> (N, C', S/stride, S/stride)
            if stage.pool:
                x = F.max_pool2d(x, 2)
        return self.end(x)  # (N, num_classes)

    def begin(self, images: Tensor) -> Tensor:
        x, stem = images, self.spec.stem
        if stem is None:
            return x
        if stem.kernel == 0:
            x = x.flatten(1)  # (N, 3, S, S) -> (N, 3 * S * S)
        for layer in self.stem:
            x = layer(x)
        if not self.pre:
            x = relu(self.bn1(x))
        return F.max_pool2d(x, 3, stride=2, padding=1) if stem.pool else x

    def end(self, x: Tensor) -> Tensor:
        if self.pre:
            x = activate(x, self.bn)
        if x.ndim == 4:
            # mean, not adaptive pooling: its backward is deterministic on a GPU
            x = x.mean((2, 3)) if self.spec.head.pool == 1 else F.adaptive_avg_pool2d(x, self.spec.head.pool).flatten(1)
        for layer in self.hidden:
            x = relu(layer(x))
        return self.fc(x)
