"""Which images a step sees, how cropped and flipped: a function of seed and step alone."""

import hashlib

import pytest
import torch

from resnet_exp.data.crops import Crop, PaddedCrop, ResizedCrop
from resnet_exp.data.stream import BatchStream, Feed, sample_epoch

CPU = torch.device("cpu")
PADDED, RESIZED = PaddedCrop(8, padding=4, border="mean"), ResizedCrop(32)
each_crop = pytest.mark.parametrize("crop", [PADDED, RESIZED], ids=["padded", "resized"])


def stream(*, num_images: int = 50, batch_size: int = 16, seed: int = 0, crop: Crop = PADDED) -> BatchStream:
    return BatchStream(num_images=num_images, batch_size=batch_size, crop=crop, augment=True, seed=seed)


@pytest.mark.parametrize(("num_images", "batch_size"), [(50, 16), (48, 16), (10, 16), (7, 64)])
def test_every_image_once_per_epoch_and_every_batch_full(num_images: int, batch_size: int) -> None:
    batches = stream(num_images=num_images, batch_size=batch_size)
    samples = [batches.batches(step) for step in range(40)]
    assert {len(sample.indices) for sample in samples} == {batch_size}
    seen = torch.cat([sample.indices for sample in samples])
    epochs = seen[: len(seen) // num_images * num_images].view(-1, num_images)
    assert len(epochs) > 1
    for epoch in epochs:
        assert torch.equal(epoch.sort().values, torch.arange(num_images))
    assert not torch.equal(epochs[0], epochs[1])


@each_crop
def test_a_batch_depends_on_seed_and_step_alone(crop: Crop) -> None:
    forward, backward = stream(crop=crop), stream(crop=crop)
    steps = range(20)
    there = {step: forward.batches(step) for step in steps}
    back = {step: backward.batches(step) for step in reversed(steps)}
    torch.manual_seed(7)
    fresh = {step: stream(crop=crop).batches(step) for step in steps}
    for step in steps:
        for other in (back[step], fresh[step]):
            assert torch.equal(there[step].indices, other.indices)
            assert torch.equal(there[step].windows, other.windows)
            assert torch.equal(there[step].flips, other.flips)
    other_seed = stream(seed=1, crop=crop).batches(0)
    assert not torch.equal(there[0].indices, other_seed.indices)
    assert not torch.equal(there[0].windows, other_seed.windows)


@each_crop
@pytest.mark.parametrize(("num_images", "batch_size"), [(50, 16), (48, 16), (10, 16), (7, 64)])
def test_a_feed_holds_the_batches_of_its_stream_wherever_it_begins(
    num_images: int, batch_size: int, crop: Crop
) -> None:
    batches = stream(num_images=num_images, batch_size=batch_size, crop=crop)
    for begin in (0, 3, 11):
        feed = Feed(stream(num_images=num_images, batch_size=batch_size, crop=crop), device=CPU)
        for step in range(begin, begin + 10):
            feed.fill(step)
            for fed, expected in zip(feed.batch(torch.tensor(step)), batches.batches(step), strict=True):
                assert torch.equal(fed, expected)


def test_several_batches_are_one_after_the_other() -> None:
    together, alone = stream().batches(2, 5), [stream().batches(step) for step in range(2, 7)]
    for joined, parts in zip(together, zip(*alone, strict=True), strict=True):
        assert torch.equal(joined, torch.cat(parts))


def test_the_draws_of_padded_crops_are_those_of_version_01() -> None:
    """Permutation, corners and flips of one generator, in this order: what every recorded run saw."""
    digest = hashlib.sha256(b"resnet-exp stream 3 2").digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "little", signed=True))
    sample = sample_epoch(seed=3, epoch=2, num_images=50, crop=PADDED, augment=True)
    assert torch.equal(sample.indices, torch.randperm(50, generator=generator))
    assert torch.equal(sample.windows[:, :2], torch.randint(0, 9, (50, 2), generator=generator))
    assert torch.equal(sample.flips, torch.randint(0, 2, (50,), generator=generator).bool())


def test_crops_and_flips_are_sampled_per_image_and_evenly() -> None:
    sample = sample_epoch(seed=0, epoch=0, num_images=9000, crop=PADDED, augment=True)
    corners = sample.windows[:, :2]
    counts = torch.bincount(corners.flatten(), minlength=9)
    assert len(counts) == 9
    assert counts.min() > 0.9 * 2000
    assert 0.48 < sample.flips.float().mean() < 0.52
    assert not torch.equal(corners[:, 0], corners[:, 1])
