import pytest
import torch

from resnet_exp.data.stream import BatchStream, Draw, Feed, crop_and_flip, draw_epoch, normalise, pad, padding_of

CPU = torch.device("cpu")


def stream(*, num_images: int = 50, batch_size: int = 16, seed: int = 0) -> BatchStream:
    return BatchStream(num_images=num_images, batch_size=batch_size, padding=4, augment=True, seed=seed)


@pytest.mark.parametrize(("num_images", "batch_size"), [(50, 16), (48, 16), (10, 16), (7, 64)])
def test_every_image_once_per_epoch_and_every_batch_full(num_images: int, batch_size: int) -> None:
    batches = stream(num_images=num_images, batch_size=batch_size)
    draws = [batches.batches(step) for step in range(40)]
    assert {len(draw.indices) for draw in draws} == {batch_size}
    seen = torch.cat([draw.indices for draw in draws])
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
            for fed, drawn in zip(feed.batch(torch.tensor(step)), batches.batches(step), strict=True):
                assert torch.equal(fed, drawn)


def test_several_batches_are_one_after_the_other() -> None:
    together, alone = stream().batches(2, 5), [stream().batches(step) for step in range(2, 7)]
    for joined, parts in zip(together, zip(*alone, strict=True), strict=True):
        assert torch.equal(joined, torch.cat(parts))


def test_crops_and_flips_are_drawn_per_image_and_evenly() -> None:
    draw = draw_epoch(seed=0, epoch=0, num_images=9000, padding=4, augment=True)
    counts = torch.bincount(draw.offsets.flatten(), minlength=9)
    assert len(counts) == 9
    assert counts.min() > 0.9 * 2000
    assert 0.48 < draw.flips.float().mean() < 0.52
    assert not torch.equal(draw.offsets[:, 0], draw.offsets[:, 1])


def test_each_image_gets_its_own_window() -> None:
    images = torch.randint(0, 256, (6, 8, 8, 3), dtype=torch.uint8)
    draw = draw_epoch(seed=0, epoch=0, num_images=6, padding=4, augment=True)
    cut = crop_and_flip(pad(images, padding=4), draw, size=8)
    assert cut.shape == (6, 3, 8, 8)
    assert cut.is_contiguous(memory_format=torch.channels_last)
    for n in range(6):
        bordered = torch.zeros(16, 16, 3, dtype=torch.uint8)
        bordered[4:12, 4:12] = images[draw.indices[n]]
        down, right = draw.offsets[n]
        window = bordered[down : down + 8, right : right + 8]
        expected = window.flip(1) if draw.flips[n] else window
        assert torch.equal(cut[n], expected.permute(2, 0, 1))


def test_a_centred_crop_without_flip_is_the_image() -> None:
    images = torch.randint(0, 256, (4, 8, 8, 3), dtype=torch.uint8)
    centre = Draw(torch.arange(4), torch.full((4, 2), 4), torch.zeros(4, dtype=torch.bool))
    assert torch.equal(crop_and_flip(pad(images, padding=4), centre, size=8), images.permute(0, 3, 1, 2))


def test_normalise_gives_mean_zero_and_variance_one() -> None:
    images = torch.randint(0, 256, (100, 3, 8, 8), dtype=torch.uint8)
    values = images.double() / 255
    mean, std = values.mean((0, 2, 3)).float(), values.std((0, 2, 3), correction=0).float()
    result = normalise(images, mean=mean, std=std)
    assert result.dtype == torch.float32
    assert torch.allclose(result.mean((0, 2, 3)), torch.zeros(3), atol=1e-5)
    assert torch.allclose(result.std((0, 2, 3), correction=0), torch.ones(3), atol=1e-5)


def test_the_border_is_the_papers_at_32_pixels() -> None:
    assert padding_of(32) == 4
    assert padding_of(16) == 2


def test_without_augmentation_the_same_images_come_whole_and_in_the_same_order() -> None:
    images = torch.randint(0, 256, (9, 8, 8, 3), dtype=torch.uint8)
    with_it, without = (draw_epoch(seed=5, epoch=1, num_images=9, padding=2, augment=on) for on in (True, False))
    assert torch.equal(with_it.indices, without.indices)
    whole = crop_and_flip(pad(images, padding=2), without, size=8)
    assert torch.equal(whole, images[without.indices].permute(0, 3, 1, 2))
