"""A trained net for use in Python: in eval mode, with its preprocessing and the names of its classes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from resnet_exp.compute.weights import Record, load_into, read
from resnet_exp.data.crops import crop_of
from resnet_exp.data.decode import read_image, square, to_rgb
from resnet_exp.data.preprocess import Preprocess
from resnet_exp.nets.network import Network

Picture = str | Path | Image.Image | NDArray[np.uint8] | Tensor


class Classifier(nn.Module):
    """A net that classifies images: `logits = net(net.preprocess(images))`.

    Args:
        net: with its weights.
        record: what is known of it, its normalisation too.

    `classes` are the names of the logits; empty if nobody recorded them.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, net: Network, *, record: Record) -> None:
        super().__init__()
        self.net, self.record, self.classes = net, record, record.classes
        self.crop = crop_of(record.crop, record.image_size)
        self.register_buffer("mean", torch.tensor(record.mean))
        self.register_buffer("std", torch.tensor(record.std))

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, classes) of what `preprocess` gives, (N, 3, S, S) float32."""
        return self.net(images)

    def preprocess(self, pictures: Picture | Sequence[Picture]) -> Tensor:
        """What the net reads, (N, 3, S, S) float32 on its device, of one picture or several.

        Args:
            pictures: files, PIL images, or pixels in 0 .. 255: uint8 arrays or tensors (H, W, 3), or (N, H, W, 3) of
                many. Each is turned upright, cut to its centre square and resized, as for training.

        Raises:
            ValueError: a file is no readable image, or an array is not of that kind.
        """
        several: Any = pictures if isinstance(pictures, list | tuple) else [pictures]
        pixels = np.concatenate([self.pixels_of(picture) for picture in several])
        preprocess = Preprocess(self.mean, self.std, crop=self.crop)
        return preprocess.whole(torch.from_numpy(pixels).to(self.mean.device))

    def pixels_of(self, picture: Picture) -> NDArray[np.uint8]:
        """One picture, or an array of many, as (N, side, side, 3)."""
        side = self.crop.stored_size
        if isinstance(picture, str | Path):
            return read_image(picture, size=side)[None]
        if isinstance(picture, Image.Image):
            return square(to_rgb(picture), side)[None]
        array = np.asarray(picture.cpu() if isinstance(picture, Tensor) else picture)
        many = array[None] if array.ndim == 3 else array
        if many.dtype != np.uint8 or many.ndim != 4 or many.shape[-1] != 3:
            raise ValueError(
                f"pixels must be uint8 of shape (H, W, 3) or (N, H, W, 3), not {array.dtype} {array.shape}"
            )
        return np.stack([square(Image.fromarray(image), side) for image in many])


def load(source: str | Path) -> Classifier:
    """The net of a run folder or of an export, in eval mode on the CPU.

    Args:
        source: the run folder, the folder of an export, or its `model.safetensors`.

    Raises:
        ValueError: there are no weights, they are damaged, or it is not recorded how images are normalised.
    """
    weights = read(Path(source))
    record = weights.record
    if record is None:
        raise ValueError(f"{source}: no config.json beside it says which net this is and how images are normalised")
    if record.mean is None or record.std is None or not record.classes:
        raise ValueError(
            f"{source}: an older version recorded no normalisation"
            f"\ntask=export from={source} finds it out from the images"
        )
    net = Network(record.net, num_classes=len(record.classes))
    load_into(net, weights)
    return Classifier(net, record=record).eval()
