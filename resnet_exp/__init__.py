"""A command-line runner for the degradation study: plain and residual nets of growing depth."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from resnet_exp.compute.classifier import Classifier

__version__ = "0.1.0"


def load(source: "str | Path") -> "Classifier":
    """The net of a run folder or of an export, in eval mode: `logits = net(net.preprocess(images))`.

    Args:
        source: the run folder, the folder of an export, or its `model.safetensors`.

    Raises:
        ValueError: there are no weights, they are damaged, or it is not recorded how images are normalised.
    """
    from resnet_exp.compute import classifier  # here: it brings torch

    return classifier.load(source)
