"""A deeper net from a run's weights: what must be measured to make it, and the proof that it computes the same."""

import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from resnet_exp.compute.device import Precision
from resnet_exp.compute.evaluate import nothing, training_batches
from resnet_exp.compute.parts import Parts
from resnet_exp.compute.predict import batch_rows, logits_of
from resnet_exp.compute.speed import eager
from resnet_exp.compute.watch import hooked, kept_statistics
from resnet_exp.compute.weights import Weights, read
from resnet_exp.config import Config
from resnet_exp.data.sets import Split
from resnet_exp.nets.grow import Moments, grow
from resnet_exp.nets.network import Network

# Of the largest logit. Rounding of float32 makes 1e-6 of it with BN, nothing without; a kernel that is off by a pixel
# makes 1e-1 and more. Fourier and Winograd convolutions, which a GPU may choose, round more than direct ones.
TOLERANCE = 1e-3
IN_TRAIN_MODE = 5000  # training images that are compared with each batch's own BN statistics

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Agreement:
    """How far two nets give the same logits for some images.

    Args:
        shallow: error of the shallower net in %.
        deep: likewise of the deeper one.
        difference: the largest between two logits.
        relative: that, divided by the shallower net's largest logit.
    """

    shallow: float
    deep: float
    difference: float
    relative: float

    @classmethod
    def of(cls, shallow: Tensor, deep: Tensor, labels: Tensor) -> "Agreement":
        """From logits (N, num_classes) and labels (N,)."""
        one, other = (100 * (logits.argmax(1) != labels).double().mean().item() for logits in (shallow, deep))
        difference = (shallow.double() - deep.double()).abs().max().item()
        largest = shallow.double().abs().max().item()
        return cls(one, other, difference, difference / largest if largest else difference)

    def __str__(self) -> str:
        errors = f"error {self.shallow:.2f} % of the shallower net, {self.deep:.2f} % of the deeper one"
        return f"{errors}; logits differ by up to {self.difference:.1e}, {self.relative:.1e} of the largest"


def grow_into(parts: Parts, config: Config, source: Path, *, check: Callable[[], None] = nothing) -> dict[str, Any]:
    """Makes the net of `parts`, as drawn from its seed, the constructed solution from a run's newest weights, and
    proves that it is one.

    Args:
        source: the shallower net's run folder.
        check: called between batches; what it raises ends it.

    Returns:
        For the record: where the weights are from, and how far both nets agree.

    Raises:
        ValueError: there are no such weights, or they are of a net that cannot be grown into this one, or not finite;
            or the nets do not agree.
    """
    weights, model = read(source), parts.model
    if weights.record is None:
        raise ValueError(f"{source}: no run folder; what grows is a run of ours")
    finite = all(bool(tensor.isfinite().all()) for tensor in weights.tensors.values())
    if weights.record.training.get("status") == "diverged" or not finite:
        raise ValueError(f"{source}: diverged; its weights are not what a deeper net could begin with")
    device = next(model.parameters()).device
    shallow = Network(weights.record.net, num_classes=model.fc.out_features)
    try:
        shallow.load_state_dict(dict(weights.tensors))
    except RuntimeError as error:
        raise ValueError(f"{source}: weights for other classes than those of the images here") from error
    shallow = shallow.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    moments = moments_of(shallow, parts, config, check=check)
    grow(model, weights.tensors, weights.record.net, moments=moments)
    agreement = agree(shallow, parts, config, check=check)
    record = {
        "from": str(source),
        "name": weights.record.name,
        "depth": weights.record.net.depth,
        "weights": weights.digest,
        "status": weights.record.training.get("status"),
        "precision": "float32",
        **{where: asdict(found) for where, found in agreement.items()},
    }
    report(weights, agreement, config)
    return record


def report(weights: Weights, agreement: dict[str, Agreement], config: Config) -> None:
    """Says how far the nets agree.

    Raises:
        ValueError: in eval mode by less than `TOLERANCE` allows.
    """
    assert weights.record is not None
    log.info("%s grown from %s (%s), lr %g", config.name, weights.source, weights.digest, config.optim.lr)
    for where, found in agreement.items():
        log.info("%s: %s", where, found)
        if where != "train mode" and not found.relative <= TOLERANCE:
            raise ValueError(
                f"{config.name} does not compute what {weights.record.name} does: {where}, {found.relative:.1e} of the"
                f" largest logit; {TOLERANCE:g} is what rounding may make"
            )


@torch.no_grad()
def moments_of(shallow: Network, parts: Parts, config: Config, *, check: Callable[[], None] = nothing) -> list[Moments]:
    """Mean and variance of each channel of what leaves each stage, over training batches in train mode: the mean of
    those of each batch, which is what a BN behind the stage divides by."""
    sums = [[torch.zeros(stage.channels, dtype=torch.float64) for _ in range(2)] for stage in shallow.spec.stages]

    def note(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        by_channel = output.double().transpose(0, 1).flatten(1)  # at once: what follows may write into this tensor
        mean, variance = sums[shallow.stages.index(module)]
        mean += by_channel.mean(1).cpu()
        variance += by_channel.var(1, correction=0).cpu()

    count = 0
    with kept_statistics(shallow, training=True), hooked((stage, note) for stage in shallow.stages):
        images, stream = parts.dataset.train, parts.stream(config)
        for batch in training_batches(images, stream, first=0, preprocess=parts.preprocess):
            check()
            shallow(batch)
            count += 1
    return [((mean / count).float(), (variance / count).float()) for mean, variance in sums]


def agree(
    shallow: Network, parts: Parts, config: Config, *, check: Callable[[], None] = nothing
) -> dict[str, Agreement]:
    """In eval mode on all training and test images, and in train mode, with a batch's own BN statistics, on up to 5,000
    training images; not augmented, in float32."""
    float32, found = Precision("off", parts.device.type), {}
    for name in ("train", "test"):
        split: Split = getattr(parts.dataset, name)
        pair = [
            logits_of(model, split, preprocess=parts.preprocess, precision=float32, check=check)
            for model in (shallow, parts.model)
        ]
        found[f"{name} images"] = Agreement.of(pair[0], pair[1], split.labels)
    images = parts.dataset.train
    rows = torch.arange(min(IN_TRAIN_MODE, len(images)), device=images.labels.device)
    some = images.take(rows)
    pair = [
        logits_in_training(model, some, parts, batch_size=config.train.batch_size, check=check)
        for model in (shallow, parts.model)
    ]
    found["train mode"] = Agreement.of(pair[0], pair[1], some.labels)
    return found


@torch.no_grad()
def logits_in_training(
    model: Network, split: Split, parts: Parts, *, batch_size: int, check: Callable[[], None] = nothing
) -> Tensor:
    """Logits (N, num_classes) of whole images with the BN statistics of batches of equal shape, at most `batch_size`
    large; moves nothing."""
    logits = []
    with kept_statistics(model, training=True), eager():
        for rows in batch_rows(split, most=batch_size):
            check()
            logits.append(model(parts.preprocess.whole(split.images[rows])).float())
    return torch.cat(logits)[: len(split)]
