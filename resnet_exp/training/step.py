"""One update as a function of tensors alone, so that a GPU does it in one launch. Nothing waits for the device."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from resnet_exp.compute.device import Precision
from resnet_exp.compute.speed import CastWeights, capture
from resnet_exp.compute.totals import Totals
from resnet_exp.data.preprocess import Preprocess
from resnet_exp.data.sets import Split
from resnet_exp.data.stream import BatchStream, Feed
from resnet_exp.training.optim import use_lr_tensor


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
            if state.get(name):  # a scaler that was not needed has no state; a complete run has its weights alone
                getattr(self, name).load_state_dict(state[name])
        self.step = state["step"]

    def remember(self) -> Callable[[], None]:
        """Copies all of it, and returns what puts the copies back into the same tensors."""
        tensors = [*self.model.state_dict().values(), *self.totals.state_dict().values()]
        tensors += [buffer for of_one in self.optimizer.state.values() for buffer in of_one.values()]
        copies = [tensor.clone() for tensor in tensors]
        scaler = self.scaler.state_dict()

        def restore() -> None:
            for tensor, copy in zip(tensors, copies, strict=True):
                tensor.copy_(copy)
            self.scaler.load_state_dict(scaler)  # fills its tensors in place

        return restore


STATEFUL = ("model", "optimizer", "scaler", "totals")


class TrainStep:
    """Update after update of one run: crop, flip, forward, loss, backward, SGD and sums in one launch on a GPU.

    What differs from step to step lies in tensors: the step's number, which picks the images, and the learning rate.
    Make it after a checkpoint was taken up: the optimizer's tensors must stay where they are.

    Args:
        state: what is updated; its net in training mode.
        split: the images that are trained on.
        stream: which of them in which step, and how cropped and flipped.
        preprocess: how they are shown to the net.
        precision: what the net computes in.
    """

    def __init__(
        self, state: State, split: Split, *, stream: BatchStream, preprocess: Preprocess, precision: Precision
    ) -> None:
        self.state, self.stream, self.preprocess, self.precision = state, stream, preprocess, precision
        device = split.labels.device
        self.labels = split.labels
        self.prepared = preprocess.prepare(split.images)
        self.feed = Feed(stream, device=device)
        self.feed.fill(state.step)
        self.number = torch.tensor(state.step, device=device)
        self.net = CastWeights(state.model, dtype=precision.dtype)
        self.lr = use_lr_tensor(state.optimizer, device=device)
        self.last_lr: float | None = None
        self.replay = capture(self.update, device=device, remember=self.remember)

    @property
    def epoch(self) -> float:
        """Passes over the training set that the updates so far make."""
        return self.state.step * self.stream.batch_size / self.stream.num_images

    @property
    def on_cpu(self) -> bool:
        return self.labels.device.type == "cpu"

    def remember(self) -> Callable[[], None]:
        restore_state, number = self.state.remember(), self.number.clone()

        def restore() -> None:
            restore_state()
            self.number.copy_(number)

        return restore

    def update(self) -> None:
        """One SGD update, counted in the state's totals: what is captured, so it may hold no number that changes."""
        state, sample = self.state, self.feed.batch(self.number)
        images = self.preprocess.cut(self.prepared, sample)
        labels = self.labels[sample.indices]
        with self.precision.autocast():
            logits = self.net(images)
        loss = F.cross_entropy(logits.float(), labels)
        state.optimizer.zero_grad(set_to_none=True)
        state.scaler.scale(loss).backward()
        self.net.return_gradients()
        state.scaler.step(state.optimizer)
        state.scaler.update()
        loss, wrong = loss.detach(), (logits.detach().argmax(1) != labels).sum()
        state.totals.add(loss=loss.double() * len(labels), wrong=wrong, images=len(labels))
        state.totals.watch(loss, step=self.number)
        self.number += 1

    def __call__(self, *, lr: float) -> None:
        """Update `state.step` at the learning rate `lr`."""
        self.feed.fill(self.state.step)
        if lr != self.last_lr:
            self.lr.fill_(lr)
            self.last_lr = lr
        self.replay()
        self.state.step += 1
