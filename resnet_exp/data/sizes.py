"""How many images a data set has and a run uses, before one is read. Knows no torch."""

from pathlib import Path
from typing import NamedTuple

from resnet_exp.config import DataConfig

CIFAR = (50_000, 10_000)


class SplitSizes(NamedTuple):
    """Images of each split of a run."""

    train: int
    val: int
    test: int


def part_sizes(config: DataConfig) -> tuple[int, int]:
    """Training and test images that there are, before any limit.

    Raises:
        ValueError: a folder of images is not one.
    """
    if config.name == "image_folder":
        from resnet_exp.data.image_folder import list_parts  # brings torchvision, which takes a second

        train, test = list_parts(Path(config.root))
        return len(train), len(test)
    if config.name == "synthetic":
        from resnet_exp.data.synthetic import TEST_SIZE, TRAIN_SIZE  # brings numpy

        return TRAIN_SIZE, TEST_SIZE
    return CIFAR


def split_sizes(config: DataConfig, *, train: int, test: int) -> SplitSizes:
    """The images that a run uses, of those that there are.

    Raises:
        ValueError: it asks for more.
    """
    held_out, limit = config.val_size, config.train_limit
    wanted = held_out + (limit or 1)
    if wanted > train and (held_out or limit is not None):
        limits = {"data.val_size": held_out, "data.train_limit": limit}
        asked = " and ".join(f"{key}={value}" for key, value in limits.items() if value)
        raise ValueError(f"{asked}: that takes {wanted} training images; {config.name} has {train}")
    if config.test_limit is not None and config.test_limit > test:
        raise ValueError(f"data.test_limit={config.test_limit}: {config.name} has {test} test images")
    return SplitSizes(train - held_out if limit is None else limit, held_out, config.test_limit or test)
