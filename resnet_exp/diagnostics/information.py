"""What a layer still knows of the image, and of its class: what a linear reader makes of the layer's output.

Tutorials argue from the data-processing inequality that plain layers lose what they are told and shortcuts keep it. The
inequality bounds mutual information, which nobody can measure here; so we ask what can be read. From the output of the
stem and of every block (in v1 after ReLU, in v2 the sum itself) a ridge regression predicts the image, and another one
the class (one-hot; the largest wins). Both are fitted on training images and scored on held-out ones: R^2, and the
error in %. That is a lower bound: what a curved reader would find, or a linear one with more images, is not counted.

The same number of features everywhere, lest a wide map seem to know more: random mixtures of all units, by a Gaussian
matrix, as the regression is itself one of mixtures (Johnson and Lindenstrauss: distances are kept). Pooling would cost
early layers more, whose maps are large, and drawing single units would cost them their places. What mixing itself loses
is measured: the image's own pixels are read in the same way.

BN's stored statistics are not those of a net at initialisation, where they are 0 and 1, and lag behind later. A batch's
own make the features of an image depend on its neighbours, held-out ones with them. So they are re-estimated at every
step on the images of the fit, and each image then goes through the net alone.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resnet_exp.compute.evaluate import images_at_a_time, recompute_batch_norm
from resnet_exp.compute.watch import kept_statistics
from resnet_exp.data.sets import Split
from resnet_exp.diagnostics.case import Case
from resnet_exp.diagnostics.question import Question
from resnet_exp.diagnostics.ridge import PENALTIES, explained, fit_ridge
from resnet_exp.nets.network import Network
from resnet_exp.runs.diagnostics import Row

IMAGES, HELD_OUT = 1000, 1000  # at most: fitted on, and scored
FEATURES = 256  # of every layer: enough to read most of an image's pixels, few for a thousand images to fit
SIDE = 8  # pixels of the image that is read: what is finer, 256 numbers cannot tell
UNITS = 2**14  # of a layer, drawn at random if it has more than any of [P1]'s CIFAR nets: bounds the matrix
BATCH_NORM_AT_ONCE = 250  # images at most whose statistics are averaged
PLACES_AT_ONCE = 64  # whose features are kept in memory


@dataclass(frozen=True)
class Place:
    """Where the net is read.

    Args:
        name: `pixels`, `stem`, `layer1.0`.
        stage: 0 for pixels and stem.
        block: from 1 on through the whole net; 0 for pixels and stem.
        layers: with weights, on the longest path, before it.
        module: that puts it out.
        before: the net is read before the module instead: what goes into it.
    """

    name: str
    stage: int
    block: int
    layers: int
    module: nn.Module
    before: bool = False


def places_of(model: Network) -> list[Place]:
    """The image, the stem's output, and every block's."""
    found, layers = [Place("pixels", 0, 0, 0, model, before=True)], len(model.stem)
    if model.stem:
        found.append(Place("stem", 0, 0, layers, model.blocks[0], before=True))
    for block in model.blocks:
        layers += len(block.layers)
        found.append(Place(block.place.path, block.place.stage, block.place.number, layers, block))
    return found


def side_of(case: Case) -> int:
    return min(SIDE, case.config.data.image_size)


def choices_of(case: Case) -> dict[str, Any]:
    side, images = side_of(case), case.some("train", most=IMAGES)
    at_once = len(images.batches(most=BATCH_NORM_AT_ONCE)[0])
    statistics = f"re-estimated on the fitted images, batches of {at_once}, then eval mode"
    return {
        "images": len(images),
        "held_out": min(HELD_OUT, len(case.parts.dataset.test)),
        "split": "fitted on train, scored on test, neither augmented",
        "features": f"{FEATURES} Gaussian mixtures, seed 0, of all units, or of {UNITS} drawn at random",
        "target": f"the image averaged to {side}x{side}; R^2 over all of its numbers, against the mean fitted image",
        "probe": "ridge regression to one-hot labels, the largest wins",
        "penalties": [*PENALTIES],
        "penalty": "by generalised cross-validation, for each target; times the mean eigenvalue of the features",
        "batch_norm": statistics if case.model.batch_norms else "none",
        "precision": "float32, regression float64",
    }


class Mixer:
    """Mixes all units of an image's features into FEATURES of them; outputs of equally many units in the same way."""

    def __init__(self) -> None:
        self.known: dict[int, tuple[Tensor, Tensor | None]] = {}

    def matrix(self, units: int, device: torch.device) -> tuple[Tensor, Tensor | None]:
        """(U, FEATURES); and which units it is for, if not for all."""
        if units not in self.known:
            generator = torch.Generator().manual_seed(0)
            chosen = torch.randperm(units, generator=generator)[:UNITS].sort().values if units > UNITS else None
            used = min(units, UNITS)
            mixture = torch.randn(used, FEATURES, generator=generator) / math.sqrt(used)
            self.known[units] = mixture.to(device), None if chosen is None else chosen.to(device)
        return self.known[units]

    def __call__(self, output: Tensor) -> Tensor:
        """(N, C, H, W) or (N, C) -> (N, FEATURES)."""
        flat = output.detach().flatten(1)
        mixture, chosen = self.matrix(flat.shape[1], flat.device)
        return (flat if chosen is None else flat[:, chosen]) @ mixture


@torch.no_grad()
def features_of(case: Case, places: Sequence[Place], images: Tensor) -> tuple[list[Tensor], list[int]]:
    """(N, FEATURES) of every place, for stored images and the net as it is; and how many units each place has."""
    mixer, model = Mixer(), case.model
    parts: list[list[Tensor]] = [[] for _ in places]
    units = [0] * len(places)

    def note(number: int, output: Tensor) -> None:
        parts[number].append(mixer(output))  # at once: what follows may write into this tensor
        units[number] = output[0].numel()

    def before(module: nn.Module, inputs: tuple[Tensor, ...], *, number: int) -> None:
        note(number, inputs[0])

    def after(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor, *, number: int) -> None:
        note(number, output)

    hooks = []
    for number, place in enumerate(places):
        if place.before:
            hooks.append(place.module.register_forward_pre_hook(partial(before, number=number)))
        else:
            hooks.append(place.module.register_forward_hook(partial(after, number=number)))
    at_once = images_at_a_time(model.spec, image_size=case.config.data.image_size, device=images.device)
    try:
        for batch in images.split(at_once):
            model(case.shown(batch))
    finally:
        for hook in hooks:
            hook.remove()
    return [torch.cat(of_place) for of_place in parts], units


def targets_of(case: Case, split: Split) -> tuple[Tensor, Tensor]:
    """The averaged images (N, 3 * side * side) and the labels one-hot (N, num_classes), float64."""
    images = F.adaptive_avg_pool2d(case.shown(split.images), side_of(case)).flatten(1)
    return images.double(), F.one_hot(split.labels, len(case.parts.dataset.classes)).double()


@dataclass(frozen=True)
class Reading:
    """What is read of held-out images.

    Args:
        r2: of the image; 1: all of it, 0: nothing that the mean image does not tell.
        error: of the class, in %.
        penalties: that were chosen for each.
    """

    r2: float
    error: float
    penalties: tuple[float, float]


def read(fitted: Tensor, held_out: Tensor, *, targets: tuple[Tensor, Tensor], hidden: tuple[Tensor, Tensor]) -> Reading:
    """Fits both readers on features (N, F) and their targets, and scores them on others (M, F) and theirs."""
    if not (fitted.isfinite().all() and held_out.isfinite().all()):
        return Reading(math.nan, math.nan, (math.nan, math.nan))  # a net that diverged
    of_image, of_class = fit_ridge(fitted, *targets)
    wrong = of_class(held_out).argmax(1) != hidden[1].argmax(1)
    r2 = explained(of_image(held_out), hidden[0], mean=of_image.mean)
    return Reading(r2, 100 * float(wrong.double().mean()), (of_image.penalty, of_class.penalty))


def measure(case: Case, known: Sequence[Row]) -> Iterator[list[Row]]:
    """A piece for each step and place: its row."""
    done = {(row["step"], row["layers"]) for row in known}
    fitted, held_out = case.some("train", most=IMAGES), case.some("test", most=HELD_OUT)
    targets, hidden = targets_of(case, fitted), targets_of(case, held_out)
    for step in case.ends:
        model = case.load(step)
        missing = [place for place in places_of(model) if (step, place.layers) not in done]
        for first in range(0, len(missing), PLACES_AT_ONCE):
            places = missing[first : first + PLACES_AT_ONCE]
            (of_fitted, units), (of_held_out, _) = with_own_statistics(case, step, places, fitted, held_out)
            for place, one, other, count in zip(places, of_fitted, of_held_out, units, strict=True):
                found = read(one, other, targets=targets, hidden=hidden)
                row: Row = {"step": step, "name": place.name, "stage": place.stage, "block": place.block}
                row |= {"layers": place.layers, "units": count, "r2": found.r2, "error": found.error}
                yield [row | {"penalty_of_image": found.penalties[0], "penalty_of_class": found.penalties[1]}]


def with_own_statistics(
    case: Case, step: int, places: Sequence[Place], *splits: Split
) -> list[tuple[list[Tensor], list[int]]]:
    """`features_of` for each split after `step` updates, with BN's statistics re-estimated on the first of them; leaves
    the net as it was."""
    model = case.load(step)
    with kept_statistics(model):
        if model.batch_norms:
            batches = (case.shown(batch.images) for batch in splits[0].batches(most=BATCH_NORM_AT_ONCE))
            recompute_batch_norm(model, batches, precision=case.parts.precision)
        model.eval()
        return [features_of(case, places, split.images) for split in splits]


QUESTION = Question("information", choices_of, lambda case: len(case.ends) * len(places_of(case.model)), measure)
