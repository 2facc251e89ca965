"""How strongly each layer responds: figure 7 of arXiv 1512.03385, section 4.2.

The response of a layer is its output after BN, before ReLU or addition; its strength is the standard deviation over
images, pixels and channels together. The paper leaves open over which images and with which BN statistics. Here:
training images as a test shows them, once with each batch's own statistics (`batch`, as in training) and once with the
stored ones (`stored`). With a batch's own statistics a channel's deviation is |gamma| * sqrt(var / (var + eps)), so the
figure is one of gamma: at initialisation, where gamma is 1, every layer with BN behind it has 1.000. At the end of a v1
block, where zero_init makes it 0, it has 0.

The stem of a v2 net and the last layer of a v2 block have no BN behind them, and a net without BN has none at all.
There it is the layer's own output.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from resnet_exp.compute.watch import hooked, kept_statistics
from resnet_exp.diagnostics.case import Case
from resnet_exp.diagnostics.layers import layers_of
from resnet_exp.diagnostics.question import Question
from resnet_exp.runs.diagnostics import Row

IMAGES, AT_ONCE = 1000, 250  # training images; at most in a batch, whose own statistics BN then takes


def choices_of(case: Case) -> dict[str, Any]:
    images = case.some("train", most=IMAGES)
    return {
        "images": len(images),
        "split": "train, not augmented",
        "batch": len(images.batches(most=AT_ONCE)[0]),
        "precision": "float32",
        "response": "after BN, before ReLU or addition; without a BN behind it the layer's own output",
    }


class Spread:
    """Sums from which mean and variance follow, by channel."""

    def __init__(self) -> None:
        self.count = 0
        self.total: Tensor | None = None
        self.squares: Tensor | None = None

    def add(self, values: Tensor) -> None:
        """values: (N, C, H, W) or (N, C)."""
        by_channel = values.detach().double().transpose(0, 1).flatten(1)
        total, squares = by_channel.sum(1), by_channel.square().sum(1)
        self.total = total if self.total is None else self.total + total
        self.squares = squares if self.squares is None else self.squares + squares
        self.count += by_channel.shape[1]

    def deviations(self) -> tuple[float, float]:
        """Over everything, and the mean over channels of each channel's own."""
        assert self.total is not None
        assert self.squares is not None
        means, squares = self.total / self.count, self.squares / self.count
        own = (squares - means.square()).clamp(min=0).sqrt().mean()
        return float((squares.mean() - means.mean().square()).clamp(min=0).sqrt()), float(own)


@torch.no_grad()
def spreads(case: Case, *, mode: str) -> list[Spread]:
    """Of every layer of the net as it is, in order; `mode` is one of the case's."""
    model, images = case.model, case.some("train", most=IMAGES)
    found = [Spread() for _ in layers_of(model)]

    def note(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor, *, spread: Spread) -> None:
        spread.add(output)  # at once: what follows writes into this tensor

    hooks = [
        (layer.norm or layer.module, partial(note, spread=spread))
        for layer, spread in zip(layers_of(model), found, strict=True)
    ]
    with kept_statistics(model, training=mode == "batch"), hooked(hooks):
        for batch in images.batches(most=AT_ONCE):
            model(case.shown(batch.images))
    return found


def measure(case: Case, known: Sequence[Row]) -> Iterator[list[Row]]:
    """A piece for each step: a row for each layer and kind of BN statistics."""
    done = {row["step"] for row in known}
    for step in case.ends:
        if step in done:
            continue
        model = case.load(step)
        rows: list[Row] = []
        for mode in case.modes:
            for number, (layer, spread) in enumerate(zip(layers_of(model), spreads(case, mode=mode), strict=True), 1):
                everything, own = spread.deviations()
                row: Row = {"step": step, "batch_norm": mode, "layer": number, "name": layer.name, "stage": layer.stage}
                rows.append(row | {"std": everything, "std_of_channel": own})
        yield rows


QUESTION = Question("responses", choices_of, lambda case: len(case.ends), measure)
