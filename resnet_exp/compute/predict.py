"""What a net says of every image of a split: the class, how sure it is of it, and where the true class comes."""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from resnet_exp.compute.device import Precision
from resnet_exp.compute.evaluate import equal_batches, images_at_a_time, nothing
from resnet_exp.compute.speed import eager
from resnet_exp.data.preprocess import Preprocess
from resnet_exp.data.sets import Split
from resnet_exp.nets.network import Network
from resnet_exp.runs.evaluation import Predictions


def batch_rows(split: Split, *, most: int) -> list[Tensor]:
    """The indices of each batch, as `Evaluation` takes them: of equal shape, the last filled up with the last image."""
    number, size = equal_batches(len(split), most=most)
    rows = torch.arange(number * size, device=split.labels.device).clamp(max=len(split) - 1)
    return list(rows.split(size))


@torch.no_grad()
def logits_of(
    model: Network,
    split: Split,
    *,
    preprocess: Preprocess,
    precision: Precision,
    check: Callable[[], None] = nothing,
) -> Tensor:
    """Logits (N, num_classes) float32 of the whole images of a split, in eval mode, on the split's device.

    Args:
        check: called before every batch; what it raises ends it.
    """
    most = images_at_a_time(model.spec, image_size=preprocess.crop.size, device=split.labels.device)
    was_training, parts = model.training, []
    model.eval()
    try:
        with eager(), precision.autocast():
            for rows in batch_rows(split, most=most):
                check()
                parts.append(model(preprocess.whole(split.images[rows])).float())
    finally:
        model.train(was_training)
    return torch.cat(parts)[: len(split)]


def predict(logits: Tensor, labels: Tensor) -> tuple[Predictions, float]:
    """Predictions and mean loss from logits (N, C) and labels (N,)."""
    loss = F.cross_entropy(logits, labels, reduction="none").double().mean().item()
    return ranked(logits.double().cpu().numpy(), labels.cpu().numpy()), loss


def ranked(logits: NDArray[np.float64], labels: NDArray[np.int64]) -> Predictions:
    """Predictions from logits (N, C) and labels (N,); of equal logits the first counts as the larger, NaN as least."""
    order = np.argsort(-logits, axis=1, kind="stable")  # (N, C), the largest first
    rank = 1 + (order == labels[:, None]).argmax(1)
    with np.errstate(invalid="ignore"):  # no finite numbers: no probabilities
        shifted = np.exp(logits - logits.max(1, keepdims=True))
        confidence = shifted.max(1) / shifted.sum(1)
    return Predictions(order[:, 0], confidence, rank)
