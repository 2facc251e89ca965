"""A folder of images as one array: decoded once, kept in the user's cache, decoded again when the folder changes."""

import glob
import hashlib
import logging
import math
import os
import statistics
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from torchvision.datasets import ImageFolder
from torchvision.datasets.folder import IMG_EXTENSIONS
from tqdm import tqdm

from resnet_exp.data.classes import PARTS, class_names
from resnet_exp.data.decode import DECODER, read_image, read_size
from resnet_exp.data.memory import free_memory
from resnet_exp.data.sets import Arrays, Check
from resnet_exp.files import DamagedFileError, read_sealed, write_sealed

log = logging.getLogger(__name__)

MOST_HEADERS = 1000  # of which a folder is described


def is_image(path: str) -> bool:
    """Whether a file is taken for an image: by its ending; what is hidden is other programs' business.

    Args:
        path: below the folder of the images, which itself may be a hidden one.
    """
    return path.lower().endswith(IMG_EXTENSIONS) and not any(part.startswith(".") for part in Path(path).parts)


class Part(ImageFolder):  # type: ignore[misc]
    """The images of `train` or `test`, by class."""

    def __init__(self, folder: Path) -> None:
        super().__init__(str(folder), is_valid_file=lambda path: is_image(os.path.relpath(path, folder)))

    def find_classes(self, directory: str) -> tuple[list[str], dict[str, int]]:
        names = class_names(Path(directory))
        if not names:
            raise FileNotFoundError("no folder of a class in it")
        return names, {name: index for index, name in enumerate(names)}


def load_image_folder(root: Path, *, image_size: int, check: Check) -> tuple[Arrays, Arrays, list[str]]:
    """Training and test images of `root/train/<class>/*` and `root/test/<class>/*`, and the classes' names.

    Args:
        check: called with the numbers of training and test images before one is read.

    Raises:
        ValueError: a class has no image, there is only one, the two parts differ in their classes, an image cannot be
            read, or `check` raised it.
    """
    train, test = list_parts(root)
    check(len(train), len(test))
    tell_skipped(root)
    cache = cache_file(root, image_size=image_size)
    with ExitStack() as stack:
        with suppress(OSError):  # an unwritable cache only costs time
            cache.parent.mkdir(parents=True, exist_ok=True)
            stack.enter_context(FileLock(f"{cache}.lock"))  # of several jobs one decodes, the others wait for it
            for scrap in cache.parent.glob(f".{glob.escape(cache.name)}.*.tmp"):  # of a job that was killed
                scrap.unlink()
        return read_or_decode(root, train, test, image_size=image_size, cache=cache)


def list_parts(root: Path) -> tuple[Part, Part]:
    """The training and the test images of a folder.

    Raises:
        ValueError: a class has no image, there is only one, or the two parts differ in their classes.
    """
    train, test = (list_images(root / part) for part in PARTS)
    if train.classes != test.classes:
        differing = sorted({*train.classes} ^ {*test.classes})
        raise ValueError(f"{root}: train/ and test/ must hold the same classes; differing: {', '.join(differing[:5])}")
    if len(train.classes) == 1:
        raise ValueError(f"{root}: one class alone ({train.classes[0]}): there is nothing to tell apart")
    return train, test


@dataclass(frozen=True)
class FolderFacts:
    """What a folder of images holds, without decoding one.

    Args:
        train: number of training images.
        test: number of test images.
        classes: their names.
        widths: smallest, median and largest, in pixels, as the files' headers have them: before EXIF turns an image.
        heights: likewise.
        headers: how many files these are taken from.
    """

    train: int
    test: int
    classes: list[str]
    widths: tuple[int, int, int]
    heights: tuple[int, int, int]
    headers: int


def describe_folder(root: Path) -> FolderFacts:
    """Counts the images of `root/train/<class>/*` and `root/test/<class>/*`; their sizes from at most 1,000 headers.

    Raises:
        ValueError: as `load_image_folder`, but of images for those whose header was looked at.
    """
    train, test = list_parts(root)
    paths = [path for path, _ in (*train.samples, *test.samples)]
    looked_at = paths[:: math.ceil(len(paths) / MOST_HEADERS)]
    widths, heights = zip(*map(read_size, looked_at), strict=True)

    def spread(sides: tuple[int, ...]) -> tuple[int, int, int]:
        return min(sides), statistics.median_low(sides), max(sides)

    return FolderFacts(len(train), len(test), train.classes, spread(widths), spread(heights), len(looked_at))


def list_images(folder: Path) -> Part:
    try:
        return Part(folder)
    except FileNotFoundError as error:  # no class, or a class without image
        raise ValueError(f"{folder}: {str(error).splitlines()[0]}") from error


def tell_skipped(root: Path) -> None:
    """Says how many files are no images to us, by their endings."""
    endings = Counter(
        Path(name).suffix.lower() or "no ending"
        for part in PARTS
        for _, folders, files in walk(root / part)
        for name in files
        if not name.startswith(".") and not is_image(name)
    )
    if endings:
        most = sorted(endings.items(), key=lambda item: (-item[1], item[0]))[:5]
        shown = ", ".join(f"{count} {ending}" for ending, count in most)
        total, known = sum(endings.values()), " ".join(IMG_EXTENSIONS)
        log.warning("%s: %d files are left out (%s); images end in %s", root, total, shown, known)


def walk(folder: Path) -> list[tuple[str, list[str], list[str]]]:
    """`os.walk` over links too, without hidden folders."""
    found = []
    for where, folders, files in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found.append((where, folders, files))
    return found


def read_or_decode(
    root: Path, train: Part, test: Part, *, image_size: int, cache: Path
) -> tuple[Arrays, Arrays, list[str]]:
    tree = tree_fingerprint(root, [*train.samples, *test.samples])
    try:
        content = read_sealed(cache)
        if content.get("tree") == tree:
            return content["train"], content["test"], content["classes"]
        log.info("%s has changed: decoding it again", root)
    except OSError:
        pass  # not there, or not readable
    except DamagedFileError as error:
        log.warning("%s: decoding the images again", error)

    total = len(train.samples) + len(test.samples)
    with tqdm(total=total, desc="decoding images", unit="image", leave=False, disable=None) as bar:
        arrays = [decode(part.samples, image_size=image_size, tick=bar.update) for part in (train, test)]
    keep(cache, {"tree": tree, "train": arrays[0], "test": arrays[1], "classes": train.classes})
    return arrays[0], arrays[1], train.classes


def keep(cache: Path, content: dict[str, Any]) -> None:
    """Writes the decoded images; without room for it says so and goes on."""
    size, free = sum(images.nbytes for images, _ in (content["train"], content["test"])), free_memory()
    reason: object = f"that takes {size / 1e9:.3g} GB more memory; {(free or 0) / 1e9:.3g} GB are free"
    if free is None or free >= size:
        try:
            write_sealed(cache, content)
            return
        except OSError as error:
            reason = error
    log.warning("cannot keep the decoded images (%s): they are decoded again next time", reason)


def decode(samples: list[tuple[str, int]], *, image_size: int, tick: Callable[[], object]) -> Arrays:
    images = np.empty((len(samples), image_size, image_size, 3), np.uint8)
    for index, (path, _) in enumerate(samples):
        images[index] = read_image(path, size=image_size)
        tick()
    return torch.from_numpy(images), torch.tensor([label for _, label in samples])


def tree_fingerprint(root: Path, samples: list[tuple[str, int]]) -> str:
    """A hash over every image's path, size and time of change: cheap, and different after any edit.

    Raises:
        ValueError: an image is a link to nowhere.
    """
    digest = hashlib.sha256(f"decoder {DECODER}\0".encode())
    for path, _ in samples:
        try:
            stat = Path(path).stat()
        except OSError as error:
            raise ValueError(f"{path}: not a readable image ({error.strerror})") from error
        digest.update(os.fsencode(os.path.relpath(path, root)) + f"\0{stat.st_size}\0{stat.st_mtime_ns}\0".encode())
    return digest.hexdigest()


def cache_file(root: Path, *, image_size: int) -> Path:
    """Where the decoded images are kept: in the user's cache. For who has no home it is a place that takes no file."""
    try:
        caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:  # no HOME, and no entry for this user
        caches = Path(os.devnull)
    key = hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:16]
    return caches / "resnet-exp" / f"{root.resolve().name}-{key}-{image_size}.images"
