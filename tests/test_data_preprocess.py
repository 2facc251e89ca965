"""What a net is shown of an image: border, crop and normalisation together, each by its definition."""

import pytest
import torch

from resnet_exp.data.crops import PaddedCrop, ResizedCrop, Sample
from resnet_exp.data.preprocess import Preprocess, normalise
from resnet_exp.data.sets import Dataset
from resnet_exp.data.stream import sample_epoch


def padded_by_one(shapes: Dataset, border: str) -> Preprocess:
    return Preprocess(shapes.mean, shapes.std, crop=PaddedCrop(8, padding=1, border=border))


def test_normalise_gives_mean_zero_and_variance_one() -> None:
    images = torch.randint(0, 256, (100, 3, 8, 8), dtype=torch.uint8)
    values = images.double() / 255
    mean, std = values.mean((0, 2, 3)).float(), values.std((0, 2, 3), correction=0).float()
    result = normalise(images, mean=mean, std=std)
    assert result.dtype == torch.float32
    assert torch.allclose(result.mean((0, 2, 3)), torch.zeros(3), atol=1e-5)
    assert torch.allclose(result.std((0, 2, 3), correction=0), torch.ones(3), atol=1e-5)


CORNER = Sample(torch.arange(5), torch.tensor([[0, 0, 8, 8]]).repeat(5, 1), torch.zeros(5, dtype=torch.bool))


def test_a_mean_border_is_next_to_zero_once_it_is_normalised(shapes: Dataset) -> None:
    """As if the normalised image had been padded with zeros, but for the rounding to a pixel's 256 values."""
    preprocess = padded_by_one(shapes, "mean")
    padded = preprocess.prepare(shapes.train.images)
    assert padded.dtype == torch.uint8
    assert padded[0, 0, 0].tolist() == [round(255 * value) for value in shapes.mean.tolist()]
    cut = preprocess.cut(padded, CORNER)
    border, inside = torch.cat([cut[:, :, 0].flatten(), cut[:, :, :, 0].flatten()]), cut[:, :, 1:, 1:]
    assert (border.abs() <= 0.5 / 255 / shapes.std.min() + 1e-5).all()
    assert torch.equal(inside, preprocess.whole(shapes.train.images[:5])[:, :, :7, :7])


def test_a_black_border_is_black_before_it_is_normalised(shapes: Dataset) -> None:
    preprocess = padded_by_one(shapes, "black")
    padded = preprocess.prepare(shapes.train.images)
    cut = preprocess.cut(padded, CORNER)
    black = -shapes.mean / shapes.std
    assert torch.allclose(cut[:, :, 0], black.view(1, 3, 1).expand(5, 3, 8))
    assert torch.allclose(cut[:, :, :, 0], black.view(1, 3, 1).expand(5, 3, 8))
    assert torch.equal(cut[:, :, 1:, 1:], preprocess.whole(shapes.train.images[:5])[:, :, :7, :7])


def test_whole_images_are_the_same_whatever_the_border(shapes: Dataset) -> None:
    mean, black = (padded_by_one(shapes, border) for border in ("mean", "black"))
    values = (shapes.test.images.double() / 255 - shapes.mean) / shapes.std
    assert torch.equal(mean.whole(shapes.test.images), black.whole(shapes.test.images))
    assert torch.allclose(mean.whole(shapes.test.images).double(), values.permute(0, 3, 1, 2), atol=1e-5)


@pytest.mark.parametrize("crop", [PaddedCrop(8, padding=1, border="mean"), ResizedCrop(7)], ids=["padded", "resized"])
def test_batches_of_training_and_of_tests_are_float32_and_channels_last(
    shapes: Dataset, crop: PaddedCrop | ResizedCrop
) -> None:
    preprocess = Preprocess(shapes.mean, shapes.std, crop=crop)
    sample = sample_epoch(seed=0, epoch=0, num_images=100, crop=crop, augment=True).part(slice(0, 16))
    cut = preprocess.cut(preprocess.prepare(shapes.train.images), sample)
    whole = preprocess.whole(shapes.test.images[:16])
    for batch in (cut, whole):
        assert (batch.shape, batch.dtype) == ((16, 3, crop.size, crop.size), torch.float32)
        assert batch.is_contiguous(memory_format=torch.channels_last)


def test_a_test_of_resized_images_sees_their_normalised_centre(shapes: Dataset) -> None:
    whole, centre = (
        Preprocess(shapes.mean, shapes.std, crop=crop).whole(shapes.test.images)
        for crop in (PaddedCrop(8, padding=1, border="mean"), ResizedCrop(7))
    )
    assert torch.equal(centre, whole[:, :, :7, :7])
