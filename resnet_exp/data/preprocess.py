"""From stored pixels to what a net reads: crop, mirror, normalisation; whole batches, on the device."""

from dataclasses import dataclass

from torch import Tensor

from resnet_exp.data.crops import Crop, Sample


def normalise(images: Tensor, *, mean: Tensor, std: Tensor) -> Tensor:
    """Pixels (B, 3, S, S) in 0 .. 255 -> float32 with mean 0 and variance 1 over the training split."""
    shape = (1, 3, 1, 1)
    return (images.float() / 255 - mean.view(shape)) / std.view(shape)


@dataclass(frozen=True)
class Preprocess:
    """How the images of one run are shown to its net.

    Args:
        mean: of each channel of the training split, (3,) in 0 .. 1.
        std: likewise.
        crop: how windows are cut.
    """

    mean: Tensor
    std: Tensor
    crop: Crop

    def prepare(self, images: Tensor) -> Tensor:
        """What `cut` takes, of stored images; both (N, side, side, 3) uint8, each with its own side."""
        return self.crop.prepare(images, mean=self.mean)

    def cut(self, prepared: Tensor, sample: Sample) -> Tensor:
        """A training batch: (N, side, side, 3) uint8 -> (B, 3, S, S) float32, normalised."""
        return normalise(self.crop.cut(prepared, sample), mean=self.mean, std=self.std)

    def whole(self, images: Tensor) -> Tensor:
        """Stored images as a test shows them: (B, side, side, 3) uint8 -> (B, 3, S, S) float32, normalised."""
        return normalise(self.crop.whole(images).permute(0, 3, 1, 2), mean=self.mean, std=self.std)
