"""Which images a step sees, how cropped and flipped: a function of seed and step alone."""

import pytest
import torch

from resnet_exp.data.stream import BatchStream, Feed, sample_epoch

CPU = torch.device("cpu")


def stream(*, num_images: int = 50, batch_size: int = 16, seed: int = 0) -> BatchStream:
    return BatchStream(num_images=num_images, batch_size=batch_size, padding=4, augment=True, seed=seed)


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


def test_a_batch_depends_on_seed_and_step_alone() -> None:
    forward, backward = stream(), stream()
    steps = range(20)
    there = {step: forward.batches(step) for step in steps}
    back = {step: backward.batches(step) for step in reversed(steps)}
    torch.manual_seed(7)
    fresh = {step: stream().batches(step) for step in steps}
    for step in steps:
        for other in (back[step], fresh[step]):
            assert torch.equal(there[step].indices, other.indices)
            assert torch.equal(there[step].offsets, other.offsets)
            assert torch.equal(there[step].flips, other.flips)
    assert not torch.equal(there[0].indices, stream(seed=1).batches(0).indices)


@pytest.mark.parametrize(("num_images", "batch_size"), [(50, 16), (48, 16), (10, 16), (7, 64)])
def test_a_feed_holds_the_batches_of_its_stream_wherever_it_begins(num_images: int, batch_size: int) -> None:
    batches = stream(num_images=num_images, batch_size=batch_size)
    for begin in (0, 3, 11):
        feed = Feed(stream(num_images=num_images, batch_size=batch_size), device=CPU)
        for step in range(begin, begin + 10):
            feed.fill(step)
            for fed, expected in zip(feed.batch(torch.tensor(step)), batches.batches(step), strict=True):
                assert torch.equal(fed, expected)


def test_several_batches_are_one_after_the_other() -> None:
    together, alone = stream().batches(2, 5), [stream().batches(step) for step in range(2, 7)]
    for joined, parts in zip(together, zip(*alone, strict=True), strict=True):
        assert torch.equal(joined, torch.cat(parts))


def test_crops_and_flips_are_sampled_per_image_and_evenly() -> None:
    sample = sample_epoch(seed=0, epoch=0, num_images=9000, padding=4, augment=True)
    counts = torch.bincount(sample.offsets.flatten(), minlength=9)
    assert len(counts) == 9
    assert counts.min() > 0.9 * 2000
    assert 0.48 < sample.flips.float().mean() < 0.52
    assert not torch.equal(sample.offsets[:, 0], sample.offsets[:, 1])
