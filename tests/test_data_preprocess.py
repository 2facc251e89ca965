"""What a net is shown of an image: border, crop, mirror and normalisation, each by its definition."""

import pytest
import torch

from resnet_exp.data.preprocess import Preprocess, crop_and_flip, normalise, pad, padding_of
from resnet_exp.data.sets import Dataset
from resnet_exp.data.stream import Sample, sample_epoch

BLACK = torch.zeros(3, dtype=torch.uint8)
TEAL = torch.tensor([10, 120, 110], dtype=torch.uint8)


@pytest.mark.parametrize("colour", [BLACK, TEAL], ids=["black", "teal"])
def test_each_image_gets_its_own_window(colour: torch.Tensor) -> None:
    images = torch.randint(0, 256, (6, 8, 8, 3), dtype=torch.uint8)
    sample = sample_epoch(seed=0, epoch=0, num_images=6, padding=4, augment=True)
    cut = crop_and_flip(pad(images, padding=4, colour=colour), sample, size=8)
    assert cut.shape == (6, 3, 8, 8)
    assert cut.is_contiguous(memory_format=torch.channels_last)
    for n in range(6):
        bordered = colour.repeat(16, 16, 1)
        bordered[4:12, 4:12] = images[sample.indices[n]]
        down, right = sample.offsets[n]
        window = bordered[down : down + 8, right : right + 8]
        expected = window.flip(1) if sample.flips[n] else window
        assert torch.equal(cut[n], expected.permute(2, 0, 1))


def test_a_centred_crop_without_flip_is_the_image() -> None:
    images = torch.randint(0, 256, (4, 8, 8, 3), dtype=torch.uint8)
    centre = Sample(torch.arange(4), torch.full((4, 2), 4), torch.zeros(4, dtype=torch.bool))
    padded = pad(images, padding=4, colour=BLACK)
    assert torch.equal(crop_and_flip(padded, centre, size=8), images.permute(0, 3, 1, 2))


def test_without_augmentation_the_same_images_come_whole_and_in_the_same_order() -> None:
    images = torch.randint(0, 256, (9, 8, 8, 3), dtype=torch.uint8)
    with_it, without = (sample_epoch(seed=5, epoch=1, num_images=9, padding=2, augment=on) for on in (True, False))
    assert torch.equal(with_it.indices, without.indices)
    whole = crop_and_flip(pad(images, padding=2, colour=BLACK), without, size=8)
    assert torch.equal(whole, images[without.indices].permute(0, 3, 1, 2))


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


CORNER = Sample(torch.arange(5), torch.zeros(5, 2, dtype=torch.int64), torch.zeros(5, dtype=torch.bool))


def test_a_mean_border_is_next_to_zero_once_it_is_normalised(shapes: Dataset) -> None:
    """As if the normalised image had been padded with zeros, but for the rounding to a pixel's 256 values."""
    preprocess = Preprocess(shapes.mean, shapes.std, border="mean")
    padded = preprocess.pad(shapes.train.images, padding=1)
    assert padded.dtype == torch.uint8
    assert padded[0, 0, 0].tolist() == [round(255 * value) for value in shapes.mean.tolist()]
    cut = preprocess.cut(padded, CORNER, size=8)
    border, inside = torch.cat([cut[:, :, 0].flatten(), cut[:, :, :, 0].flatten()]), cut[:, :, 1:, 1:]
    assert (border.abs() <= 0.5 / 255 / shapes.std.min() + 1e-5).all()
    assert torch.equal(inside, preprocess.whole(shapes.train.images[:5])[:, :, :7, :7])


def test_a_black_border_is_black_before_it_is_normalised(shapes: Dataset) -> None:
    preprocess = Preprocess(shapes.mean, shapes.std, border="black")
    padded = preprocess.pad(shapes.train.images, padding=1)
    cut = preprocess.cut(padded, CORNER, size=8)
    black = -shapes.mean / shapes.std
    assert torch.allclose(cut[:, :, 0], black.view(1, 3, 1).expand(5, 3, 8))
    assert torch.allclose(cut[:, :, :, 0], black.view(1, 3, 1).expand(5, 3, 8))
    assert torch.equal(cut[:, :, 1:, 1:], preprocess.whole(shapes.train.images[:5])[:, :, :7, :7])


def test_whole_images_are_the_same_whatever_the_border(shapes: Dataset) -> None:
    mean, black = (Preprocess(shapes.mean, shapes.std, border=border) for border in ("mean", "black"))
    values = (shapes.test.images.double() / 255 - shapes.mean) / shapes.std
    assert torch.equal(mean.whole(shapes.test.images), black.whole(shapes.test.images))
    assert torch.allclose(mean.whole(shapes.test.images).double(), values.permute(0, 3, 1, 2), atol=1e-5)
