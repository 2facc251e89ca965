"""The layers that nets are made of, and the shortcut: the one place where a plain and a residual net differ.

Sources: [P1] He et al., Deep Residual Learning, arXiv 1512.03385; [P2] He et al., Identity Mappings, arXiv 1603.05027.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from resnet_exp.nets.spec import BlockPlace, NetSpec


def pick_pixels(x: Tensor, *, stride: int) -> Tensor:
    """Every `stride`-th pixel, (N, C, H, W) -> (N, C, H/s, W/s), by a window of one pixel.

    Slices would do the same, but their gradient is laid out channels first, and the backward pass around it then reads
    two layouts at once.
    """
    return F.avg_pool2d(x, kernel_size=1, stride=stride)


class Conv1x1(nn.Conv2d):
    """A 1x1 convolution; a stride picks the pixels first, which computes the same.

    oneDNN's own strided one, in channels_last on a CPU, writes past its memory where there are fewer input channels
    than it takes at a time (8 with AVX2): wrong gradients or a crash (uxlfoundation/oneDNN#6035, torch 2.14).
    """

    def __init__(self, in_channels: int, out_channels: int, *, stride: int = 1, bias: bool = False) -> None:
        super().__init__(in_channels, out_channels, 1, bias=bias)
        self.picked_stride = stride

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(pick_pixels(x, stride=self.picked_stride) if self.picked_stride > 1 else x)


def make_layer(kernel: int, in_channels: int, out_channels: int, *, stride: int = 1, bias: bool = False) -> nn.Module:
    """A convolution of `kernel` pixels a side that keeps the map's size but for the stride; 0: fully connected."""
    if kernel == 0:
        return nn.Linear(in_channels, out_channels, bias=bias)
    if kernel == 1:
        return Conv1x1(in_channels, out_channels, stride=stride, bias=bias)
    return nn.Conv2d(in_channels, out_channels, kernel, stride=stride, padding=kernel // 2, bias=bias)


class BatchNorm(nn.BatchNorm2d):
    """BN whose batches `Network` counts, for all its layers at once: on a GPU each count would be a launch."""

    momentum: float  # never None, as torch allows: the moving average needs no count
    num_batches_tracked: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, C, H, W) or (N, C)."""
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


def make_norm(norm: str, channels: int) -> nn.Module:
    """`batch` or `none`."""
    return BatchNorm(channels) if norm == "batch" else nn.Identity()


def relu(x: Tensor) -> Tensor:
    """In place: for a fresh output that no backward pass reads; memory traffic is what it costs."""
    return F.relu(x, inplace=True)


def activate(x: Tensor, norm: nn.Module) -> Tensor:
    """BN-ReLU of a tensor that others may still read; without BN, ReLU alone must not write into it."""
    return F.relu(x) if isinstance(norm, nn.Identity) else relu(norm(x))


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


def make_shortcut(spec: NetSpec, place: BlockPlace) -> nn.Module | None:
    """What a block adds to its residual function; the one place where a plain and a residual net differ.

    By the net's option: `none` (plain net: nothing is added), `A` (identity, zero-padded where the shape changes), `B`
    (projection where the shape changes), `C` (projection everywhere). [P1] 3.3 and 4.1. A projection of a net of order
    `post` ends in BN, if there is any.

    Raises:
        ValueError: the option is none of the four.
    """
    if spec.shortcut not in ("none", "A", "B", "C"):
        raise ValueError(f"shortcut={spec.shortcut}: choose none, A, B or C")
    if spec.shortcut == "none":
        return None
    channels = place.in_channels, place.out_channels
    if spec.projects(place):
        return Projection(*channels, stride=place.stride, norm=spec.order == "post" and spec.norm == "batch")
    return PaddedIdentity(*channels, stride=place.stride) if place.changes_shape else nn.Identity()
