"""The classes of a data set, without reading an image. Knows no torch."""

import os
from pathlib import Path

from resnet_exp.config import DataConfig

PARTS = ("train", "test")  # of a folder of images


def class_names(folder: Path) -> list[str]:
    """The classes under `folder`: its folders but for hidden ones, such as `.ipynb_checkpoints`."""
    return sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith("."))


def check_folder(config: DataConfig) -> None:
    """Raises ValueError if the images are to be a folder's, and there is none that holds `train/` and `test/`."""
    missing = [part for part in PARTS if not (Path(config.root) / part).is_dir()]
    if config.name == "image_folder" and missing:
        raise ValueError(
            f"data.root={config.root}: no folder {' and no folder '.join(missing)} in {Path(config.root).absolute()}"
            "\ndata=image_folder reads train/<class>/<image> and test/<class>/<image>; set data.root=FOLDER"
            "\ndata=synthetic needs no files"
        )


def count_classes(config: DataConfig) -> int:
    """How many classes the images have.

    Raises:
        ValueError: their folder is missing.
    """
    check_folder(config)
    if config.name == "image_folder":
        return len(class_names(Path(config.root) / "train"))
    return 100 if config.name == "cifar100" else 10
