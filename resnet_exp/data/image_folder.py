"""A folder of images as one array: decoded once, kept in the user's cache, decoded again when the folder changes."""

import glob
import hashlib
import logging
import os
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from torch import Tensor
from torchvision.datasets import ImageFolder
from tqdm import tqdm

from resnet_exp.files import DamagedFileError, read_sealed, write_sealed

log = logging.getLogger(__name__)

Arrays = tuple[Tensor, Tensor]  # images (N, S, S, 3) uint8, labels (N,) int64


def square(image: Image.Image, size: int) -> NDArray[np.uint8]:
    """The centre square of `image` as (size, size, 3); averages pixels where it shrinks."""
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    image = image.convert("RGB").crop((left, top, left + side, top + side))
    if side != size:
        image = image.resize((size, size), Image.Resampling.BOX if side > size else Image.Resampling.BICUBIC)
    return np.asarray(image)


def load_image_folder(root: Path, *, image_size: int) -> tuple[Arrays, Arrays, list[str]]:
    """Training and test images of `root/train/<class>/*` and `root/test/<class>/*`, and the classes' names.

    Raises:
        ValueError: a class has no image, the two parts differ in their classes, or an image cannot be read.
    """
    cache = cache_file(root, image_size=image_size)
    with ExitStack() as stack:
        with suppress(OSError):  # an unwritable cache only costs time
            cache.parent.mkdir(parents=True, exist_ok=True)
            stack.enter_context(FileLock(f"{cache}.lock"))  # of several jobs one decodes, the others wait for it
            for scrap in cache.parent.glob(f".{glob.escape(cache.name)}.*.tmp"):  # of a job that was killed
                scrap.unlink()
        return read_or_decode(root, image_size=image_size, cache=cache)


def read_or_decode(root: Path, *, image_size: int, cache: Path) -> tuple[Arrays, Arrays, list[str]]:
    tree = tree_fingerprint(root)
    try:
        content = read_sealed(cache)
        if content.get("tree") == tree:
            return content["train"], content["test"], content["classes"]
        log.info("%s has changed: decoding it again", root)
    except OSError:
        pass  # not there, or not readable
    except DamagedFileError as error:
        log.warning("%s: decoding the images again", error)

    parts = [list_images(root / part) for part in ("train", "test")]
    if parts[0].classes != parts[1].classes:
        differing = sorted({*parts[0].classes} ^ {*parts[1].classes})
        raise ValueError(f"{root}: train/ and test/ must hold the same classes; differing: {', '.join(differing[:5])}")
    total = sum(len(part.samples) for part in parts)
    with tqdm(total=total, desc="decoding images", unit="image", leave=False, disable=None) as bar:
        train, test = (decode(part.samples, image_size=image_size, tick=bar.update) for part in parts)
    try:
        write_sealed(cache, {"tree": tree, "train": train, "test": test, "classes": parts[0].classes})
    except OSError as error:
        log.warning("cannot keep the decoded images (%s): they are decoded again next time", error)
    return train, test, parts[0].classes


def list_images(folder: Path) -> ImageFolder:
    try:
        return ImageFolder(str(folder))
    except FileNotFoundError as error:  # no class, or a class without image
        raise ValueError(f"{folder}: {str(error).splitlines()[0]}") from error


def decode(samples: list[tuple[str, int]], *, image_size: int, tick: Callable[[], object]) -> Arrays:
    images = np.empty((len(samples), image_size, image_size, 3), np.uint8)
    for index, (path, _) in enumerate(samples):
        try:
            with Image.open(path) as image:
                images[index] = square(image, image_size)
        except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
            raise ValueError(f"{path}: not a readable image ({error})") from error
        tick()
    return torch.from_numpy(images), torch.tensor([label for _, label in samples])


def tree_fingerprint(root: Path) -> str:
    """A hash over every file's path, size and time of change: cheap, and different after any edit."""
    digest = hashlib.sha256()
    for part in ("train", "test"):
        for folder, subfolders, files in os.walk(root / part, followlinks=True):
            subfolders.sort()
            for name in sorted(files):
                path = Path(folder, name)
                stat = path.stat()
                digest.update(f"{path.relative_to(root)}\0{stat.st_size}\0{stat.st_mtime_ns}\0".encode())
    return digest.hexdigest()


def cache_file(root: Path, *, image_size: int) -> Path:
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    key = hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:16]
    return caches / "resnet-exp" / f"{root.resolve().name}-{key}-{image_size}.images"
