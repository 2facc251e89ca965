"""What a block adds to its shortcut: how large the residual branch F(x) is, and which way it points.

The size is the root mean square over images, pixels and channels together; the ratio is that of F(x) to that of the
shortcut, both just before they are added. The images are training images as a test shows them, once with each batch's
own BN statistics (`batch`, as in training) and once with the stored ones (`stored`).

Where BN ends the branch, F does not depend on the size of the convolutions' weights, up to BN's eps. With a batch's own
statistics its mean square is the mean over channels of gamma^2 + beta^2: only what changes gamma and beta changes F. So
these are recorded as root mean squares too, beside the norm of the weights of the branch's last layer. In a v2 block
that layer ends the branch, and F is proportional to its weights; there is no gamma behind it.

The direction is the cosine between F(x) and the *negative* gradient of the loss at the block's sum, of each image, and
then the mean over images (Jastrzebski et al., Residual Connections Encourage Iterative Inference, arXiv 1710.04773,
who take the gradient at the block's input). The sign: to first order F changes the loss by its scalar
product with the gradient itself, so above 0 the block lowers the loss, as a step of gradient descent on the signal
would; below 0 it raises it. At the sum, as the input of a block that changes the shape has no place for F.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resnet_exp.compute.evaluate import images_at_a_time
from resnet_exp.compute.watch import hooked, kept_statistics
from resnet_exp.diagnostics.case import Case
from resnet_exp.diagnostics.question import DoesNotFit, Question
from resnet_exp.nets.layers import BatchNorm
from resnet_exp.nets.names import net_name
from resnet_exp.nets.network import Block
from resnet_exp.runs.diagnostics import Row

IMAGES = 500  # training images: over twice as many, sizes differ by less than 1 %


def at_once(case: Case) -> int:
    """Images in a batch, whose own statistics BN then takes: on any device as many as on a CPU."""
    size = case.config.data.image_size
    return images_at_a_time(case.model.spec, image_size=size, device=torch.device("cpu"))


def choices_of(case: Case) -> dict[str, Any]:
    spec = case.model.spec
    if spec.shortcut == "none":
        raise DoesNotFit(
            f"what=branches: {net_name(spec)} has no shortcut beside which its layers are a branch\n"
            "ask it of a residual net; what=all passes over plain ones"
        )
    return {
        "images": min(IMAGES, len(case.parts.dataset.train)),
        "split": "train, not augmented",
        "batch": at_once(case),
        "precision": "float32",
        "size": "root mean square over images, pixels and channels",
        "cosine": "of the branch with the negative gradient of the loss at the block's sum, mean over images",
        # of the run's settings, as those that figures compare
        "weight_decay": case.config.optim.weight_decay,
        "weight_decay_on": case.config.optim.weight_decay_on,
    }


@dataclass
class Sums:
    """Of one block, over the images so far.

    Args:
        branch, shortcut: sums of squares.
        numbers: in either.
        cosines: their sum.
        directed: images of which there is one: neither the branch nor the gradient is zero.
        output: of the branch, kept until the gradient in it is known.
    """

    branch: float = 0.0
    shortcut: float = 0.0
    numbers: int = 0
    cosines: float = 0.0
    directed: int = 0
    output: Tensor | None = None

    def row(self) -> Row:
        branch, shortcut = math.sqrt(self.branch / self.numbers), math.sqrt(self.shortcut / self.numbers)
        return {
            "branch": branch,
            "shortcut": shortcut,
            "ratio": branch / shortcut if shortcut else math.nan,
            "cosine": self.cosines / self.directed if self.directed else math.nan,
        }


def squares(values: Tensor) -> float:
    return float(values.detach().double().square().sum())


@contextmanager
def watched(blocks: Sequence[Block], found: Sequence[Sums]) -> Iterator[None]:
    """Adds up what the blocks do while batches go through the net and back.

    At once or from a copy, as the addition and ReLU write into the branch's output. The gradient that is asked for
    before that is the one in this output, and so that in the sum.
    """

    def branch(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor, *, sums: Sums) -> None:
        sums.branch += squares(output)
        sums.numbers += output.numel()
        sums.output = output.detach().clone()
        output.register_hook(partial(gradient, sums=sums))

    def shortcut(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor, *, sums: Sums) -> None:
        sums.shortcut += squares(output)

    def gradient(uphill: Tensor, *, sums: Sums) -> None:
        assert sums.output is not None
        of_branch, downhill = sums.output.flatten(1).double(), -uphill.flatten(1).double()
        lengths = of_branch.norm(dim=1) * downhill.norm(dim=1)
        directed = (lengths > 0) & lengths.isfinite()
        sums.cosines += float(((of_branch * downhill).sum(1) / lengths)[directed].sum())
        sums.directed += int(directed.sum())
        sums.output = None

    hooks: list[tuple[nn.Module, Callable[..., None]]] = []
    for block, sums in zip(blocks, found, strict=True):
        assert block.downsample is not None
        last = block.norms[-1] if block.order == "post" else block.layers[-1]
        hooks += [(last, partial(branch, sums=sums)), (block.downsample, partial(shortcut, sums=sums))]
    with hooked(hooks):
        yield


def branches(case: Case, *, mode: str) -> list[Sums]:
    """Of every block of the net as it is, in order; `mode` is one of the case's."""
    model, images = case.model, case.some("train", most=IMAGES)
    found = [Sums() for _ in model.blocks]
    with kept_statistics(model, training=mode == "batch"), torch.enable_grad(), watched(model.blocks, found):
        for batch in images.batches(most=at_once(case)):
            loss = F.cross_entropy(model(case.shown(batch.images)), batch.labels, reduction="sum")
            torch.autograd.grad(loss, next(model.parameters()))  # the stem's: the way there leads through all
    return found


def root_mean_square(values: Tensor) -> float:
    return float(values.detach().double().square().mean().sqrt())


def parameters_of(block: Block) -> Row:
    """What may make a branch small: gamma and beta of the BN that ends it, or the weights of its last layer."""
    ending = block.ending
    with_bn = isinstance(ending, BatchNorm)
    return {
        "gamma": root_mean_square(ending.get_parameter("weight")) if with_bn else math.nan,
        "beta": root_mean_square(ending.get_parameter("bias")) if with_bn else math.nan,
        "weights": math.sqrt(squares(block.layers[-1].get_parameter("weight"))),
    }


def measure(case: Case, known: Sequence[Row]) -> Iterator[list[Row]]:
    """A piece for each step whose weights are known and each kind of BN statistics: a row a block."""
    done = {(row["step"], row["batch_norm"]) for row in known}
    for step in case.steps:
        model = case.load(step)
        for mode in case.modes:
            if (step, mode) in done:
                continue
            rows: list[Row] = []
            for block, sums in zip(model.blocks, branches(case, mode=mode), strict=True):
                where: Row = {"step": step, "batch_norm": mode, "block": block.place.number, "stage": block.place.stage}
                rows.append(where | sums.row() | parameters_of(block))
            yield rows


QUESTION = Question("branches", choices_of, lambda case: len(case.steps) * len(case.modes), measure)
