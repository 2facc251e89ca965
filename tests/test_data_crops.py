"""Padded and resized crops: each image's own window by its definition, and what a test is shown."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from resnet_exp.data.crops import AREA, RATIO, Crop, PaddedCrop, ResizedCrop, Sample, make_crop, pad, padding_of
from resnet_exp.data.stream import sample_epoch
from tests.helpers import data_config

BLACK = torch.zeros(3, dtype=torch.uint8)
TEAL = torch.tensor([10, 120, 110], dtype=torch.uint8)
MEAN = TEAL / 255
KINDS = [PaddedCrop(8, padding=2, border="black"), ResizedCrop(8)]


def pixels(count: int, side: int) -> torch.Tensor:
    return torch.randint(0, 256, (count, side, side, 3), dtype=torch.uint8)


def sample(crop: Crop, count: int, *, augment: bool = True) -> Sample:
    return sample_epoch(seed=0, epoch=0, num_images=count, crop=crop, augment=augment)


def windows(crop: Crop, count: int) -> torch.Tensor:
    return crop.draw(count, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("border", "colour"), [("black", BLACK), ("mean", TEAL)])
def test_each_image_gets_its_own_window_of_itself_and_its_border(border: str, colour: torch.Tensor) -> None:
    images, crop = pixels(6, 8), PaddedCrop(8, padding=4, border=border)
    drawn = sample(crop, 6)
    cut = crop.cut(crop.prepare(images, mean=MEAN), drawn)
    assert cut.shape == (6, 3, 8, 8)
    assert cut.is_contiguous(memory_format=torch.channels_last)
    for n in range(6):
        bordered = colour.repeat(16, 16, 1)
        bordered[4:12, 4:12] = images[drawn.indices[n]]
        down, right, height, width = drawn.windows[n]
        assert (height, width) == (8, 8)
        window = bordered[down : down + 8, right : right + 8]
        expected = window.flip(1) if drawn.flips[n] else window
        assert torch.equal(cut[n], expected.permute(2, 0, 1))


@pytest.mark.parametrize("size", [8, 21, 64])
def test_each_image_gets_its_own_part_of_itself_scaled(size: int) -> None:
    """As if it had been cut out, scaled and turned alone; to a hundredth of a pixel's 256 values."""
    crop = ResizedCrop(size)
    images = pixels(24, crop.stored_size)
    drawn = sample(crop, 24)
    cut = crop.cut(crop.prepare(images, mean=MEAN), drawn)
    assert (cut.shape, cut.dtype) == ((24, 3, size, size), torch.float32)
    assert cut.is_contiguous(memory_format=torch.channels_last)
    assert drawn.flips.any()
    assert not drawn.flips.all()
    for n in range(24):
        top, left, height, width = drawn.windows[n]
        window = images[drawn.indices[n], top : top + height, left : left + width].permute(2, 0, 1).double()
        scaled = F.interpolate(window[None], (size, size), mode="bilinear", align_corners=False)[0]
        expected = scaled.flip(-1) if drawn.flips[n] else scaled
        assert (cut[n] - expected).abs().max() < 0.01


def test_a_part_is_scaled_as_pillow_enlarges_it() -> None:
    """Which, unlike us, rounds to whole values, and averages where it shrinks."""
    crop = ResizedCrop(16)
    images = pixels(40, crop.stored_size)
    drawn = sample(crop, 40)
    cut = crop.cut(images, drawn)
    enlarged = [n for n in range(40) if max(drawn.windows[n, 2:]) <= 16]
    assert len(enlarged) > 10
    for n in enlarged:
        top, left, height, width = drawn.windows[n].tolist()
        image = Image.fromarray(images[drawn.indices[n]].numpy()).crop((left, top, left + width, top + height))
        scaled = torch.from_numpy(np.asarray(image.resize((16, 16), Image.Resampling.BILINEAR)).copy())
        expected = scaled.flip(1) if drawn.flips[n] else scaled
        assert (cut[n] - expected.permute(2, 0, 1)).abs().max() < 1.1


def test_a_resized_crop_has_its_share_of_the_area_and_its_ratio() -> None:
    """But for the rounding of its sides to whole pixels; anywhere in the image, evenly over areas."""
    crop = ResizedCrop(224)
    assert crop.stored_size == 256
    top, left, height, width = windows(crop, 20_000).double().unbind(1)
    assert ((top >= 0) & (left >= 0) & (top + height <= 256) & (left + width <= 256)).all()
    assert (width + 0.5 >= RATIO[0] * (height - 0.5)).all()
    assert (width - 0.5 <= RATIO[1] * (height + 0.5)).all()
    share = height * width / 256**2
    assert ((height + 0.5) * (width + 0.5)).min() >= AREA[0] * 256**2
    assert share.max() <= 1
    # Below 3/4 of the area every ratio fits, so nothing is drawn again: shares are even there.
    counts = torch.histc(share[share < 0.7], bins=6, min=0.08, max=0.7)
    assert counts.min() > 0.93 * counts.max()
    assert abs((height / width).log().mean()) < 0.01
    narrow = width < 128
    assert 0.47 < (left / (256 - width))[narrow].mean() < 0.53
    assert 0.47 < (top / (256 - height))[height < 128].mean() < 0.53


def test_where_no_window_fits_all_of_the_image_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resnet_exp.data.crops.RATIO", (4.0, 5.0))
    monkeypatch.setattr("resnet_exp.data.crops.AREA", (0.9, 1.0))
    assert windows(ResizedCrop(16), 5).tolist() == [[0, 0, 18, 18]] * 5


@pytest.mark.parametrize("crop", KINDS, ids=["padded", "resized"])
def test_without_augmentation_the_same_images_come_in_the_same_order_as_a_test_shows_them(crop: Crop) -> None:
    images = pixels(9, crop.stored_size)
    with_it, without = (sample(crop, 9, augment=on) for on in (True, False))
    assert torch.equal(with_it.indices, without.indices)
    assert not torch.equal(with_it.windows, without.windows)
    cut = crop.cut(crop.prepare(images, mean=MEAN), without)
    shown = crop.whole(images[without.indices]).permute(0, 3, 1, 2)
    assert (cut.double() - shown).abs().max() < 0.01


def test_a_test_is_shown_the_image_or_its_centre() -> None:
    padded, resized = KINDS
    images = pixels(3, 8)
    assert torch.equal(padded.whole(images), images)
    larger = pixels(3, 9)
    assert torch.equal(resized.whole(larger), larger[:, :8, :8])
    images = pixels(2, 256)
    assert torch.equal(ResizedCrop(224).whole(images), images[:, 16:240, 16:240])


def test_a_resized_crop_makes_no_copy_and_a_padded_one_says_how_large_its_is() -> None:
    padded, resized = KINDS
    images = pixels(5, 8)
    assert padded.prepare(images, mean=MEAN).nbytes == 5 * padded.copy_bytes
    assert images.nbytes == 5 * padded.stored_bytes
    images = pixels(5, 9)
    assert resized.prepare(images, mean=MEAN) is images
    assert (images.nbytes, resized.copy_bytes) == (5 * resized.stored_bytes, 0)


def test_the_border_is_the_papers_at_32_pixels() -> None:
    assert padding_of(32) == 4
    assert padding_of(16) == 2
    assert pad(pixels(2, 32), padding=padding_of(32), colour=BLACK).shape == (2, 40, 40, 3)


def test_the_settings_choose_the_crop() -> None:
    assert make_crop(data_config("synthetic", border="black")) == PaddedCrop(32, padding=4, border="black")
    assert make_crop(data_config("synthetic", crop="resized", image_size=224)) == ResizedCrop(224)


def test_a_padded_crop_is_recorded_in_the_words_of_older_runs() -> None:
    assert PaddedCrop(32, padding=4, border="mean").recorded(augment=True) == {
        "border": "mean",
        "padding": "4 pixels of the mean colour a side, then normalised",
        "augmentation": "random crop of the padded image and random flip, per image",
    }
    assert PaddedCrop(32, padding=4, border="black").recorded(augment=False) == {
        "border": "black",
        "padding": "4 black pixels a side, then normalised",
        "augmentation": "none",
    }


@pytest.mark.parametrize("augment", [True, False])
def test_no_resized_crop_is_recorded_like_a_padded_one(augment: bool) -> None:
    padded, resized = (crop.recorded(augment=augment) for crop in KINDS)
    assert any(padded[key] != resized[key] for key in padded.keys() & resized.keys())
