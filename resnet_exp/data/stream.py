"""Batches as a pure function of (seed, step): which images, how cropped, which mirrored; all on the device.

The training set is an endless stream of permutations, one per epoch, cut into batches of exactly `batch_size`: no
partial batch, no image lost. A batch may reach from one epoch into the next.
"""

import hashlib

import torch
from torch import Tensor

from resnet_exp.data.crops import Crop, Sample

EPOCHS_KEPT = 2  # a batch rarely touches more


def sample_epoch(*, seed: int, epoch: int, num_images: int, crop: Crop, augment: bool) -> Sample:
    """The samples of one epoch, on the CPU: every image once, each with its own crop and flip.

    Without `augment` the order stays the same, every crop is the centre, and nothing is flipped.
    """
    digest = hashlib.sha256(f"resnet-exp stream {seed} {epoch}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "little", signed=True))
    order = torch.randperm(num_images, generator=generator)
    if not augment:
        return Sample(order, crop.centre(num_images), torch.zeros(num_images, dtype=torch.bool))
    windows = crop.draw(num_images, generator=generator)
    return Sample(order, windows, torch.randint(0, 2, (num_images,), generator=generator).bool())


class BatchStream:
    """The endless stream of batches of one run.

    Args:
        num_images: size of the training set; may be smaller than a batch.
        batch_size: images in every batch.
        crop: draws the windows.
        augment: whether crops and flips are random.
        seed: the run's seed.
    """

    def __init__(self, *, num_images: int, batch_size: int, crop: Crop, augment: bool, seed: int) -> None:
        self.num_images = num_images
        self.batch_size = batch_size
        self.crop = crop
        self.augment = augment
        self.seed = seed
        self.epochs: dict[int, Sample] = {}

    def batches(self, first: int, count: int = 1) -> Sample:
        """The samples of batches `first` (from 0) to `first + count - 1` on the CPU, `count * batch_size` of each."""
        position, end = first * self.batch_size, (first + count) * self.batch_size
        parts = []
        while position < end:
            epoch, start = divmod(position, self.num_images)
            stop = min(self.num_images, start + end - position)
            parts.append(self.epoch(epoch).part(slice(start, stop)))
            position += stop - start
        return Sample(*map(torch.cat, zip(*parts, strict=True)))

    def epoch(self, epoch: int) -> Sample:
        if epoch not in self.epochs:
            self.epochs[epoch] = sample_epoch(
                seed=self.seed,
                epoch=epoch,
                num_images=self.num_images,
                crop=self.crop,
                augment=self.augment,
            )
            while len(self.epochs) > EPOCHS_KEPT:
                del self.epochs[next(iter(self.epochs))]
        return self.epochs[epoch]


class Feed:
    """The samples of about an epoch of batches, in fixed memory on the device, so that a captured step can read them.

    Args:
        stream: where they come from.
        device: where they are needed.
    """

    def __init__(self, stream: BatchStream, *, device: torch.device) -> None:
        self.stream, self.device = stream, device
        self.count = max(1, stream.num_images // stream.batch_size)  # batches held
        self.held = Sample(*(torch.empty_like(tensor, device=device) for tensor in stream.batches(0, self.count)))
        self.rows = torch.arange(stream.batch_size, device=device)
        self.part = -1  # which stretch of `count` batches is held

    def fill(self, step: int) -> None:
        """Sees to it that batch `step` is there: one upload per epoch, queued behind the steps that still read."""
        part = step // self.count
        if part == self.part:
            return
        for held, sampled in zip(self.held, self.stream.batches(part * self.count, self.count), strict=True):
            if self.device.type == "cuda":  # from pinned memory, else the copy waits for the steps before it
                sampled = sampled.pin_memory()
            held.copy_(sampled, non_blocking=True)
        self.part = part

    def batch(self, step: Tensor) -> Sample:
        """The samples of batch `step`, an int64 tensor () on the device; `fill` has brought them."""
        rows = step % self.count * len(self.rows) + self.rows
        return self.held.part(rows)
