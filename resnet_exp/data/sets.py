"""The images of a run: loaded whole, as uint8, with what must be known about them."""

import hashlib
import logging
import math
import tarfile
import urllib.error
from collections.abc import Callable
from dataclasses import dataclass, replace
from http.client import HTTPException
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from resnet_exp.config import DataConfig
from resnet_exp.data import synthetic
from resnet_exp.data.classes import check_folder
from resnet_exp.data.crops import make_crop
from resnet_exp.data.decode import square
from resnet_exp.data.memory import check_room
from resnet_exp.data.sizes import split_sizes

log = logging.getLogger(__name__)

Arrays = tuple[Tensor, Tensor]  # images (N, S, S, 3) uint8, labels (N,) int64
Check = Callable[[int, int], None]  # takes the numbers of training and test images; raises ValueError if too many
CPU = torch.device("cpu")
CIFAR = {"cifar10": "CIFAR10", "cifar100": "CIFAR100"}  # in torchvision.datasets
COUNTED_AT_ONCE = 1000  # images: counting a channel copies it
SUBSET_SEED = 0  # which images are held out or used does not depend on the run's seed


@dataclass(frozen=True)
class Split:
    """Images (N, S, S, 3) uint8 and labels (N,) int64, on one device."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device) -> "Split":
        return Split(self.images.to(device), self.labels.to(device))

    def take(self, indices: Tensor) -> "Split":
        return Split(self.images[indices], self.labels[indices])

    def batches(self, *, most: int) -> list["Split"]:
        """All of it in order, in as few parts of up to `most` images as there can be, equal but for one image.

        A last batch of few would weigh as much as the others, and of a single image BN has no statistics.
        """
        parts = math.ceil(len(self) / most)
        return list(map(Split, self.images.tensor_split(parts), self.labels.tensor_split(parts)))


@dataclass(frozen=True)
class Dataset:
    """The splits of one run, and the statistics and fingerprint of its training split."""

    train: Split
    val: Split | None
    test: Split
    classes: list[str]
    mean: Tensor  # (3,) by which images are normalised, in 0 .. 1: as the user says, else of the training pixels
    std: Tensor  # (3,)
    fingerprint: str  # of every pixel and label of every split

    def to(self, device: torch.device) -> "Dataset":
        return replace(
            self,
            train=self.train.to(device),
            val=self.val and self.val.to(device),
            test=self.test.to(device),
            mean=self.mean.to(device),
            std=self.std.to(device),
        )


def load_dataset(config: DataConfig, *, device: torch.device = CPU) -> Dataset:
    """Loads a data set, holds out `val_size` training images, then keeps `train_limit` and `test_limit` of the rest.

    The held-out images do not depend on `train_limit`, and a smaller training set is part of a larger one.

    Args:
        device: where they will be trained on, for which there must be room; they are loaded on the CPU.

    Raises:
        ValueError: the data are missing, damaged, fewer than asked for, or do not fit into memory, or a class would
            keep no training image.
    """
    check_folder(config)
    train, test, classes = load_arrays(config, device=device)
    whole, test_split = Split(*train), Split(*test)
    split_sizes(config, train=len(whole), test=len(test_split))  # its checks
    if config.val_size or config.train_limit is not None:
        order = balanced_order(whole.labels)
        held_out, limit = config.val_size, config.train_limit
        check_classes_kept(whole.labels, order[held_out:], classes=classes, val_size=held_out)
        train_split = whole.take(order[held_out:] if limit is None else order[held_out : held_out + limit])
        val_split = whole.take(order[:held_out]) if held_out else None
    else:
        train_split, val_split = whole, None
    if config.test_limit is not None:
        test_split = test_split.take(balanced_order(test_split.labels)[: config.test_limit])

    given = config.mean and config.std
    mean, std = map(torch.tensor, (config.mean, config.std)) if given else pixel_statistics(train_split.images)
    if not std.all():
        constant = ", ".join(name for name, spread in zip(("red", "green", "blue"), std, strict=True) if not spread)
        log.warning("every training pixel has the same %s: a net learns nothing from it", constant)
        std = torch.where(std == 0, 1.0, std)  # the channel becomes 0 everywhere, not 0/0
    splits = [train_split, test_split, *([val_split] if val_split else [])]
    return Dataset(train_split, val_split, test_split, classes, mean, std, fingerprint(splits))


def load_arrays(config: DataConfig, *, device: torch.device) -> tuple[Arrays, Arrays, list[str]]:
    """Training and test images as they come, and the classes' names."""
    root, image_size = Path(config.root), make_crop(config).stored_size

    def check(train: int, test: int) -> None:
        check_room(config, train=train, test=test, device=device)

    if config.name in CIFAR:
        return load_cifar(config.name, root=root, download=config.download, image_size=image_size, check=check)
    if config.name == "image_folder":
        from resnet_exp.data.image_folder import load_image_folder  # brings torchvision, which takes a second

        return load_image_folder(root, image_size=image_size, check=check)
    check(synthetic.TRAIN_SIZE, synthetic.TEST_SIZE)
    train, test = (tensors(*synthetic.paint_split(part, image_size=image_size)) for part in ("train", "test"))
    return train, test, list(synthetic.CLASSES)


def load_cifar(
    name: str, *, root: Path, download: bool, image_size: int, check: Check
) -> tuple[Arrays, Arrays, list[str]]:
    """CIFAR-10 or CIFAR-100 through torchvision, which checks the MD5 of every file before it reads it.

    Raises:
        ValueError: a file is missing or damaged, the download failed, or `check` raised it.
    """
    from torchvision import datasets  # takes a second, which other data need not wait for

    source = getattr(datasets, CIFAR[name])
    archive = f"archive {source.filename} from {source.url}, MD5 {source.tgz_md5}"
    expected = f"{root.absolute() / source.base_folder} ({archive})"
    hint = "set data.root= or RESNET_EXP_DATA to a folder that holds it; data=synthetic needs no download"

    def open_parts(download: bool) -> list[Any]:
        return [source(root, train=train, download=download and train) for train in (True, False)]

    def downloaded() -> list[Any]:
        try:
            root.mkdir(parents=True, exist_ok=True)
            with FileLock(root / f".{name}.lock"):  # of several jobs one downloads, the others find its files
                return open_parts(download=True)
        except (RuntimeError, OSError, EOFError, HTTPException, tarfile.TarError) as error:
            reason = error.reason if isinstance(error, urllib.error.URLError) else error
            raise ValueError(f"{name}: download failed: {reason}\nexpected: {expected}\n{hint}") from error

    try:
        parts = open_parts(download=False)
    except OSError as error:  # there, but not readable
        raise ValueError(f"{name}: {error}\nexpected: {expected}\n{hint}") from error
    except RuntimeError as error:  # torchvision: "Dataset not found or corrupted"
        if not download:
            raise ValueError(
                f"{name}: missing or damaged\nexpected: {expected}\n{hint}, data.download=true fetches it"
            ) from error
        parts = downloaded()

    check(*(len(part.data) for part in parts))

    def arrays(part: Any) -> Arrays:
        images = part.data
        if image_size != images.shape[1]:
            images = np.stack([square(Image.fromarray(image), image_size) for image in images])
        return tensors(images, np.asarray(part.targets))

    train, test = map(arrays, parts)
    return train, test, list(parts[0].classes)


def tensors(images: NDArray[np.uint8], labels: NDArray[np.int64]) -> Arrays:
    return torch.from_numpy(images), torch.from_numpy(labels)


def balanced_order(labels: Tensor) -> Tensor:
    """A fixed shuffled order (N,) in which every beginning holds the classes as evenly as they last."""
    generator = torch.Generator().manual_seed(SUBSET_SEED)
    shuffled = torch.randperm(len(labels), generator=generator)
    by_class = shuffled[torch.argsort(labels[shuffled], stable=True)]
    counts = torch.bincount(labels)
    rank = torch.cat([torch.arange(int(count)) for count in counts])  # of each image within its class
    return by_class[torch.argsort(rank, stable=True)]


def check_classes_kept(labels: Tensor, kept: Tensor, *, classes: list[str], val_size: int) -> None:
    """Raises ValueError if a class of `labels` (N,) has no image among those that are `kept`, which are indices.

    As many images of each class are held out, so a rare class is the first to be used up. To hold out in proportion
    would part the images of older runs otherwise, and none of these could be taken up again.
    """
    before, after = (torch.bincount(some, minlength=len(classes)).tolist() for some in (labels, labels[kept]))
    lost = [f"{name} ({had})" for name, had, has in zip(classes, before, after, strict=True) if had and not has]
    if lost:
        more = f" and of {len(lost) - 1} more" if len(lost) > 1 else ""
        whole = f"that holds out every training image of {lost[0]}{more}"
        raise ValueError(f"data.val_size={val_size}: {whole}; each class must keep one")


def pixel_statistics(images: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (3,) per channel of (N, S, S, 3) uint8 images, in units of the full range.

    Counted by value, so the result is exact and does not depend on threads.
    """
    values = torch.arange(256, dtype=torch.float64) / 255
    share = torch.zeros(3, 256, dtype=torch.float64)
    for part in images.split(COUNTED_AT_ONCE):
        share += torch.stack([torch.bincount(c.flatten(), minlength=256) for c in part.unbind(-1)])
    share /= share.sum(1, keepdim=True)
    mean = share @ values
    std = (share * (values - mean[:, None]) ** 2).sum(1).sqrt()
    return mean.float(), std.float()


def fingerprint(splits: list[Split]) -> str:
    digest = hashlib.sha256()
    for split in splits:
        for tensor in (split.images, split.labels):
            digest.update(str(tuple(tensor.shape)).encode())
            digest.update(tensor.contiguous().numpy().data)
    return digest.hexdigest()[:16]
