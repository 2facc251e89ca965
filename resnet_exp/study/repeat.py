"""The commands that repeat a study, from the settings its run folders keep."""

import math
import shlex
from functools import cache
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from resnet_exp.config import flatten
from resnet_exp.grammar import quoted
from resnet_exp.nets.table import MODELS
from resnet_exp.runs.folder import read_config
from resnet_exp.study.arms import setting_of

# What follows from the rest, or is the reader's own.
ELSEWHERE = ("schema", "name", "fresh", "task", "device", "threads", "data.name")


def settings_of(path: Path) -> dict[str, Any] | None:
    """The settings in a run folder, with dots; None if they are not there or not readable."""
    try:
        settings = flatten(read_config(path / "config.yaml") or {})
        return settings if {"depth", "seed", "name", "data.name"} <= settings.keys() else None
    except Exception:  # a foreign or damaged file: the commands are an extra
        return None


@cache
def defaults(*, data: str, model: str, conf: Path) -> dict[str, Any]:
    """The settings of a run that chooses its data set and its net, and overrides nothing else."""

    def read(name: str, *, resolve: bool = True) -> Any:
        return OmegaConf.to_container(OmegaConf.load(conf / f"{name}.yaml"), resolve=resolve)

    main = read("config", resolve=False)  # its names are Hydra's to resolve
    return flatten(main | {"data": read("data/cifar10") | read(f"data/{data}")} | MODELS[model])


def overridden(settings: dict[str, Any], *, model: str, conf: Path) -> set[str]:
    """The keys that a command for these settings must name."""
    usual = defaults(data=settings["data.name"], model=model, conf=conf)
    changed = {key for key in settings if key not in ELSEWHERE and settings[key] != usual.get(key)}
    return changed | {"depth"} | ({"seed"} if settings["seed"] else set())


def model_of(family: str) -> str:
    """The `model=` to begin with: a plain net of bottlenecks has none of its own."""
    return family if family in MODELS else family.removeprefix("plain_")


def repeat(runs: list[tuple[str, dict[str, Any]]], *, conf: Path) -> list[str]:
    """One sweep if the runs are every combination of their values, else a command for each run.

    Args:
        runs: family and settings of each.
        conf: the folder of the defaults.
    """
    named: dict[str, None] = {}  # in the order of the settings
    for family, settings in runs:
        keys = overridden(settings, model=model_of(family), conf=conf)
        named |= dict.fromkeys(key for key in settings if key in keys)
    rows = [
        {"model": model_of(family), "data": settings["data.name"]} | {key: quoted(settings.get(key)) for key in named}
        for family, settings in runs
    ]
    if all(row["data"] == "cifar10" for row in rows):  # the default
        for row in rows:
            del row["data"]
    values = {key: list(dict.fromkeys(row[key] for row in rows)) for row in rows[:1] for key in row}
    combinations = {tuple(row.values()) for row in rows}
    if len(rows) > 1 and len(rows) == len(combinations) == math.prod(map(len, values.values())):
        return [command("resnet-exp -m", {key: ",".join(of_key) for key, of_key in values.items()})]
    return [
        # Where the name says more than the net, a single command would not make it.
        command("resnet-exp", row | ({"name": quoted(settings["name"])} if setting_of(settings["name"]) else {}))
        for row, (_, settings) in zip(rows, runs, strict=True)
    ]


def command(program: str, overrides: dict[str, str]) -> str:
    return " ".join([program, *(shlex.quote(f"{key}={value}") for key, value in overrides.items())])
