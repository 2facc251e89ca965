"""Batches as a pure function of (seed, step): which images, how cropped, which mirrored; all on the device.

The training set is an endless stream of permutations, one per epoch, cut into batches of exactly `batch_size`: no
partial batch, no image lost. A batch may reach from one epoch into the next.
"""

import hashlib
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

EPOCHS_KEPT = 2  # a batch rarely touches more


@dataclass(frozen=True)
class Draw:
    """What was drawn for B images: `indices` (B,), `offsets` (B, 2) of the crop (down, right), `flips` (B,) bool."""

    indices: Tensor
    offsets: Tensor
    flips: Tensor

    def __getitem__(self, part: slice) -> "Draw":
        return Draw(self.indices[part], self.offsets[part], self.flips[part])


def padding_of(image_size: int) -> int:
    """Pixels of border on each side: the 4 of [P1] 4.2 at 32 pixels, and in proportion elsewhere."""
    return image_size // 8


def draw_epoch(*, seed: int, epoch: int, num_images: int, padding: int, augment: bool) -> Draw:
    """The draws of one epoch, on the CPU: every image once, each with its own crop and flip.

    Without `augment` the order stays the same, every crop is the centre, and nothing is flipped.
    """
    digest = hashlib.sha256(f"resnet-exp stream {seed} {epoch}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "little", signed=True))
    order = torch.randperm(num_images, generator=generator)
    if not augment:
        return Draw(order, torch.full((num_images, 2), padding), torch.zeros(num_images, dtype=torch.bool))
    offsets = torch.randint(0, 2 * padding + 1, (num_images, 2), generator=generator)
    return Draw(order, offsets, torch.randint(0, 2, (num_images,), generator=generator).bool())


class BatchStream:
    """The endless stream of batches of one run.

    Args:
        num_images: size of the training set; may be smaller than a batch.
        batch_size: images in every batch.
        padding: pixels of border on each side, see `padding_of`.
        augment: whether crops and flips are random.
        seed: the run's seed.
        device: where the draws are needed; each epoch's are copied there once.
    """

    def __init__(
        self, *, num_images: int, batch_size: int, padding: int, augment: bool, seed: int, device: torch.device
    ) -> None:
        self.num_images = num_images
        self.batch_size = batch_size
        self.padding = padding
        self.augment = augment
        self.seed = seed
        self.device = device
        self.epochs: dict[int, Draw] = {}

    def batch(self, step: int) -> Draw:
        """The draws of batch `step` (from 0), each tensor of length `batch_size`."""
        position, end = step * self.batch_size, (step + 1) * self.batch_size
        parts = []
        while position < end:
            epoch, start = divmod(position, self.num_images)
            stop = min(self.num_images, start + end - position)
            parts.append(self.epoch(epoch)[start:stop])
            position += stop - start
        if len(parts) == 1:
            return parts[0]
        return Draw(
            torch.cat([p.indices for p in parts]),
            torch.cat([p.offsets for p in parts]),
            torch.cat([p.flips for p in parts]),
        )

    def epoch(self, epoch: int) -> Draw:
        if epoch not in self.epochs:
            draw = draw_epoch(
                seed=self.seed,
                epoch=epoch,
                num_images=self.num_images,
                padding=self.padding,
                augment=self.augment,
            )
            self.epochs[epoch] = Draw(
                draw.indices.to(self.device), draw.offsets.to(self.device), draw.flips.to(self.device)
            )
            while len(self.epochs) > EPOCHS_KEPT:
                del self.epochs[next(iter(self.epochs))]
        return self.epochs[epoch]


def pad(images: Tensor, *, padding: int) -> Tensor:
    """Black borders: (N, S, S, 3) -> (N, S + 2p, S + 2p, 3). Black before normalisation, as torchvision users pad."""
    return F.pad(images, (0, 0, padding, padding, padding, padding))


def crop_and_flip(padded: Tensor, draw: Draw, *, size: int) -> Tensor:
    """Cuts each image's own window, mirrored where its flip says so: (N, S + 2p, S + 2p, 3) -> (B, 3, size, size).

    One gather; the result lies in memory as channels_last.
    """
    axis = torch.arange(size, device=padded.device)
    rows = draw.offsets[:, 0, None] + axis  # (B, S)
    columns = torch.where(draw.flips[:, None], size - 1 - axis, axis) + draw.offsets[:, 1, None]  # (B, S)
    windows = padded[draw.indices[:, None, None], rows[:, :, None], columns[:, None, :]]  # (B, S, S, 3)
    return windows.permute(0, 3, 1, 2)


def normalise(images: Tensor, *, mean: Tensor, std: Tensor) -> Tensor:
    """uint8 (B, 3, S, S) -> float32 with mean 0 and variance 1 over the training split."""
    shape = (1, 3, 1, 1)
    return (images.float() / 255 - mean.view(shape)) / std.view(shape)
