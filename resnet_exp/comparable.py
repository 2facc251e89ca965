"""Which runs may stand in one figure: those that differ in nothing but the net, the seed, and what their names say."""

import re
from collections import Counter
from typing import Any

from resnet_exp.analysis import Net, Run
from resnet_exp.config import DEEP, PAPER_WARMUP_STEPS

# Choices that change how fast a run is, not what it computes; and the net's own.
FREE = ("compile", "deterministic", "memory_format")
SHOWN = 3  # differing settings that a refusal names


def setting_of(name: str) -> str:
    """What a sweep varied besides the net, as the name of the run says: `resnet20-B-lr0.05` -> `-lr0.05`."""
    net = re.match(r"[a-z_]+\d+(-v2)?(-[ABC])?(?=-|$)", name)
    return name[net.end() :] if net else name


def choices_of(run: Run) -> dict[str, Any]:
    """All recorded choices that must agree, by what they are called in a message."""
    summary = run.summary
    choices = {key: value for key, value in summary["choices"].items() if key not in FREE}
    usual = PAPER_WARMUP_STEPS if summary["depth"] >= DEEP else 0
    if choices.get("warmup_steps") == usual:  # [P1] 4.2 warms up its deepest net alone
        choices["warmup_steps"] = "as in the paper"
    return {
        "data": summary["dataset"]["name"],
        "data fingerprint": summary["dataset"].get("fingerprint"),
        "image size": summary["dataset"]["image_size"],
        "training images": summary["n_train"],
        "width": summary.get("width"),
        "steps": summary["steps"],
        **choices,
    }


def differing_choices(runs: list[Run]) -> dict[str, Counter[str]]:
    """The choices in which runs that should be alike differ, each with how many runs have which value."""
    found: dict[str, Counter[str]] = {}
    groups: dict[str, list[dict[str, Any]]] = {}
    for run in runs:
        groups.setdefault(setting_of(run.summary["name"]), []).append(choices_of(run))
    for group in groups.values():
        for key in dict.fromkeys(key for choices in group for key in choices):
            values = Counter(str(choices.get(key)) for choices in group)
            if len(values) > 1:
                found[key] = found.get(key, Counter()) + values
    return found


def repeated_seeds(nets: list[Net]) -> list[str]:
    """Nets that hold two runs of one seed: counted as two they would make the spread too small."""
    found = []
    for net in nets:
        seeds = Counter(run.summary["seed"] for run in net.runs)
        found += [f"{net.name} seed {seed}: {count} runs" for seed, count in seeds.items() if count > 1]
    return found


def problems(runs: list[Run], nets: list[Net]) -> list[str]:
    """Why these runs are no one study, a line each; none if they are."""
    lines = []
    for key, values in differing_choices(runs).items():
        counted = (f"{value} ({count} run{'' if count == 1 else 's'})" for value, count in values.most_common())
        lines.append(f"{key}: {', '.join(counted)}")
    return lines + repeated_seeds(nets)


def check_comparable(runs: list[Run], nets: list[Net]) -> None:
    """Raises ValueError, naming what differs, if the runs are no one study."""
    found = problems(runs, nets)
    if found:
        more = f"; and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        raise ValueError(
            "these runs are not comparable; they differ in what their names do not say:"
            f"\n{'; '.join(found[:SHOWN])}{more}"
            "\nresnet-exp-report FOLDER takes a folder of fewer runs; --mix compares them all the same"
        )
