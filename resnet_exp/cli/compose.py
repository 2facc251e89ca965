"""From conf/ and the command line to the typed settings of one run: what Hydra must know, and what it hands over."""

import difflib
from collections.abc import Sequence
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf

from resnet_exp.cli.grow import check_growing
from resnet_exp.cli.names import run_name, study_dir
from resnet_exp.config import Config, all_keys
from resnet_exp.nets.spec import NetSpec
from resnet_exp.nets.table import MODELS, net_spec, signal_growth
from resnet_exp.settings import flatten

HYDRA_AS_OF = "1.3"  # the version whose ways Hydra keeps to
LARGEST = {"float32": 38.5, "fp16": 4.8}  # powers of ten that a number may have; bf16 has those of float32


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
    check_growth(config, net_spec(config.net, image_size=config.data.image_size))
    check_growing(config)
    return config


def check_growth(config: Config, spec: NetSpec) -> None:
    """Raises ValueError if the numbers of the net would exceed their type at once."""
    power, kind = signal_growth(spec), "fp16" if config.amp == "fp16" else "float32"
    if power > LARGEST[kind] and not config.zero_init:
        how = f"each of its residual blocks doubles the variance of the signal, which grows 10^{power:.0f} times"
        raise ValueError(
            f"norm=none: without BN, under He initialisation, {how}, more than {kind} holds"
            "\nzero_init=true starts each block as its shortcut; a net of fewer layers grows less"
        )


def suggest(word: str, choices: Sequence[str] = ()) -> str:
    """`; did you mean X?` with the choice (by default: the setting) most like `word`, or nothing."""
    known = choices or [*all_keys(), "model", "data", "experiment"]
    last_part = [key for key in known if key.rpartition(".")[2] == word]  # `lr` for `optim.lr`
    close = last_part[:1] or difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {close[0]}?" if close else ""
