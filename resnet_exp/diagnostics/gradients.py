"""How large the loss gradient is at each layer: does it vanish, explode, or keep its size on its way back?

Of plain nets with BN, arXiv 1512.03385 says in 4.1 that gradients "exhibit healthy norms"; by theory they grow from
layer to layer towards the input (Yang et al., arXiv 1902.08129, theorem 3.10). So here they are measured: on the batch
that the next update of the run trains on, in training mode, in float32, at every step whose weights were kept.

`output` is the Frobenius norm, over the batch, of the gradient of the mean loss in what the layer itself puts out,
before BN. Nothing is divided out: where a stage halves the map and doubles the channels, it is over half as many
numbers. `response` is the root mean square of the layer's response, after BN where BN follows at once.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resnet_exp.compute.evaluate import training_batches
from resnet_exp.compute.parts import weights_named
from resnet_exp.compute.watch import hooked, kept_statistics
from resnet_exp.diagnostics.case import Case
from resnet_exp.diagnostics.layers import Layer, layers_of
from resnet_exp.diagnostics.question import Question
from resnet_exp.runs.diagnostics import Row


def choices_of(case: Case) -> dict[str, Any]:
    choices = {
        "images": "the batch that the next update trains on, as it trains on it",
        "batch": case.config.train.batch_size,
        "batch_norm": "the batch's own statistics",
        "loss": "mean cross-entropy",
        "norm": "Frobenius, over the batch",
        "precision": "float32",
        "zero_init": case.config.zero_init,  # what theory predicts depends on it
    }
    # Of drawn weights, of which alone theory speaks, nothing is said: so an older record of them stays the same.
    return choices if case.begins_as_drawn else choices | {"initial_weights": weights_named(case.config)}


def training_batch(case: Case, *, step: int) -> tuple[Tensor, Tensor]:
    """What update `step` (from 0) trains on: images (B, 3, S, S) float32, normalised, and labels (B,)."""
    split, stream = case.parts.dataset.train, case.parts.stream(case.config)
    images = next(training_batches(split, stream, first=step, preprocess=case.parts.preprocess))
    return images, split.labels[stream.batches(step).indices.to(split.labels.device)]


def size(values: Tensor) -> float:
    """The Frobenius norm; summed in float64, in which no square overflows."""
    return float(torch.linalg.vector_norm(values.detach(), dtype=torch.float64))


@contextmanager
def watched(layers: Sequence[Layer], found: Sequence[Row]) -> Iterator[None]:
    """Notes the gradient at each layer's output and the size of its response while a batch goes through the net.

    All at once, in hooks: what follows a layer, ReLU or an addition, writes into its output. A gradient that is asked
    for before that is the one in the layer's own output all the same.
    """

    def respond(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor, *, row: Row) -> None:
        row["response"] = size(output) / math.sqrt(output.numel())

    def note(gradient: Tensor, *, row: Row) -> None:
        row["output"] = size(gradient)

    def ask(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor, *, row: Row) -> None:
        output.register_hook(partial(note, row=row))

    hooks: list[tuple[nn.Module, Callable[..., None]]] = []
    for layer, row in zip(layers, found, strict=True):
        hooks += [(layer.module, partial(ask, row=row)), (layer.norm or layer.module, partial(respond, row=row))]
    with hooked(hooks):
        yield


def gradients(case: Case, *, step: int) -> list[Row]:
    """A row a layer, of the net after `step` updates."""
    model = case.load(step)
    images, labels = training_batch(case, step=step)
    layers = layers_of(model)
    weights = [layer.module.get_parameter("weight") for layer in layers]
    found: list[Row] = [
        {"step": step, "layer": number, "name": layer.name, "stage": layer.stage, "block": layer.block}
        for number, layer in enumerate(layers, start=1)
    ]
    with kept_statistics(model, training=True), watched(layers, found), torch.enable_grad():
        loss = F.cross_entropy(model(images), labels)
        of_weights = torch.autograd.grad(loss, weights)
    for row, weight, gradient in zip(found, weights, of_weights, strict=True):
        row |= {"loss": float(loss.detach()), "weight_gradient": size(gradient), "weight": size(weight)}
    return found


def measure(case: Case, known: Sequence[Row]) -> Iterator[list[Row]]:
    """A piece for each step whose weights are known: a row a layer."""
    done = {row["step"] for row in known}
    for step in case.steps:
        if step not in done:
            yield gradients(case, step=step)


QUESTION = Question("gradients", choices_of, lambda case: len(case.steps), measure)
