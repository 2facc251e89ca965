"""Where a run lies: its study's folder, and the folder in it, named after the net and after what a sweep varies.

A run is what its settings are, not what it is called. Before a new folder is begun, the study is searched for the same
run under another name: one that was trained alone has the name of its net, in a sweep it would have a longer one.
"""

import os
import re
import tempfile
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from resnet_exp.config import Config, NetConfig, net_config
from resnet_exp.grammar import settings_in
from resnet_exp.nets.names import net_name
from resnet_exp.nets.table import net_spec
from resnet_exp.runs.folder import read_config
from resnet_exp.runs.schema import kept_defaults
from resnet_exp.settings import differences, flatten

# What the name of a run shows anyway, or its folder does.
NAMED = (
    *("model", "layout", "depth", "block", "shortcut", "bottleneck", "bottleneck_stride", "blocks", "channels", "norm"),
    *("seed", "study", "name", "experiment", "arm", "grow_from"),
)


def study_dir(*, root: DictConfig) -> str:
    """The folder that holds the runs of one study. What is not about a run in it has none: what Hydra wants goes to a
    temporary one."""
    user = getattr(os, "getuid", lambda: 0)()
    return f"outputs/{root.study}" if about_its_run(root) else f"{tempfile.gettempdir()}/resnet-exp-{user}"


def about_its_run(root: DictConfig) -> bool:
    """Whether a command is about the run that its settings name, not about another or none."""
    return not (root.task == "describe" or root.from_ or root.weights)


def about(root: DictConfig, *, own: str | Path) -> str:
    """Which run a job of a sweep is about, as its lines begin: `plain20/seed0`.

    Args:
        own: the folder that the job's own settings name; a run that is grown has one, one that is asked need not.
    """
    asked = root.from_ if root.task != "grow" else None
    return "/".join(Path(str(asked or own)).parts[-2:])


def run_name(*swept: str, root: DictConfig) -> str:
    """Names a run after its net, and after the settings in `swept`: `plain56`, `resnet56-B`, `resnet20-lr0.05`.

    If the study holds the same run under another name, that one.
    """
    name = name_of_net(root)
    if root.grow_from is not None:
        name += grown(resolved(root, "grow_from"), value_of=lambda key: OmegaConf.select(root, key))
    for key in swept:
        name += labelled(key, root.data.name if key == "data" else OmegaConf.select(root, key))
    return same_run(name, swept=swept, root=root) or name


def labelled(key: str, value: Any) -> str:
    """What a name says of a setting: `-lr0.05`."""
    label = "" if key == "data" else key.rpartition(".")[2]
    return "-" + re.sub(r"[^\w.+-]+", "_", f"{label}{value}").strip("_")


def grown(words: Sequence[str], *, value_of: Callable[[str], Any]) -> str:
    """What a name says of a net that was grown: `-grown20`, and its own values where the shallower run had others.

    Args:
        words: the run's `grow_from`.
        value_of: the run's own value of a setting.
    """
    try:
        shallower = settings_in(words)
    except ValueError:  # said by whoever makes the settings
        return ""
    own = {key: value_of(key) for key in shallower if key not in NAMED}
    return f"-grown{shallower.get('depth', '')}" + "".join(labelled(key, value) for key, value in own.items())


def name_of_net(root: DictConfig) -> str:
    """What the settings' net is called. If there is no such net, nothing is made that could have a name."""
    settings = {key: resolved(root, key) for key in NetConfig.__dataclass_fields__}
    try:
        return net_name(net_spec(net_config(settings), image_size=root.data.image_size))
    except (ValueError, TypeError):  # said by whoever makes the settings
        return "impossible"


def same_run(name: str, *, swept: tuple[str, ...], root: DictConfig) -> str | None:
    """The folder in the study that holds a run with these settings, `name` before any other; None if there is none."""
    study = Path(study_dir(root=root))
    if not about_its_run(root) or not study.is_dir():
        return None
    given = {*swept} | named_in(unresolved(OmegaConf.select(root, "hydra.overrides.task")))
    settings = {key: resolved(root, key) for key in Config.__dataclass_fields__ if key != "name"}
    folders = [study / name / f"seed{root.seed}", *sorted(study.glob(f"*/seed{root.seed}"))]
    return next((folder.parent.name for folder in folders if holds(folder, settings, given=given)), None)


def resolved(root: DictConfig, key: str) -> Any:
    value = root[key]
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value


def holds(folder: Path, settings: dict[str, Any], *, given: set[str]) -> bool:
    """Whether a folder's run is the one with these settings."""
    file = folder / "config.yaml"
    if not file.exists():
        return False
    stored = read_once(file, file.stat().st_mtime_ns)
    if stored is None:
        return False
    return not differences(stored, flatten(settings) | kept_defaults(stored, settings, given=given))


@cache
def read_once(file: Path, changed: int) -> dict[str, Any] | None:
    """The settings in a `config.yaml`, read again only after a change; None if it is not one of ours."""
    try:
        return read_config(file)
    except ValueError:
        return None


def named_in(overrides: Iterable[str]) -> set[str]:
    """The settings that the user named: the keys of a command's overrides, but for the name that a sweep adds."""
    words = (override.partition("=") for override in overrides)
    return {key.lstrip("+~") for key, _, value in words if not value.startswith("${run_name:")}


def unresolved(overrides: Any) -> list[str]:
    """The overrides of a command, as far as Hydra says them here; one of them may name this very run."""
    texts: Any = OmegaConf.to_container(overrides, resolve=False) if OmegaConf.is_config(overrides) else overrides
    return [str(text) for text in texts or []]
