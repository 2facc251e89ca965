"""One image file as pixels: upright, opaque, 8 bits a channel, a centred square."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

DECODER = 2  # raise it when the same file gives other pixels: what was decoded before is decoded again
GROUND = (255, 255, 255)  # behind transparent pixels
WHOLE_RANGE = {"I;16": 65535, "I;16L": 65535, "I;16B": 65535, "I;16N": 65535}  # of modes whose values have one
SIXTEEN_BITS_AS_I = ("PNG", "PPM")  # formats whose 16-bit grey images Pillow opens as 32-bit integers
RECORDED = "upright by EXIF, transparent pixels on white, 16 bits scaled to 8, centre square"


def read_image(path: str | Path, *, size: int) -> NDArray[np.uint8]:
    """The image as (size, size, 3).

    Raises:
        ValueError: it cannot be read, or its values have no known range; the message names the file.
    """
    with reading(path) as image:
        image.load()
        return square(to_rgb(image), size)


def read_size(path: str | Path) -> tuple[int, int]:
    """Width and height in pixels as the file's header has them; no pixel is decoded.

    Raises:
        ValueError: it cannot be read; the message names the file.
    """
    with reading(path) as image:
        return image.size


@contextmanager
def reading(path: str | Path) -> Iterator[Image.Image]:
    """The opened image; whatever is wrong with it, there or in what is done with it, is a ValueError."""
    try:
        with Image.open(path) as image:
            yield image
    except MemoryError:
        raise
    except Exception as error:  # Pillow's plugins raise whatever a damaged file provokes
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"{path}: not a readable image ({reason})") from error


def to_rgb(image: Image.Image) -> Image.Image:
    """Any image, upright and opaque, in 8 bits a channel.

    Raises:
        ValueError: its values have no known range (32 bits, floating point).
    """
    highest = 65535 if image.mode == "I" and image.format in SIXTEEN_BITS_AS_I else WHOLE_RANGE.get(image.mode)
    image = ImageOps.exif_transpose(image)
    if highest:
        values = np.asarray(image).astype(np.float64)
        image = Image.fromarray(np.rint(values * (255 / highest)).clip(0, 255).astype(np.uint8))
    elif image.mode in ("I", "F"):
        kind = "floating-point" if image.mode == "F" else "32-bit"
        raise ValueError(f"{kind} pixels, whose range is not known: convert them to 8 or 16 bits")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        opaque = Image.new("RGBA", image.size, (*GROUND, 255))
        image = Image.alpha_composite(opaque, image)
    return image.convert("RGB")


def square(image: Image.Image, size: int) -> NDArray[np.uint8]:
    """The centre square of an RGB image as (size, size, 3); averages pixels where it shrinks."""
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    image = image.crop((left, top, left + side, top + side))
    if side != size:
        image = image.resize((size, size), Image.Resampling.BOX if side > size else Image.Resampling.BICUBIC)
    return np.asarray(image)
