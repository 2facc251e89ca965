"""Image files as people have them: 16 bits, turned, transparent, in a palette, damaged."""

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resnet_exp.data.decode import read_image, square, to_rgb

RAMP = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
EIGHT_BITS = np.rint(RAMP / 257).astype(np.uint8)


def again(image: Image.Image, kind: str, **how: object) -> Image.Image:
    """The image as a file of this kind gives it back."""
    file = io.BytesIO()
    image.save(file, kind, **how)
    return Image.open(io.BytesIO(file.getvalue()))


def grey(image: Image.Image) -> np.ndarray:
    pixels = np.asarray(to_rgb(image))
    assert pixels.dtype == np.uint8
    assert (pixels[..., 0] == pixels[..., 1]).all()
    assert (pixels[..., 0] == pixels[..., 2]).all()
    return pixels[..., 0]


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bits_are_scaled_over_their_whole_range(kind: str) -> None:
    assert np.array_equal(grey(again(Image.fromarray(RAMP), kind)), EIGHT_BITS)


def test_16_bits_of_a_format_that_opens_as_32_are_scaled_too() -> None:
    file = io.BytesIO(b"P5\n8 8\n65535\n" + RAMP.astype(">u2").tobytes())
    assert np.array_equal(grey(Image.open(file)), EIGHT_BITS)


@pytest.mark.parametrize("pixels", [RAMP.astype(np.float32) / 65535, RAMP.astype(np.int32)], ids=["float", "32 bits"])
def test_values_without_a_known_range_are_refused_by_name(tmp_path: Path, pixels: np.ndarray) -> None:
    Image.fromarray(pixels).save(tmp_path / "scan.tif")
    with pytest.raises(ValueError, match=r"scan\.tif: not a readable image \(.*range is not known"):
        read_image(tmp_path / "scan.tif", size=8)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_image_stands_as_its_exif_says(orientation: int) -> None:
    upright = np.zeros((4, 6, 3), np.uint8)
    upright[0, 0] = 255  # one corner tells all eight apart, in an image that is wider than high
    turns: dict[int, Callable[[np.ndarray], np.ndarray]] = {
        1: lambda a: a, 2: lambda a: a[:, ::-1], 3: lambda a: a[::-1, ::-1], 4: lambda a: a[::-1],
        5: lambda a: a.swapaxes(0, 1), 6: lambda a: np.rot90(a, 1), 7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
        8: lambda a: np.rot90(a, -1),
    }  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(turns[orientation](upright)))
    assert np.array_equal(np.asarray(to_rgb(again(stored, "PNG", exif=exif))), upright)


def test_transparent_pixels_lie_on_white() -> None:
    red_half = Image.new("RGBA", (2, 1), (255, 0, 0, 128))
    red_half.putpixel((1, 0), (255, 0, 0, 0))
    half, none = np.asarray(to_rgb(again(red_half, "PNG")))[0].tolist()
    assert none == [255, 255, 255]
    assert half == [255, 127, 127]
    palette = Image.new("P", (2, 1), 0)
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.putpixel((1, 0), 1)
    found = np.asarray(to_rgb(again(palette, "PNG", transparency=0)))[0].tolist()
    assert found == [[255, 255, 255], [40, 50, 60]]
    assert np.asarray(to_rgb(again(Image.new("LA", (1, 1), (9, 0)), "PNG")))[0, 0].tolist() == [255, 255, 255]


def test_an_ordinary_image_keeps_its_pixels() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    assert np.array_equal(np.asarray(to_rgb(again(Image.fromarray(pixels), "PNG"))), pixels)


def test_images_are_cut_square_and_averaged() -> None:
    picture = np.zeros((4, 8, 3), np.uint8)
    picture[:, 2:6] = np.array([[10, 20], [30, 40]]).repeat(2, 0).repeat(2, 1)[..., None]
    small = square(Image.fromarray(picture), 2)
    assert small[..., 0].tolist() == [[10, 20], [30, 40]]


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(*extra: bytes) -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0))
    data = chunk(b"IDAT", zlib.compress(b"\0\1\2\3"))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(extra) + data + chunk(b"IEND", b"")


DAMAGED = {
    "empty.png": b"",
    "cut.png": png()[:40],
    "text.png": png(chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(2**26 + 1)))),  # ValueError: too large a text
    "broken.png": png().replace(b"IDAT", b"ID\0T"),  # SyntaxError
    "page.jpg": b"<html>not found</html>",
    "short.bmp": b"BM" + bytes(20),
    "odd.tif": b"II*\0" + bytes(100),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_image_is_named_whatever_pillow_raises(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(DAMAGED[name])
    with pytest.raises(ValueError, match="not a readable image") as caught:
        read_image(tmp_path / name, size=8)
    assert str(tmp_path / name) in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
