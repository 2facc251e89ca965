"""The commands that repeat a study, from the settings its run folders keep."""

import itertools
import shlex
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from resnet_exp.config import flatten

# What follows from the rest, or is the reader's own.
ELSEWHERE = ("name", "fresh", "task", "device", "threads", "data.name")


def settings_of(path: Path) -> dict[str, Any] | None:
    """The settings in a run folder, with dots; None if they are not there or not readable."""
    try:
        values = OmegaConf.to_container(OmegaConf.load(path / "config.yaml"))
    except Exception:  # a foreign or damaged file: the commands are an extra
        return None
    return flatten({str(key): value for key, value in values.items()}) if isinstance(values, dict) else None


def defaults(*, data: str, model: str, conf: Path) -> dict[str, Any]:
    """The settings of a run that chooses its data set and its net, and overrides nothing else."""

    def read(name: str, *, resolve: bool = True) -> Any:
        return OmegaConf.to_container(OmegaConf.load(conf / f"{name}.yaml"), resolve=resolve)

    main = read("config", resolve=False)  # its names are Hydra's to resolve
    return flatten(main | {"data": read("data/cifar10") | read(f"data/{data}")} | read(f"model/{model}"))


def overrides(settings: dict[str, Any], *, family: str, conf: Path) -> dict[str, str]:
    """What to write after `resnet-exp` for these settings: `{"model": "plain", "depth": "56", "optim.lr": "0.04"}`."""
    model = family if (conf / "model" / f"{family}.yaml").exists() else family.removeprefix("plain_")
    usual = defaults(data=settings["data.name"], model=model, conf=conf)
    changed = {
        key: written(value)
        for key, value in settings.items()
        if key not in ELSEWHERE and (key in ("depth", "seed") or value != usual.get(key))
    }
    data = {"data": settings["data.name"]} if settings["data.name"] != "cifar10" else {}
    return {"model": model} | data | changed


def written(value: Any) -> str:
    """A value as Hydra reads it."""
    if isinstance(value, bool):
        return str(value).lower()
    return "null" if value is None else str(value).replace(", ", ",") if isinstance(value, list) else str(value)


def word(key: str, value: str) -> str:
    """One override, quoted for Hydra and for the shell where they need it."""
    plain = value.startswith("[") or not set(value) & set(" ,()=")
    return shlex.quote(f"{key}={value}" if plain else f"{key}='{value}'")


def repeat(runs: list[dict[str, str]]) -> list[str]:
    """One sweep if the runs are every combination of their values, else a command for each run."""
    keys = list(dict.fromkeys(key for run in runs for key in run))
    values = {key: list(dict.fromkeys(run.get(key, "") for run in runs)) for key in keys}
    swept = [key for key in keys if len(values[key]) > 1]
    combinations = {tuple(run.get(key, "") for key in swept) for run in runs}
    whole = combinations == set(itertools.product(*(values[key] for key in swept)))
    if not swept or not whole or any("" in values[key] or "[" in values[key][0] for key in swept):
        return [" ".join(["resnet-exp", *(word(key, value) for key, value in run.items())]) for run in runs]
    words = [f"{key}={','.join(values[key])}" if key in swept else word(key, values[key][0]) for key in keys]
    return [" ".join(["resnet-exp -m", *words])]
