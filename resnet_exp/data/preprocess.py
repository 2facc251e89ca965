"""From stored pixels to what a net reads: border, crop, mirror, normalisation; whole batches, on the device."""

from dataclasses import dataclass

import torch
from torch import Tensor

from resnet_exp.data.stream import Sample


def padding_of(image_size: int) -> int:
    """Pixels of border on each side: the 4 of [P1] 4.2 at 32 pixels, and in proportion elsewhere."""
    return image_size // 8


def pad(images: Tensor, *, padding: int, colour: Tensor) -> Tensor:
    """A border of one colour, (3,) uint8, on every side: (N, S, S, 3) -> (N, S + 2p, S + 2p, 3)."""
    count, size, _, channels = images.shape
    side = size + 2 * padding
    padded = colour.expand(count, side, side, channels).clone()
    padded[:, padding : padding + size, padding : padding + size] = images
    return padded


def crop_and_flip(padded: Tensor, sample: Sample, *, size: int) -> Tensor:
    """Cuts each image's own window, mirrored where its flip says so: (N, S + 2p, S + 2p, 3) -> (B, 3, size, size).

    One gather; the result lies in memory as channels_last.
    """
    axis = torch.arange(size, device=padded.device)
    rows = sample.offsets[:, 0, None] + axis  # (B, S)
    columns = torch.where(sample.flips[:, None], size - 1 - axis, axis) + sample.offsets[:, 1, None]  # (B, S)
    windows = padded[sample.indices[:, None, None], rows[:, :, None], columns[:, None, :]]  # (B, S, S, 3)
    return windows.permute(0, 3, 1, 2)


def normalise(images: Tensor, *, mean: Tensor, std: Tensor) -> Tensor:
    """uint8 (B, 3, S, S) -> float32 with mean 0 and variance 1 over the training split."""
    shape = (1, 3, 1, 1)
    return (images.float() / 255 - mean.view(shape)) / std.view(shape)


@dataclass(frozen=True)
class Preprocess:
    """How the images of one run are shown to its net.

    Args:
        mean: of each channel of the training split, (3,) in 0 .. 1.
        std: likewise.
        border: what random crops see outside the image. `mean`: the mean colour, rounded to a pixel's 256 values, as
            the authors of [P2] pad images that are already normalised; `black`: as torchvision users pad.
    """

    mean: Tensor
    std: Tensor
    border: str

    def pad(self, images: Tensor, *, padding: int) -> Tensor:
        """(N, S, S, 3) -> (N, S + 2p, S + 2p, 3), both uint8."""
        black = torch.zeros(3, dtype=torch.uint8, device=images.device)
        colour = black if self.border == "black" else (255 * self.mean).round().to(torch.uint8)
        return pad(images, padding=padding, colour=colour)

    def cut(self, padded: Tensor, sample: Sample, *, size: int) -> Tensor:
        """A training batch: (N, S + 2p, S + 2p, 3) uint8 -> (B, 3, size, size) float32, normalised."""
        return normalise(crop_and_flip(padded, sample, size=size), mean=self.mean, std=self.std)

    def whole(self, images: Tensor) -> Tensor:
        """Images as they are: (B, S, S, 3) uint8 -> (B, 3, S, S) float32, normalised."""
        return normalise(images.permute(0, 3, 1, 2), mean=self.mean, std=self.std)
