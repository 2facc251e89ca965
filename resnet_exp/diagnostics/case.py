"""A run whose net is questioned: its images, and its weights at every step that was kept."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from resnet_exp.compute.parts import Parts, prepare, take_up
from resnet_exp.compute.weights import Weights
from resnet_exp.config import Config
from resnet_exp.data.sets import Split
from resnet_exp.nets.init import initialise
from resnet_exp.nets.network import Network
from resnet_exp.runs.diagnostics import Subject
from resnet_exp.runs.folder import RunFolder
from resnet_exp.runs.snapshots import read_snapshot, snapshot_file, snapshot_steps

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Case:
    """A run and what is needed to ask its net anything. Everything is computed in float32.

    Args:
        config: the run's settings.
        path: the run folder.
        parts: device, images and net; the net holds whatever was loaded last.
        last: the newest checkpoint's weights; None: the run has not begun.
        step: updates behind them.
    """

    config: Config
    path: Path
    parts: Parts
    last: Mapping[str, Tensor] | None
    step: int

    @property
    def model(self) -> Network:
        return self.parts.model

    @property
    def subject(self) -> Subject:
        """What the record of a diagnosis says of the run."""
        config = self.config
        return Subject(
            name=config.name,
            seed=config.seed,
            net=self.model.spec.to_dict(),
            data=config.data.shown,
            images=len(self.parts.dataset.train),
            image_size=config.data.image_size,
            steps=config.train.steps,
        )

    @property
    def begins_as_drawn(self) -> bool:
        return self.config.init_from is None and self.config.grow_from is None

    @property
    def steps(self) -> list[int]:
        """Those whose weights are known, rising: the first, every snapshot's, and, last, the newest checkpoint's.

        A snapshot may lie beyond that, of a run that was killed before the next save or that diverged. It is left out:
        the run goes on from its checkpoint, whose step and digest every record names.
        """
        snapshots = {step for step in snapshot_steps(self.path) if step <= self.step}
        known = snapshots | (set() if self.last is None else {self.step})
        return sorted(known | ({0} if self.begins_as_drawn else set()))

    @property
    def ends(self) -> list[int]:
        """The first step whose weights are known, and the newest; one, if they are the same."""
        return sorted({self.steps[0], self.steps[-1]})

    @property
    def modes(self) -> tuple[str, ...]:
        """The kinds of BN statistics that a question can ask with: each batch's own and the stored ones, if there are
        any."""
        return ("batch", "stored") if self.model.batch_norms else ("stored",)

    def load(self, step: int) -> Network:
        """The net with its weights after `step` updates (one of `steps`), in eval mode.

        Raises:
            ValueError: the snapshot is damaged.
        """
        if step == self.step and self.last is not None:
            self.model.load_state_dict(self.last)
        elif snapshot_file(self.path, step).exists():
            self.model.load_state_dict(read_snapshot(snapshot_file(self.path, step)))
        else:
            assert step == 0
            for norm in self.model.batch_norms:
                norm.reset_parameters()  # which initialising leaves as it finds them, in a new net at one and zero
            initialise(self.model, seed=self.config.seed, zero_init=self.config.zero_init)
        return self.model.eval()

    @property
    def digest(self) -> str:
        """Of the newest weights: what was measured of others is out of date."""
        state = self.last if self.last is not None else self.load(0).state_dict()
        return Weights({name: tensor.cpu() for name, tensor in state.items()}, self.path, None).digest

    def some(self, split: str, *, most: int, seed: int = 0) -> Split:
        """Up to `most` images of a split (`train`, `val`, `test`), drawn from `seed`; the same for every run.

        In the order in which they are drawn: a folder of images is sorted by class, and BN must not see one class at a
        time.
        """
        images: Split = getattr(self.parts.dataset, split)
        generator = torch.Generator().manual_seed(seed)
        chosen = torch.randperm(len(images), generator=generator)[:most]
        return images.take(chosen.to(images.labels.device))

    def shown(self, images: Tensor) -> Tensor:
        """Images (B, 3, S', S') uint8 as the net sees them in a test: whole, normalised, (B, 3, S, S) float32."""
        return self.parts.preprocess.whole(images)


def open_case(config: Config, path: Path, *, turn: int = 0) -> Case:
    """The run with these settings, in its folder or not begun yet; in float32 whatever it is trained in.

    Raises:
        ValueError: the folder holds another run or a damaged checkpoint; the images are not the run's; or the run has
            not begun, and begins from weights that are not drawn.
    """
    earlier, checkpoint = take_up(config, RunFolder(path))
    if checkpoint is None and (config.init_from or config.grow_from is not None):
        raise ValueError(f"{path}: begins from other weights and has none yet\ntask=train makes them")
    if earlier:  # its threads are nobody's business here, its images are
        earlier = replace(earlier, environment={})
    parts = prepare(config.updated({"amp": "off"}), earlier=earlier, turn=turn)
    if checkpoint is None:
        return Case(config, path, parts, None, 0)
    return Case(config, path, parts, checkpoint["state"]["model"], checkpoint["state"]["step"])
