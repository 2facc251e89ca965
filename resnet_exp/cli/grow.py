"""A deeper net that begins as a shallower one computes: which runs these are, and which of them comes first."""

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from resnet_exp.cli.names import grown, holds
from resnet_exp.cli.settle import GROUPS, settled
from resnet_exp.cli.signals import StopRequest
from resnet_exp.config import Config
from resnet_exp.grammar import written
from resnet_exp.nets.deeper import check_grows
from resnet_exp.nets.names import net_name
from resnet_exp.nets.spec import NetSpec
from resnet_exp.nets.table import net_spec
from resnet_exp.runs.checkpoint import has_checkpoint
from resnet_exp.runs.find import study_of
from resnet_exp.runs.folder import InUseError, RunFolder, is_alive
from resnet_exp.settings import FREE, OF_COMMAND, flatten

LOOK_EVERY = 0.5  # seconds between two looks whether another process still trains the shallower net

log = logging.getLogger(__name__)


def spec_of(config: Config) -> NetSpec:
    return net_spec(config.net, image_size=config.data.image_size)


def check_growing(config: Config) -> None:
    """Raises ValueError if the net of the settings cannot be grown from that of the run that they name."""
    if config.grow_from is not None:
        check_grows(spec_of(config.shallower), spec_of(config))


def name_of_grown(config: Config) -> str:
    """`plain56-grown20`, `plain56-grown20-lr0.01`"""
    return net_name(spec_of(config)) + grown(config.grow_from or [], value_of=flatten(config.to_dict()).get)


def grown_from(config: Config, *, given: set[str]) -> tuple[Config, Path]:
    """`task=grow`: the settings of the run that `from=` names, with what the user named of the rest, as a training that
    grows from it; and its folder, beside the other's.

    Raises:
        ValueError: there is no such run, its net cannot be grown into this one, or the folder holds another run.
    """
    source = Path(str(config.from_)).expanduser()
    stored = RunFolder(source).config
    if stored is None:
        raise ValueError(f"from={config.from_}: no run folder (it holds no config.yaml)")
    if groups := [group for group in GROUPS if group in given]:
        raise ValueError(f"{groups[0]}=: task=grow keeps the kind of net and the images of from={config.from_}")
    own = flatten(stored)
    if not given & {"depth", "blocks"}:
        raise ValueError(f"task=grow: say how deep the net shall be, like depth={own['depth'] + 36}")
    kept: dict[str, Any] = {key: value for key, value in own.items() if key not in {*OF_COMMAND, *given}}
    config = config.updated(kept | {"task": "train", "from_": None, "init_from": None, "grow_from": None})
    flat = flatten(config.to_dict())
    differing = [key for key in sorted(flat) if key == "depth" or (key not in FREE and flat[key] != own.get(key))]
    config = config.updated({"grow_from": [f"{key}={written(own.get(key))}" for key in differing]})
    if "name" not in given:
        config = config.updated({"name": name_of_grown(config)})
    check_growing(config)
    beside = study_of(source, seed=own["seed"])
    study = Path("outputs", config.study) if "study" in given or beside == source else beside
    path = study / config.name / f"seed{config.seed}"
    return settled(config, RunFolder(path), given=given), path


def begins(config: Config, folder: RunFolder) -> bool:
    """Whether a training would begin: there is no checkpoint to go on from."""
    return config.fresh or not has_checkpoint(folder.path)


def trained_first(config: Config, path: Path, *, train: Callable[[Config, RunFolder], None]) -> Path:
    """The folder of the run that this one grows from, in the same study, trained: by this process if it is not there,
    or after another that is training it.

    Args:
        path: the grown run's folder.

    Raises:
        ValueError: the study holds another run under its name.
        Stopped: while waiting.
    """
    shallow, folder = shallower_in(path.parent.parent, config)
    in_turn(folder, lambda: train(shallow, RunFolder(folder)))
    return folder


def in_turn(folder: Path, train: Callable[[], None]) -> None:
    """Trains a run, after another process that is training it.

    Raises:
        Stopped: while waiting.
    """
    while True:
        if is_alive(folder):
            log.info("waiting for %s, which another process is training", "/".join(folder.parts[-2:]))
            with StopRequest() as stop:
                while is_alive(folder):
                    time.sleep(LOOK_EVERY)
                    stop.check()
        try:
            return train()
        except InUseError:  # it was quicker
            continue


def shallower_in(study: Path, config: Config) -> tuple[Config, Path]:
    """The run that this one grows from, and its folder: that which holds it, else the one that a sweep would give it.

    Raises:
        ValueError: that folder holds another run.
    """
    shallow, own = config.shallower, name_of_grown(config)
    varied = config.name.removeprefix(own) if config.name.startswith(own) else ""  # by a sweep, in all its runs
    named = study / f"{net_name(spec_of(shallow))}{varied}" / f"seed{shallow.seed}"
    folders = [named, *sorted(study.glob(f"*/seed{shallow.seed}"))]
    folder = next((one for one in folders if holds(one, shallow.to_dict(), given=set())), named)
    shallow = shallow.updated({"name": folder.parent.name})
    return settled(shallow, RunFolder(folder), given=set()), folder
