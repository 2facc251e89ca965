"""The commands that repeat a study, from the settings its run folders keep."""

import math
import shlex
from functools import cache
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from resnet_exp.config import net_config
from resnet_exp.grammar import quoted
from resnet_exp.nets.names import family, net_name
from resnet_exp.nets.spec import NetSpec
from resnet_exp.nets.table import FAMILIES, MODELS, layout_of, net_spec
from resnet_exp.runs.folder import read_config
from resnet_exp.settings import flatten
from resnet_exp.study.arms import setting_of

# What follows from the rest, or is the reader's own.
ELSEWHERE = (
    *("schema", "name", "fresh", "task", "device", "threads", "data.name"),
    *("from_", "weights", "onnx", "what"),
)


def spec_of(settings: dict[str, Any]) -> NetSpec:
    """The net that the settings of a run mean."""
    return net_spec(net_config(settings), image_size=settings["data.image_size"])


def settings_of(path: Path) -> dict[str, Any] | None:
    """The settings in a run folder, with dots; None if they are not there or not readable."""
    try:
        settings = flatten(read_config(path / "config.yaml") or {})
        spec_of(settings)
        return settings if {"seed", "name", "data.name"} <= settings.keys() else None
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
    return changed | ({"depth"} if model in FAMILIES else set()) | ({"seed"} if settings["seed"] else set())


def model_of(spec: NetSpec) -> str:
    """The `model=` to begin with: that of its name or, where it has none of its own, one that is like it."""
    kind, layout = family(spec), layout_of(spec)
    if (like := kind.removeprefix("plain_")) in FAMILIES:  # a plain net of bottlenecks has no name
        return kind if kind in FAMILIES else like
    named = f"{kind.removeprefix('imagenet-')}{spec.depth}"
    of_layout = [model for model, settings in MODELS.items() if settings.get("layout") == layout]
    return named if named in of_layout else of_layout[-1]


def repeat(runs: list[dict[str, Any]], *, conf: Path) -> list[str]:
    """One sweep if the runs are every combination of their values; else a sweep for each number of seeds, if these are;
    else a command for each run.

    Args:
        runs: the settings of each.
        conf: the folder of the defaults.
    """
    nets = [spec_of(settings) for settings in runs]
    named: dict[str, None] = {}  # in the order of the settings
    for net, settings in zip(nets, runs, strict=True):
        keys = overridden(settings, model=model_of(net), conf=conf)
        named |= dict.fromkeys(key for key in settings if key in keys)
    rows = [
        {"model": model_of(net), "data": settings["data.name"]} | {key: quoted(settings.get(key)) for key in named}
        for net, settings in zip(nets, runs, strict=True)
    ]
    if all(row["data"] == "cifar10" for row in rows):  # the default
        for row in rows:
            del row["data"]
    for groups in ([rows], by_seeds(rows)) if rows else ():
        sweeps = [sweep for group in groups if (sweep := sweep_of(group))]
        if len(sweeps) == len(groups):
            return sweeps
    return [command("resnet-exp", row | name_of(s, net=net)) for row, s, net in zip(rows, runs, nets, strict=True)]


def sweep_of(rows: list[dict[str, str]]) -> str | None:
    """The one command for several rows that are every combination of their values; None if they are not."""
    values = {key: list(dict.fromkeys(row[key] for row in rows)) for key in rows[0]}
    combinations = {tuple(row.values()) for row in rows}
    if not 1 < len(rows) == len(combinations) == math.prod(map(len, values.values())):
        return None
    return command("resnet-exp -m", {key: ",".join(of_key) for key, of_key in values.items()})


def by_seeds(rows: list[dict[str, str]]) -> list[list[dict[str, str]]]:
    """Rows in groups whose nets and settings were all trained with the same seeds."""

    def rest(row: dict[str, str]) -> tuple[str, ...]:
        return tuple(value for key, value in row.items() if key != "seed")

    seeds: dict[tuple[str, ...], set[str]] = {}
    for row in rows:
        seeds.setdefault(rest(row), set()).add(row.get("seed", ""))
    groups: dict[frozenset[str], list[dict[str, str]]] = {}
    for row in rows:
        groups.setdefault(frozenset(seeds[rest(row)]), []).append(row)
    return [*groups.values()]


def name_of(settings: dict[str, Any], *, net: NetSpec) -> dict[str, str]:
    """The run's name, where a command that runs it alone would not give it that: it says more than the net."""
    name = settings["name"]
    return {"name": quoted(name)} if setting_of(name, net=net_name(net)) else {}


def command(program: str, overrides: dict[str, str]) -> str:
    return " ".join([program, *(shlex.quote(f"{key}={value}") for key, value in overrides.items())])
