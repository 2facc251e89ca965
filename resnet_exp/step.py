"""One update, one evaluation. Nothing here waits for the device."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resnet_exp.batches import normalise
from resnet_exp.data import Split
from resnet_exp.machine import Precision

# Images evaluated at a time: on a CPU what its caches hold (plain56 at 32x32: 1.5 times as fast as 1000 at a time).
EVAL_BATCH = {"cpu": 100, "cuda": 1000}
BN_IMAGES = 5000  # enough to know mean and variance of every channel


class Totals:
    """Sums over images, kept on the device and read once per evaluation.

    `loss` (float64), `wrong` (int64): sums; `first_bad_step` (int64): first step with a loss that is not finite, or -1.
    """

    def __init__(self, device: torch.device) -> None:
        self.loss = torch.zeros((), dtype=torch.float64, device=device)
        self.wrong = torch.zeros((), dtype=torch.int64, device=device)
        self.first_bad_step = torch.full((), -1, dtype=torch.int64, device=device)
        self.images = 0

    def add(self, loss: Tensor, logits: Tensor, labels: Tensor, *, step: int = 0) -> None:
        """Counts a batch: mean loss (), logits (N, classes), labels (N,)."""
        self.loss += loss.double() * len(labels)
        self.wrong += (logits.argmax(1) != labels).sum()
        bad_now = ~torch.isfinite(loss) & (self.first_bad_step < 0)
        self.first_bad_step.masked_fill_(bad_now, step)
        self.images += len(labels)

    def read(self) -> tuple[float, float]:
        """Mean loss and error in %. Waits for the device."""
        loss, wrong = torch.stack([self.loss, self.wrong.double()]).tolist()
        return loss / self.images, 100 * wrong / self.images

    def clear(self) -> None:
        """Starts new sums; the first bad step stays."""
        self.loss.zero_()
        self.wrong.zero_()
        self.images = 0

    def state_dict(self) -> dict[str, Tensor | int]:
        return {
            "loss": self.loss,
            "wrong": self.wrong,
            "first_bad_step": self.first_bad_step,
            "images": self.images,
        }

    def load_state_dict(self, state: dict[str, Tensor | int]) -> None:
        for name in ("loss", "wrong", "first_bad_step"):
            getattr(self, name).copy_(state[name])
        self.images = int(state["images"])


@dataclass
class State:
    """Everything that decides how a run goes on, besides its settings."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    totals: Totals
    step: int = 0  # updates done

    def state_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name).state_dict() for name in STATEFUL} | {"step": self.step}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name in STATEFUL:
            if state[name]:  # a scaler that was not needed has no state, and takes none that is empty
                getattr(self, name).load_state_dict(state[name])
        self.step = state["step"]


STATEFUL = ("model", "optimizer", "scaler", "totals")


def update(state: State, *, images: Tensor, labels: Tensor, precision: Precision) -> None:
    """One SGD update from images (N, 3, S, S) float32 and labels (N,), counted in the state's totals."""
    with precision.autocast():
        logits = state.model(images)
    loss = F.cross_entropy(logits.float(), labels)
    state.optimizer.zero_grad(set_to_none=True)
    state.scaler.scale(loss).backward()
    state.scaler.step(state.optimizer)
    state.scaler.update()
    state.totals.add(loss.detach(), logits.detach(), labels, step=state.step)
    state.step += 1


def whole_batches(split: Split, *, mean: Tensor, std: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """A split in order, without augmentation: images (N, 3, S, S) float32 as channels_last, labels (N,)."""
    parts = math.ceil(len(split) / EVAL_BATCH[split.labels.device.type])  # of equal size: BN may average over them
    for images, labels in zip(split.images.tensor_split(parts), split.labels.tensor_split(parts), strict=True):
        yield normalise(images.permute(0, 3, 1, 2), mean=mean, std=std), labels


@torch.no_grad()
def evaluate(
    model: nn.Module,
    split: Split,
    *,
    mean: Tensor,
    std: Tensor,
    precision: Precision,
    check: Callable[[], None] = lambda: None,
) -> tuple[float, float]:
    """Mean loss and error in % over a whole split: eval mode, single view, no augmentation ([P1] 4.2).

    Args:
        check: called before every batch; what it raises ends the evaluation.
    """
    model.eval()
    totals = Totals(split.labels.device)
    try:
        for images, labels in whole_batches(split, mean=mean, std=std):
            check()
            with precision.autocast():
                logits = model(images)
            totals.add(F.cross_entropy(logits.float(), labels), logits, labels)
    finally:
        model.train()
    return totals.read()


@torch.no_grad()
def recompute_batch_norm(
    model: nn.Module,
    split: Split,
    *,
    mean: Tensor,
    std: Tensor,
    precision: Precision,
    check: Callable[[], None] = lambda: None,
) -> None:
    """Replaces BN's moving averages by plain averages over a split, or over 5,000 images of it.

    Moving averages lag behind the weights: comparing errors before and after tells a failure of BN from one of
    optimisation.

    Args:
        check: called before every batch; what it raises leaves the statistics half done.
    """
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # torch: a cumulative average
    model.train()
    shuffled = torch.randperm(len(split), generator=torch.Generator().manual_seed(0))  # sets may be sorted by class
    sample = split.take(shuffled[:BN_IMAGES].to(split.labels.device))
    for images, _ in whole_batches(sample, mean=mean, std=std):
        check()
        with precision.autocast():
            model(images)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
