"""What a run is made of before anybody trains, evaluates or questions it: device, images, net."""

import logging
from dataclasses import dataclass
from typing import Any

import torch

from resnet_exp.compute.device import Precision, choose_device, choose_precision, choose_threads, set_up
from resnet_exp.compute.evaluate import Evaluation
from resnet_exp.config import Config
from resnet_exp.data.crops import make_crop
from resnet_exp.data.preprocess import Preprocess
from resnet_exp.data.sets import Dataset, load_dataset
from resnet_exp.data.stream import BatchStream
from resnet_exp.nets.init import initialise
from resnet_exp.nets.network import Network
from resnet_exp.nets.spec import NetSpec
from resnet_exp.nets.table import net_spec, signal_growth
from resnet_exp.runs.checkpoint import load_checkpoint
from resnet_exp.runs.folder import RunFolder
from resnet_exp.runs.origin import Origin, check_settings
from resnet_exp.runs.schema import DRAWN, GROWN

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Parts:
    """What training and evaluating both need."""

    device: torch.device
    precision: Precision
    dataset: Dataset
    preprocess: Preprocess
    model: Network

    @property
    def held_out(self) -> list[str]:
        """The splits that are not trained on."""
        return ["test", *(["val"] if self.dataset.val else [])]

    def stream(self, config: Config) -> BatchStream:
        """Which training images each step sees, and how."""
        return BatchStream(
            num_images=len(self.dataset.train),
            batch_size=config.train.batch_size,
            crop=self.preprocess.crop,
            augment=config.data.augment,
            seed=config.seed,
        )

    def evaluation(self, split: str) -> Evaluation:
        """Of `train`, `val` or `test`, whole and not augmented."""
        images = getattr(self.dataset, split)
        return Evaluation(self.model, images, preprocess=self.preprocess, precision=self.precision)


def weights_named(config: Config) -> str:
    """What the settings say of the first weights."""
    if config.grow_from is not None:
        return f"{GROWN} {' '.join(config.grow_from)}"  # whose, of every seed, is said elsewhere
    return config.init_from or DRAWN


def prepare(
    config: Config,
    *,
    earlier: Origin | None,
    before: dict[str, Any] | None = None,
    turn: int = 0,
    spec: NetSpec | None = None,
) -> Parts:
    """Device, images and net; the net initialised from the seed.

    Args:
        earlier: what the run was begun with, if it goes on.
        before: the environment of a run that has begun but has no checkpoint yet, if it is known.
        turn: which of several runs side by side this is.
        spec: of the net, if it is not that of the settings.

    Raises:
        ValueError: no such device, or the images are missing, damaged, too many for the memory, or not those that the
            run began on.
    """
    device = choose_device(config.device, turn=turn)
    before = earlier.environment if earlier else before or {}
    threads = choose_threads(config.threads, device=device, before=before.get("threads"))
    set_up(device, threads=threads, deterministic=config.deterministic)
    dataset = load_dataset(config.data, device=device).to(device)
    if earlier:
        earlier.check_images(dataset.fingerprint, root=config.data.root)
    preprocess = Preprocess(dataset.mean, dataset.std, crop=make_crop(config.data))
    spec = spec or net_spec(config.net, image_size=config.data.image_size)
    model = Network(spec, num_classes=len(dataset.classes))
    initialise(model, seed=config.seed, zero_init=config.zero_init)
    if (power := signal_growth(spec)) >= 1 and not config.zero_init:
        grows = f"each residual block doubles the variance of the signal, which grows {10**power:,.0f} times"
        log.warning("norm=none: %s and may overflow; zero_init=true starts each block as its shortcut", grows)
    model = model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    precision = choose_precision(config.amp, device, before=before.get("precision"))
    return Parts(device, precision, dataset, preprocess, model)


def take_up(config: Config, folder: RunFolder) -> tuple[Origin | None, dict[str, Any] | None]:
    """What the run in the folder was begun with, and the checkpoint it goes on from; None if there is none.

    Raises:
        ValueError: the checkpoint is damaged, or of a run with other settings.
    """
    checkpoint = load_checkpoint(folder.path)
    if checkpoint is None:
        return None, None
    earlier = Origin(folder.path, **checkpoint["origin"])
    check_settings(folder.path, earlier.settings, config)
    return earlier, checkpoint
