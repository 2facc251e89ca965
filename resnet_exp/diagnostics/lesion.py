"""What a net loses with a block: Veit et al., Residual Networks Behave Like Ensembles, arXiv 1605.06431, section 4.

At test time y = F(x) + x becomes y = x for some blocks, and nothing is trained again: every block alone, several drawn
at random, and two neighbours that change places. What remains of a residual block is its shortcut (and, in v1, the ReLU
behind the addition). A plain block has none: it is passed over, which only those can be that keep the shape. Errors are
measured with the stored BN statistics, which belong to the whole net, and with those re-estimated for what is left.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice, pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from resnet_exp.compute.evaluate import num_training_batches, recompute_batch_norm, training_batches
from resnet_exp.compute.predict import logits_of
from resnet_exp.compute.watch import kept_statistics
from resnet_exp.data.sets import Split
from resnet_exp.diagnostics.case import Case
from resnet_exp.diagnostics.question import Question
from resnet_exp.nets.layers import activate
from resnet_exp.nets.network import Block, Network
from resnet_exp.runs.diagnostics import Row

IMAGES = 1000  # test images: with fewer, differences below 1.5 points are noise
BN_BATCHES = 4  # training batches at most on which BN statistics are re-estimated
SEVERAL = (2, 3, 5, 8, 13, 21)  # blocks that are removed together, up to half of those that can be
DRAWS, SEED = 3, 0  # of each number


@dataclass(frozen=True)
class Lesion:
    """What is done to a net.

    Args:
        kind: `none`, `one`, `several` or `swap`.
        blocks: which, from 1; of a swap the two neighbours.
        draw: of several drawn alike.
    """

    kind: str
    blocks: tuple[int, ...]
    draw: int = 0

    @property
    def key(self) -> tuple[str, str, int]:
        """What tells it from others, as rows hold it: its blocks as `block3+block7`."""
        return self.kind, "+".join(f"block{number}" for number in self.blocks), self.draw


def lesions_of(model: Network) -> list[Lesion]:
    """All that is done to a net, the whole net first; the same for all nets of as many blocks that can be removed."""
    places = model.spec.blocks
    removable = [place.number for place in places if not place.changes_shape or model.spec.shortcut != "none"]
    neighbours = [
        (one.number, other.number)
        for one, other in pairwise(places)
        if one.stage == other.stage and not one.changes_shape and not other.changes_shape
    ]
    generator = torch.Generator().manual_seed(SEED)
    several = []
    for count in (count for count in SEVERAL if 2 * count <= len(removable)):
        for draw in range(DRAWS):
            drawn = torch.randperm(len(removable), generator=generator)[:count].sort().values.tolist()
            several.append(Lesion("several", tuple(removable[index] for index in drawn), draw))
    ones = [Lesion("one", (number,)) for number in removable]
    return [Lesion("none", ()), *ones, *several, *(Lesion("swap", pair) for pair in neighbours)]


def what_remains(block: Block, x: Tensor) -> Tensor:
    """The output of a block without its residual branch."""
    if block.downsample is None:
        return x
    if block.order == "post":
        return F.relu(block.downsample(x))
    return block.downsample(activate(x, block.norms[0]) if block.activate_before_split else x)


@contextmanager
def injured(model: Network, lesion: Lesion) -> Iterator[None]:
    """Within it the net is without these blocks, or two of them have changed places; behind it, it is as it was."""
    blocks = [model.blocks[number - 1] for number in lesion.blocks]
    if lesion.kind == "swap":
        with swapped(*blocks):
            yield
        return
    for block in blocks:
        block.forward = partial(what_remains, block)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for block in blocks:
            del block.forward  # the one of its class shows again


@contextmanager
def swapped(one: Block, other: Block) -> Iterator[None]:
    """Each of two blocks computes what the other does."""
    computed = one.forward, other.forward
    one.forward, other.forward = computed[1], computed[0]  # type: ignore[method-assign]
    try:
        yield
    finally:
        del one.forward, other.forward


def batch_norm_images(case: Case) -> int:
    """How many images BN statistics are re-estimated on: of few training images there are fewer batches."""
    stream = case.parts.stream(case.config)
    batches = min(BN_BATCHES, num_training_batches(case.parts.dataset.train, stream))
    return batches * stream.batch_size if case.model.batch_norms else 0


def choices_of(case: Case) -> dict[str, Any]:
    return {
        "images": min(IMAGES, len(case.parts.dataset.test)),
        "split": "test",
        "chance": 100 * (1 - 1 / len(case.parts.dataset.classes)),
        "batch_norm_images": batch_norm_images(case),
        "draws": DRAWS,
        "seed": SEED,
        "precision": "float32",
    }


def measured(case: Case, images: Split) -> tuple[float, float]:
    """Mean loss and error (%) of the net as it is."""
    logits = logits_of(case.model, images, preprocess=case.parts.preprocess, precision=case.parts.precision)
    loss = F.cross_entropy(logits.double(), images.labels)
    return float(loss), float(100 * (logits.argmax(1) != images.labels).double().mean())


def measure(case: Case, known: Sequence[Row]) -> Iterator[list[Row]]:
    """A piece for each lesion: a row for each kind of BN statistics."""
    done = {(row["kind"], row["blocks"], row["draw"]) for row in known}
    model, images = case.load(case.steps[-1]), case.some("test", most=IMAGES)
    stream = case.parts.stream(case.config)
    for lesion in lesions_of(model):
        kind, blocks, draw = lesion.key
        if (kind, blocks, draw) in done:
            continue
        row: Row = {
            "kind": kind,
            "blocks": blocks,
            "draw": draw,
            "removed": 0 if kind == "swap" else len(lesion.blocks),
        }
        first = lesion.blocks[0] if lesion.blocks else 0
        row |= {"first": first, "stage": model.blocks[first - 1].place.stage if first else 0}
        rows: list[Row] = []
        with kept_statistics(model), injured(model, lesion):
            rows.append(row | named("stored", *measured(case, images)))
            if model.batch_norms:
                batches = training_batches(
                    case.parts.dataset.train, stream, first=case.step, preprocess=case.parts.preprocess
                )
                recompute_batch_norm(model, islice(batches, BN_BATCHES), precision=case.parts.precision)
                rows.append(row | named("re-estimated", *measured(case, images)))
        yield rows


def named(batch_norm: str, loss: float, error: float) -> Row:
    return {"batch_norm": batch_norm, "loss": loss, "error": error}


QUESTION = Question("lesion", choices_of, lambda case: len(lesions_of(case.model)), measure)
