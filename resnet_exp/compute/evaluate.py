"""Errors over a whole split, and BN statistics recomputed for the last weights. The device is waited for at the end."""

import math
from collections.abc import Callable, Iterable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resnet_exp.compute.device import Precision
from resnet_exp.compute.speed import capture, eager
from resnet_exp.compute.totals import Totals
from resnet_exp.data.crops import Sample
from resnet_exp.data.preprocess import Preprocess
from resnet_exp.data.sets import Split
from resnet_exp.data.stream import BatchStream
from resnet_exp.nets.cost import largest_output
from resnet_exp.nets.network import Network
from resnet_exp.nets.spec import NetSpec

# Images at a time: on a CPU what its caches hold (plain56 at 32x32: 1.5 times as fast as 1000 at a time). Fewer where a
# layer puts out more numbers for an image than 64 channels of 32x32, so that a batch never takes more memory than then.
BATCH = {"cpu": 100, "cuda": 1000}
LARGEST_OUTPUT = 64 * 32 * 32
BN_IMAGES = 5000  # enough to know mean and variance of every channel


def nothing() -> None: ...


def images_at_a_time(spec: NetSpec, *, image_size: int, device: torch.device) -> int:
    """How many an evaluation puts through a net at once; 1 at least."""
    most = BATCH[device.type]
    return max(1, min(most, most * LARGEST_OUTPUT // largest_output(spec, image_size=image_size)))


def equal_batches(images: int, *, most: int) -> tuple[int, int]:
    """How few batches of up to `most` images there can be, and the size of each: equal, the last one filled up."""
    number = math.ceil(images / most)
    return number, math.ceil(images / number)


class Evaluation:
    """Mean loss and error of a net over one split: eval mode, single view, no augmentation ([P1] 4.2).

    Every batch has the same shape, for the sake of a captured graph: the last one is filled up with images that do not
    count.
    """

    def __init__(self, model: Network, split: Split, *, preprocess: Preprocess, precision: Precision) -> None:
        self.model, self.split, self.preprocess, self.precision = model, split, preprocess, precision
        self.device = split.labels.device
        at_once = images_at_a_time(model.spec, image_size=preprocess.crop.size, device=self.device)
        self.num_batches, size = equal_batches(len(split), most=at_once)
        self.rows = torch.arange(size, device=self.device)
        self.position = torch.zeros((), dtype=torch.int64, device=self.device)
        self.totals = Totals(self.device)
        self.replay: Callable[[], None] | None = None

    def add_batch(self) -> None:
        """Counts the next batch: what is captured."""
        rows = self.position + self.rows
        counts = rows < len(self.split)
        batch = self.split.take(rows.clamp(max=len(self.split) - 1))
        images = self.preprocess.whole(batch.images)
        with torch.no_grad(), self.precision.autocast():
            logits = self.model(images)
        losses = F.cross_entropy(logits.float(), batch.labels, reduction="none").double()
        wrong = (logits.argmax(1) != batch.labels) & counts
        self.totals.add(loss=losses.where(counts, 0).sum(), wrong=wrong.sum(), images=counts.sum())
        self.position += len(self.rows)

    def __call__(self, *, check: Callable[[], None] = nothing) -> tuple[float, float]:
        """Mean loss and error in %.

        Args:
            check: called before every batch; what it raises ends the evaluation.
        """
        self.model.eval()
        try:
            with eager():
                if self.replay is None:
                    self.replay = capture(self.add_batch, device=self.device, remember=lambda: nothing)
                self.totals.clear()
                self.position.zero_()
                for _ in range(self.num_batches):
                    check()
                    self.replay()
        finally:
            self.model.train()
        result = self.totals.read()
        assert result is not None  # a split has images
        return result


def num_training_batches(split: Split, stream: BatchStream) -> int:
    """How many `training_batches` yields; the last one is as large as the others, and may begin the next epoch."""
    return math.ceil(min(BN_IMAGES, len(split)) / stream.batch_size)


def training_batches(split: Split, stream: BatchStream, *, first: int, preprocess: Preprocess) -> Iterator[Tensor]:
    """Batches `first` and following as training sees them, (B, 3, S, S) float32: 5,000 images or an epoch."""
    for step in range(first, first + num_training_batches(split, stream)):
        sample = Sample(*(sampled.to(split.labels.device) for sampled in stream.batches(step)))
        # A batch alone: a border around every image of the split would be one more copy of it.
        prepared = preprocess.prepare(split.images[sample.indices])
        yield preprocess.cut(prepared, sample._replace(indices=torch.arange(len(prepared), device=prepared.device)))


@torch.no_grad()
def recompute_batch_norm(
    model: nn.Module, batches: Iterable[Tensor], *, precision: Precision, check: Callable[[], None] = nothing
) -> None:
    """Replaces BN's moving averages by plain averages over batches.

    Moving averages lag behind the weights: comparing errors before and after tells a failure of BN from one of
    optimisation. So the batches must be like those of training: the border of a crop is part of the statistics that
    the weights were trained with.

    Args:
        batches: images, (B, 3, S, S).
        check: called before every batch; what it raises leaves the statistics half done and the net in train mode.
    """
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
    model.train()
    try:
        with eager():
            for number, images in enumerate(batches):
                check()
                for norm in norms:
                    norm.momentum = 1 / (number + 1)  # the n-th of n batches: so the average becomes a plain one
                with precision.autocast():
                    model(images)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
