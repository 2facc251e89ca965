"""The commands that repeat a study, from the settings its run folders keep."""

import math
import shlex
from functools import cache
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from resnet_exp.comparable import setting_of
from resnet_exp.config import flatten

# What follows from the rest, or is the reader's own.
ELSEWHERE = ("name", "fresh", "task", "device", "threads", "data.name")


def settings_of(path: Path) -> dict[str, Any] | None:
    """The settings in a run folder, with dots; None if they are not there or not readable."""
    try:
        values = OmegaConf.to_container(OmegaConf.load(path / "config.yaml"))
        settings = flatten({str(key): value for key, value in values.items()}) if isinstance(values, dict) else {}
        return settings if {"depth", "seed", "name", "data.name"} <= settings.keys() else None
    except Exception:  # a foreign or damaged file: the commands are an extra
        return None


@cache
def defaults(*, data: str, model: str, conf: Path) -> dict[str, Any]:
    """The settings of a run that chooses its data set and its net, and overrides nothing else."""

    def read(name: str, *, resolve: bool = True) -> Any:
        return OmegaConf.to_container(OmegaConf.load(conf / f"{name}.yaml"), resolve=resolve)

    main = read("config", resolve=False)  # its names are Hydra's to resolve
    return flatten(main | {"data": read("data/cifar10") | read(f"data/{data}")} | read(f"model/{model}"))


def written(value: Any) -> str:
    """A value as Hydra reads it."""
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return "null"
    if isinstance(value, list):
        return "[" + ",".join(map(str, value)) + "]"
    return f"'{value}'" if set(str(value)) & set(" ,()=") else str(value)


def overridden(settings: dict[str, Any], *, model: str, conf: Path) -> set[str]:
    """The keys that a command for these settings must name."""
    usual = defaults(data=settings["data.name"], model=model, conf=conf)
    changed = {key for key in settings if key not in ELSEWHERE and settings[key] != usual.get(key)}
    return changed | {"depth"} | ({"seed"} if settings["seed"] else set())


def repeat(runs: list[tuple[str, dict[str, Any]]], *, conf: Path) -> list[str]:
    """One sweep if the runs are every combination of their values, else a command for each run.

    Args:
        runs: family and settings of each.
        conf: the folder of the defaults.
    """
    models = [f if (conf / "model" / f"{f}.yaml").exists() else f.removeprefix("plain_") for f, _ in runs]
    keys = [overridden(settings, model=model, conf=conf) for model, (_, settings) in zip(models, runs, strict=True)]
    named = list(
        dict.fromkeys(
            key for (_, settings), of_run in zip(runs, keys, strict=True) for key in settings if key in of_run
        )
    )
    rows = []
    for model, (_, settings) in zip(models, runs, strict=True):
        data = {} if settings["data.name"] == "cifar10" else {"data": settings["data.name"]}
        rows.append({"model": model} | data | {key: written(settings.get(key)) for key in named})
    values = {key: list(dict.fromkeys(row.get(key, "cifar10") for row in rows)) for row in rows for key in row}
    swept = {key: of_key for key, of_key in values.items() if len(of_key) > 1}
    combinations = {tuple(row.get(key, "cifar10") for key in swept) for row in rows}
    if swept and len(rows) == len(combinations) == math.prod(map(len, swept.values())):
        return [" ".join(["resnet-exp -m", *(shlex.quote(f"{key}={','.join(v)}") for key, v in values.items())])]
    commands = []
    for row, (_, settings) in zip(rows, runs, strict=True):
        name = {"name": settings["name"]} if setting_of(settings["name"]) else {}  # elsewhere the net makes it
        commands.append(" ".join(["resnet-exp", *(shlex.quote(f"{key}={v}") for key, v in (row | name).items())]))
    return commands
