"""From conf/ and the command line to the typed settings of one run: what Hydra must know, and what it hands over."""

import difflib
from collections.abc import Sequence
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf

from resnet_exp.cli.names import run_name, study_dir
from resnet_exp.config import Config, all_keys, flatten
from resnet_exp.nets.table import MODELS, net_spec


def register() -> None:
    """Makes the schema, the nets and the names of run folders known to Hydra."""
    store = ConfigStore.instance()
    store.store(name="schema", node=Config)
    for name, settings in MODELS.items():
        store.store(group="model", name=name, node=settings, package="_global_")
    OmegaConf.register_new_resolver("run_name", lambda *swept, _root_: run_name(*swept, root=_root_), replace=True)
    OmegaConf.register_new_resolver("study_dir", lambda _root_: study_dir(root=_root_), replace=True)


def to_config(composed: DictConfig) -> Config:
    """The typed settings behind what Hydra composed.

    Raises:
        ValueError: a value is impossible, or a key is unknown (`+key=` gets past Hydra's own check).
    """
    values: Any = OmegaConf.to_container(composed, resolve=True)
    for key in flatten(values):
        if key not in all_keys():
            raise ValueError(f"{key}: no such setting{suggest(key)}\n`resnet-exp --help` lists them all")
    config = OmegaConf.to_object(composed)
    assert isinstance(config, Config)
    net_spec(config.net)  # whether there is such a net
    return config


def suggest(word: str, choices: Sequence[str] = ()) -> str:
    """`; did you mean X?` with the choice (by default: the setting) most like `word`, or nothing."""
    known = choices or [*all_keys(), "model", "data", "experiment"]
    last_part = [key for key in known if key.rpartition(".")[2] == word]  # `lr` for `optim.lr`
    close = last_part[:1] or difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {close[0]}?" if close else ""
