"""The nets of the study: shortcut -> block -> stage -> net, then initialisation and a description.

Sources: [P1] He et al., Deep Residual Learning, arXiv 1512.03385; [P2] He et al., Identity Mappings, arXiv 1603.05027.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

STAGES = 3
EXPANSION = 4  # a bottleneck's output is four times as wide as its 3x3 convolution


def conv3x3(in_channels: int, out_channels: int, *, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False)


def pick_pixels(x: Tensor, *, stride: int) -> Tensor:
    """Every `stride`-th pixel, (N, C, H, W) -> (N, C, H/s, W/s), by a window of one pixel.

    Slices would do the same, but their gradient is laid out channels first, and the backward pass around it then reads
    two layouts at once.
    """
    return F.avg_pool2d(x, kernel_size=1, stride=stride)


class Conv1x1(nn.Conv2d):
    """A 1x1 convolution without bias; a stride picks the pixels first, which computes the same.

    oneDNN's own strided one, in channels_last on a CPU, writes past its memory where there are fewer input channels
    than it takes at a time (8 with AVX2): wrong gradients or a crash (uxlfoundation/oneDNN#6035, torch 2.14).
    """

    def __init__(self, in_channels: int, out_channels: int, *, stride: int = 1) -> None:
        super().__init__(in_channels, out_channels, 1, bias=False)
        self.picked_stride = stride

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(pick_pixels(x, stride=self.picked_stride) if self.picked_stride > 1 else x)


def relu(x: Tensor) -> Tensor:
    """In place: its input is always a fresh output that no backward pass reads, and memory traffic is what it costs."""
    return F.relu(x, inplace=True)


class BatchNorm(nn.BatchNorm2d):
    """BN whose batches `CifarNet` counts, for all its layers at once: on a GPU each count would be a launch."""

    momentum: float  # never None, as torch allows: the moving average needs no count
    num_batches_tracked: Tensor

    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(
            x,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            training=self.training,
            momentum=self.momentum,
            eps=self.eps,
        )


class PaddedIdentity(nn.Module):
    """Option A of [P1] 3.3: every `stride`-th pixel, the missing channels zero. Holds no parameter."""

    def __init__(self, in_channels: int, out_channels: int, *, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.missing = out_channels - in_channels

    def forward(self, x: Tensor) -> Tensor:
        pixels = pick_pixels(x, stride=self.stride)
        return F.pad(pixels, (0, 0, 0, 0, 0, self.missing))  # (N, C, H, W) -> (N, C + missing, H/s, W/s)


class Projection(nn.Sequential):
    """Options B and C of [P1] 3.3: a 1x1 convolution, followed by BN in v1 and by nothing in v2 ([P2]'s code)."""

    def __init__(self, in_channels: int, out_channels: int, *, stride: int, norm: bool) -> None:
        super().__init__(Conv1x1(in_channels, out_channels, stride=stride))
        if norm:
            self.append(BatchNorm(out_channels))


def make_shortcut(option: str, in_channels: int, out_channels: int, *, stride: int, norm: bool) -> nn.Module | None:
    """What a block adds to its residual function; the one place where a plain and a residual net differ.

    Args:
        option: `none` (plain net: nothing is added), `A` (identity, zero-padded where the shape changes), `B`
            (projection where the shape changes), `C` (projection everywhere). [P1] 3.3 and 4.1.
        norm: whether a projection ends in BN.

    Raises:
        ValueError: `option` is none of the four.
    """
    same_shape = stride == 1 and in_channels == out_channels
    if option == "none":
        return None
    if option == "C" or (option == "B" and not same_shape):
        return Projection(in_channels, out_channels, stride=stride, norm=norm)
    if option in ("A", "B"):
        if same_shape:
            return nn.Identity()
        return PaddedIdentity(in_channels, out_channels, stride=stride)
    raise ValueError(f"shortcut={option}: choose none, A, B or C")


def make_convs(in_channels: int, channels: int, *, stride: int, bottleneck: bool) -> list[nn.Conv2d]:
    """The convolutions of one residual function; the first one carries the stride ([P1] 4.2, [P2]'s code).

    Basic: 3x3, 3x3 to `channels`. Bottleneck: 1x1, 3x3 at `channels`, then 1x1 to `4 * channels`.
    """
    if not bottleneck:
        return [conv3x3(in_channels, channels, stride=stride), conv3x3(channels, channels)]
    return [
        Conv1x1(in_channels, channels, stride=stride),
        conv3x3(channels, channels),
        Conv1x1(channels, EXPANSION * channels),
    ]


class BlockV1(nn.Module):
    """y = relu(shortcut(x) + F(x)), F = conv-BN(-ReLU-conv-BN)*. [P1] eq. 1 and figures 2, 5."""

    def __init__(
        self, in_channels: int, channels: int, *, stride: int, bottleneck: bool, option: str, first: bool
    ) -> None:
        super().__init__()
        convs = make_convs(in_channels, channels, stride=stride, bottleneck=bottleneck)
        self.convs = nn.ModuleList(convs)
        self.norms = nn.ModuleList(BatchNorm(conv.out_channels) for conv in convs)
        self.out_channels = convs[-1].out_channels
        self.shortcut = make_shortcut(option, in_channels, self.out_channels, stride=stride, norm=True)

    def forward(self, x: Tensor) -> Tensor:
        residual = self.norms[0](self.convs[0](x))
        for conv, norm in zip(self.convs[1:], self.norms[1:], strict=True):
            residual = norm(conv(relu(residual)))
        if self.shortcut is not None:
            residual += self.shortcut(x)
        return relu(residual)


class BlockV2(nn.Module):
    """y = shortcut(x) + F(x), F = (BN-ReLU-conv)*: full pre-activation. [P2] eq. 5 and figure 4(e).

    Only a true identity carries the raw signal. The net's first block activates before the split ([P2] appendix), and
    so does every block whose shortcut is not an identity: [P2]'s code does it for projections; for option A, on which
    the paper is silent, we do the same.
    """

    def __init__(
        self, in_channels: int, channels: int, *, stride: int, bottleneck: bool, option: str, first: bool
    ) -> None:
        super().__init__()
        convs = make_convs(in_channels, channels, stride=stride, bottleneck=bottleneck)
        self.convs = nn.ModuleList(convs)
        self.norms = nn.ModuleList(BatchNorm(conv.in_channels) for conv in convs)
        self.out_channels = convs[-1].out_channels
        self.shortcut = make_shortcut(option, in_channels, self.out_channels, stride=stride, norm=False)
        self.activate_before_split = first or not isinstance(self.shortcut, nn.Identity)

    def forward(self, x: Tensor) -> Tensor:
        activated = relu(self.norms[0](x))
        residual = self.convs[0](activated)
        for conv, norm in zip(self.convs[1:], self.norms[1:], strict=True):
            residual = conv(relu(norm(residual)))
        if self.shortcut is not None:
            residual += self.shortcut(activated if self.activate_before_split else x)
        return residual


class CifarNet(nn.Module):
    """A CIFAR net of [P1] 4.2 / [P2]: 3x3 stem, three stages of equal length, global average pool, linear head.

    Depth is 6n + 2 with n basic blocks a stage, or 9n + 2 with n bottleneck blocks a stage. Stages 2 and 3 halve the
    map and double the channels. Blocks stand in flat `Sequential`s, so that 1,202 layers do not nest.

    Args:
        depth: layers with weights on the longest path, projections not counted.
        block: `v1` (BN and ReLU after the convolution) or `v2` (before it).
        shortcut: `none`, `A`, `B` or `C`, see `make_shortcut`.
        bottleneck: three-convolution blocks.
        width: channels of the stem and of the 3x3 convolutions in stage 1.
        num_classes: outputs of the head.

    Raises:
        ValueError: no net of that depth exists, or `block` or `shortcut` is unknown.
    """

    def __init__(
        self,
        *,
        depth: int,
        block: str = "v1",
        shortcut: str = "A",
        bottleneck: bool = False,
        width: int = 16,
        num_classes: int = 10,
    ) -> None:
        super().__init__()
        layers_per_block = 3 if bottleneck else 2
        num_blocks, rest = divmod(depth - 2, STAGES * layers_per_block)
        if rest or num_blocks < 1:
            raise ValueError(f"depth={depth}: must be {STAGES * layers_per_block}n+2 with n >= 1")
        if block not in ("v1", "v2"):
            raise ValueError(f"block={block}: choose v1 or v2")
        block_class = BlockV1 if block == "v1" else BlockV2

        # v1 activates the stem's output here; v2 does it in its first block, and closes with one more BN-ReLU.
        self.stem = nn.Sequential(conv3x3(3, width))
        if block == "v1":
            self.stem.extend([BatchNorm(width), nn.ReLU(inplace=True)])
        channels = width
        stages = []
        for stage in range(STAGES):
            blocks = nn.Sequential()
            for index in range(num_blocks):
                unit = block_class(
                    channels,
                    width * 2**stage,
                    stride=2 if stage > 0 and index == 0 else 1,
                    bottleneck=bottleneck,
                    option=shortcut,
                    first=stage == 0 and index == 0,
                )
                channels = unit.out_channels
                blocks.append(unit)
            stages.append(blocks)
        self.stage1, self.stage2, self.stage3 = stages
        self.last = nn.Sequential()
        if block == "v2":
            self.last.extend([BatchNorm(channels), nn.ReLU(inplace=True)])
        self.head = nn.Linear(channels, num_classes)
        self.norms = [module for module in self.modules() if isinstance(module, BatchNorm)]

    @property
    def blocks(self) -> list[nn.Module]:
        """The repeated units, in order."""
        return [*self.stage1, *self.stage2, *self.stage3]

    def forward(self, images: Tensor) -> Tensor:
        if self.training:
            torch._foreach_add_([norm.num_batches_tracked for norm in self.norms], 1)
        x = self.stem(images)  # (N, 3, S, S) -> (N, width, S, S)
        x = self.stage1(x)  # (N, C, S, S)
        x = self.stage2(x)  # (N, 2C, S/2, S/2)
        x = self.stage3(x)  # (N, 4C, S/4, S/4)
        x = self.last(x).mean((2, 3))  # (N, 4C); mean, not adaptive pooling: its backward is deterministic on a GPU
        return self.head(x)  # (N, num_classes)


def initialise(model: nn.Module, *, seed: int) -> None:
    """He initialisation in place, drawn on the CPU from `seed` alone ([P1] 4.2 after arXiv 1502.01852).

    Convolutions: normal with variance 2 / (k * k * out_channels); head: uniform in +-1/sqrt(in_features), bias zero;
    BN: one and zero. These are the choices of the authors' released code for [P2]. Projections draw last, so nets that
    differ only in their shortcuts start from the same tensors everywhere else.
    """
    generator = torch.Generator().manual_seed(seed)
    layers = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    projections = {m for s in model.modules() if isinstance(s, Projection) for m in s.modules()}
    with torch.no_grad():
        for layer in sorted(layers, key=lambda m: m in projections):
            weight = torch.empty(layer.weight.shape)
            if isinstance(layer, nn.Conv2d):
                fan_out = layer.out_channels * layer.weight[0, 0].numel()
                layer.weight.copy_(weight.normal_(0.0, math.sqrt(2 / fan_out), generator=generator))
            else:
                bound = 1 / math.sqrt(layer.in_features)
                layer.weight.copy_(weight.uniform_(-bound, bound, generator=generator))
                layer.bias.zero_()


@dataclass(frozen=True)
class LayerCost:
    """One layer with parameters: its path in the net, its output shape for one image, its cost for one image."""

    path: str
    kind: str
    shape: tuple[int, ...]
    params: int
    macs: int  # multiply-adds


def kind_of(module: nn.Module) -> str:
    """The name that torch has for it or for what it is made from."""
    return next(kind.__name__ for kind in type(module).__mro__ if kind.__module__.startswith("torch."))


def describe(model: nn.Module, *, image_size: int) -> list[LayerCost]:
    """Shape, parameters and multiply-adds of every layer, for one image of `image_size` pixels a side.

    Multiply-adds count convolutions and the head, as [P1] does. Nothing is computed if `model` lies on the meta device.
    """
    layers = [(path, m) for path, m in model.named_modules() if next(m.parameters(recurse=False), None) is not None]
    costs: list[LayerCost] = []
    device = next(model.parameters()).device
    counter = FlopCounterMode(display=False)
    flops_before = 0

    def record(path: str, module: nn.Module, output: Tensor) -> None:
        nonlocal flops_before
        flops = counter.get_total_flops()
        params = sum(p.numel() for p in module.parameters(recurse=False))
        macs = (flops - flops_before) // 2
        costs.append(LayerCost(path, kind_of(module), tuple(output.shape[1:]), params, macs))
        flops_before = flops

    hooks = [
        module.register_forward_hook(lambda module, _, output, path=path: record(path, module, output))
        for path, module in layers
    ]
    was_training = model.training
    model.eval()  # a single 1x1 map has no batch statistics
    with torch.no_grad(), counter:
        model(torch.empty(1, 3, image_size, image_size, device=device))
    model.train(was_training)
    for hook in hooks:
        hook.remove()
    return costs
