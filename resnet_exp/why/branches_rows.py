"""What was measured of residual branches, as the figure and the sentences need it: numbers of blocks, and which nets
were trained with several weight decays."""

import re
from collections.abc import Sequence

import numpy as np

from resnet_exp.runs.diagnostics import Diagnosis
from resnet_exp.why.measured import Group, column, steps_of

DECAY_IN_NAME = re.compile(r"-weight_decay(_on(all|weights)|[\d.]+(e-?\d+)?)")
ON = {"all": "all parameters", "weights": "weights alone"}


def median(one: Diagnosis, key: str, *, step: int) -> float:
    """Over the blocks for which there is a number; NaN without any."""
    values = column(one, key, step=step)
    values = values[np.isfinite(values)]
    return float(np.median(values)) if len(values) else float("nan")


def last(one: Diagnosis, key: str) -> float:
    """The median block's after the last update."""
    return median(one, key, step=steps_of(one)[-1])


def first(one: Diagnosis, key: str) -> float:
    return median(one, key, step=steps_of(one)[0])


def in_last_stage(one: Diagnosis, key: str, *, step: int) -> float:
    """The mean over the blocks of the last stage."""
    stages = column(one, "stage", step=step)
    return float(column(one, key, step=step)[stages == stages.max()].mean())


def decay_of(one: Diagnosis) -> float:
    return float(one.choices["weight_decay"])


def written(decay: float) -> str:
    return f"{decay:g}"


Arms = dict[tuple[str, float], Group]  # by what decays, and how much


def sweeps(groups: Sequence[Group]) -> dict[str, Arms]:
    """The nets that were trained with several weight decays: by their name without it, all their arms. Without decay
    both `weight_decay_on` are the same run; if only one of them was trained, it stands for both."""
    nets: dict[str, Arms] = {}
    for group in groups:
        one = group.found[0]
        arms = nets.setdefault(DECAY_IN_NAME.sub("", group.name), {})
        arms[one.choices["weight_decay_on"], decay_of(one)] = group
    nets = {name: arms for name, arms in nets.items() if len(arms) > 1}
    for arms in nets.values():
        kinds = {on for on, _ in arms}
        for on in kinds:
            for other in kinds:
                if (on, 0.0) in arms:
                    arms.setdefault((other, 0.0), arms[on, 0.0])
    return nets


def ends(group: Group, key: str) -> dict[int, float]:
    """The median block's number after the last update, of every seed."""
    return {one.subject.seed: last(one, key) for one in group.found}


def starts(group: Group, key: str) -> dict[int, float]:
    return {one.subject.seed: first(one, key) for one in group.found}
