"""The two ways to crop an image: which windows may be drawn, how a batch is cut on the device, what a test is shown.

Padded crops are those of [P1] 4.2: a window of the image's own size, moved over a border. Resized crops are those of
ImageNet training since Szegedy et al., arXiv 1409.4842, section 6: any part of the image, scaled to the net's size.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from resnet_exp.config import DataConfig

AREA = (0.08, 1.0)  # of the image, in a resized crop
RATIO = (3 / 4, 4 / 3)  # its width over its height
TRIES = 10  # draws of area and ratio; if no window of theirs fits into the image, all of it is taken
LARGER = 8 / 7  # images are stored this many times larger than the net sees them: 256 pixels for 224


class Sample(NamedTuple):
    """What was sampled for B images.

    `indices` (B,); `windows` (B, 4), in pixels of the prepared images: top, left, height, width; `flips` (B,) bool.
    """

    indices: Tensor
    windows: Tensor
    flips: Tensor

    def part(self, rows: slice | Tensor) -> "Sample":
        return Sample(self.indices[rows], self.windows[rows], self.flips[rows])


@dataclass(frozen=True)
class Crop(ABC):
    """One way to crop.

    Args:
        size: pixels a side that the net sees.
    """

    size: int

    @property
    @abstractmethod
    def stored_size(self) -> int:
        """Pixels a side at which images are kept."""

    @property
    @abstractmethod
    def prepared_size(self) -> int:
        """Pixels a side of the images that windows are cut from."""

    @property
    def stored_bytes(self) -> int:
        """Of one image."""
        return 3 * self.stored_size**2

    @property
    @abstractmethod
    def copy_bytes(self) -> int:
        """Of what `prepare` makes of one image, beside the stored one."""

    @abstractmethod
    def prepare(self, images: Tensor, *, mean: Tensor) -> Tensor:
        """What is done once, before windows are cut: (N, stored, stored, 3) -> (N, prepared, prepared, 3), both uint8.

        Args:
            mean: of the training pixels, (3,) in 0 .. 1.
        """

    @abstractmethod
    def draw(self, count: int, *, generator: torch.Generator) -> Tensor:
        """Random windows (count, 4) int64, as `Sample` has them, on the CPU."""

    def centre(self, count: int) -> Tensor:
        """The windows (count, 4) that are drawn without augmentation: the net's size in the middle."""
        margin = (self.prepared_size - self.size) // 2
        return torch.tensor([margin, margin, self.size, self.size]).repeat(count, 1)

    @abstractmethod
    def cut(self, prepared: Tensor, sample: Sample) -> Tensor:
        """Each image's own window, mirrored where its flip says so: (N, prepared, prepared, 3) -> (B, 3, size, size).

        In 0 .. 255, in memory as channels_last. Waits for nothing, and its shapes are those of `sample`: it can be
        captured.
        """

    def whole(self, images: Tensor) -> Tensor:
        """What a test is shown: the middle of each image, (B, stored, stored, 3) -> (B, size, size, 3)."""
        margin = (self.stored_size - self.size) // 2
        inside = slice(margin, margin + self.size)
        return images[:, inside, inside]

    @abstractmethod
    def recorded(self, *, augment: bool) -> dict[str, str]:
        """What `summary.json` says of it, by key."""


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


@dataclass(frozen=True)
class PaddedCrop(Crop):
    """A window of the image's own size, anywhere on the image and a border around it: [P1] 4.2.

    Args:
        padding: pixels of border on each side.
        border: what is seen outside the image. `mean`: the mean colour, rounded to a pixel's 256 values, as the
            authors of [P2] pad images that are already normalised; `black`: as torchvision users pad.
    """

    padding: int
    border: str

    @property
    def stored_size(self) -> int:
        return self.size

    @property
    def prepared_size(self) -> int:
        return self.size + 2 * self.padding

    @property
    def copy_bytes(self) -> int:
        return 3 * self.prepared_size**2

    def prepare(self, images: Tensor, *, mean: Tensor) -> Tensor:
        black = torch.zeros(3, dtype=torch.uint8, device=images.device)
        colour = black if self.border == "black" else (255 * mean).round().to(torch.uint8)
        return pad(images, padding=self.padding, colour=colour)

    def draw(self, count: int, *, generator: torch.Generator) -> Tensor:
        corners = torch.randint(0, 2 * self.padding + 1, (count, 2), generator=generator)
        return torch.cat([corners, torch.full((count, 2), self.size)], 1)

    def cut(self, prepared: Tensor, sample: Sample) -> Tensor:
        """uint8, by one gather."""
        axis = torch.arange(self.size, device=prepared.device)
        rows = sample.windows[:, 0, None] + axis  # (B, S)
        columns = torch.where(sample.flips[:, None], self.size - 1 - axis, axis) + sample.windows[:, 1, None]  # (B, S)
        windows = prepared[sample.indices[:, None, None], rows[:, :, None], columns[:, None, :]]  # (B, S, S, 3)
        return windows.permute(0, 3, 1, 2)

    def recorded(self, *, augment: bool) -> dict[str, str]:
        seen = {
            "black": f"{self.padding} black pixels a side, then normalised",
            "mean": f"{self.padding} pixels of the mean colour a side, then normalised",
        }
        augmentation = "random crop of the padded image and random flip, per image" if augment else "none"
        return {"border": self.border, "padding": seen[self.border], "augmentation": augmentation}


@dataclass(frozen=True)
class ResizedCrop(Crop):
    """A window of 8 to 100 % of the image's area and a ratio of 3/4 to 4/3, scaled to the net's size."""

    @property
    def stored_size(self) -> int:
        return round(self.size * LARGER)

    @property
    def prepared_size(self) -> int:
        return self.stored_size

    @property
    def copy_bytes(self) -> int:
        return 0

    def prepare(self, images: Tensor, *, mean: Tensor) -> Tensor:
        return images

    def draw(self, count: int, *, generator: torch.Generator) -> Tensor:
        side = self.prepared_size

        def uniform(low: float, high: float, columns: int) -> Tensor:
            return low + (high - low) * torch.rand(count, columns, dtype=torch.float64, generator=generator)

        areas = side**2 * uniform(*AREA, TRIES)
        ratios = uniform(math.log(RATIO[0]), math.log(RATIO[1]), TRIES).exp()
        tried = torch.stack([(areas / ratios).sqrt().round(), (areas * ratios).sqrt().round()], -1)  # (count, TRIES, 2)
        fits = (tried <= side).all(-1)
        first = fits.int().argmax(1)  # 0 where none fits
        sides = torch.where(fits.any(1, keepdim=True), tried[torch.arange(count), first], float(side))  # (count, 2)
        corners = ((side - sides + 1) * uniform(0, 1, 2)).floor()
        return torch.cat([corners, sides], 1).long()

    def cut(self, prepared: Tensor, sample: Sample) -> Tensor:
        """float32, between pixels bilinear; a window's outermost pixels go on beyond it."""
        side = prepared.shape[1]
        images = prepared[sample.indices].permute(0, 3, 1, 2).float()  # (B, 3, side, side)
        top, left, height, width = sample.windows[:, :, None].float().unbind(1)  # (B, 1) each
        centres = torch.arange(self.size, device=prepared.device) + 0.5  # of the net's pixels

        def places(centres: Tensor, begin: Tensor, length: Tensor) -> Tensor:
            """Where they lie in the image, (B, size), on the scale of `grid_sample`: -1 and 1 are its edges."""
            pixels = (begin + centres * length / self.size - 0.5).clamp(min=begin, max=begin + length - 1)
            return (2 * pixels + 1) / side - 1

        rows = places(centres, top, height)
        columns = places(torch.where(sample.flips[:, None], self.size - centres, centres), left, width)
        grid = torch.stack(torch.broadcast_tensors(columns[:, None, :], rows[:, :, None]), -1)  # (B, size, size, 2)
        cut = F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
        return cut.contiguous(memory_format=torch.channels_last)

    def recorded(self, *, augment: bool) -> dict[str, str]:
        drawn = "random crop of 8 to 100 % of the area, 3:4 to 4:3, resized, and random flip, per image"
        return {
            "padding": "none",
            "augmentation": drawn if augment else "none",
            "resizing": f"stored at {self.stored_size} pixels a side; a test sees the {self.size} in the middle",
        }


def make_crop(data: DataConfig) -> Crop:
    """The way to crop that the settings name."""
    return crop_of(data.crop, data.image_size, border=data.border)


def crop_of(name: str, size: int, *, border: str = "mean") -> Crop:
    """`padded` or `resized`, to `size` pixels a side; what a test sees does not depend on the border."""
    if name == "resized":
        return ResizedCrop(size)
    return PaddedCrop(size, padding=padding_of(size), border=border)
