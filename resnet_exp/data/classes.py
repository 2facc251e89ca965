"""The classes of a data set, without reading an image. Knows no torch."""

import os
from pathlib import Path

from resnet_exp.config import DataConfig


def class_names(folder: Path) -> list[str]:
    """The classes under `folder`: its folders but for hidden ones, such as `.ipynb_checkpoints`."""
    return sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith("."))


def count_classes(config: DataConfig) -> int:
    """How many classes the images have."""
    if config.name == "image_folder":
        return len(class_names(Path(config.root) / "train"))
    return 100 if config.name == "cifar100" else 10
