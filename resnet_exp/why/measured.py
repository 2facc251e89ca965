"""What was measured, gathered over the runs of a study: which diagnoses there are, and which are of the same net."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from resnet_exp.nets.names import family, net_name
from resnet_exp.nets.spec import NetSpec
from resnet_exp.runs.diagnostics import Diagnosis, read_diagnosis
from resnet_exp.runs.find import walk
from resnet_exp.study.arms import setting_of
from resnet_exp.study.statistics import estimate
from resnet_exp.text import counted, span

Floats = NDArray[np.float64]
ZERO_INIT = re.compile(r"-zero_init(True|False)")


def steps_of(one: Diagnosis) -> list[int]:
    """Those after which weights were measured, rising; none of a question that names none.

    Older versions measured snapshots beyond the newest checkpoint, too. What a run does there it does anew.
    """
    return sorted({int(row["step"]) for row in one.rows if "step" in row and row["step"] <= one.choices["step"]})


def column(one: Diagnosis, key: str, *, step: int) -> Floats:
    """A column of the table after `step` updates, in order; with a batch's own BN statistics where there are several
    kinds."""
    rows = [row for row in one.rows if row["step"] == step]
    own = [row for row in rows if row.get("batch_norm") == "batch"]
    return np.array([row[key] for row in own or rows], float)


def newest(one: Diagnosis) -> int:
    """Updates behind the newest weights that were measured."""
    steps = steps_of(one)
    return steps[-1] if steps else int(one.choices["step"])


@dataclass(frozen=True)
class Group:
    """The diagnoses of one net under one setting, one per seed.

    Args:
        name: of the runs.
        variant: the name without the depth: nets of one variant share a panel.
        depth: in layers.
        found: those that were trained furthest, in order of their seeds.
        shorter: those whose newest weights are of an earlier step: of a trained net they tell nothing.
    """

    name: str
    variant: str
    depth: int
    found: list[Diagnosis]
    shorter: list[Diagnosis]

    @property
    def setting(self) -> str:
        """What a sweep varied besides the net: `-lr0.05`."""
        return setting_of(self.name, net=net_name(self.spec))

    @property
    def begun(self) -> list[Diagnosis]:
        """In order of their seeds, all that begin at the same step: before the first one as a rule."""
        first = steps_of(self.found[0])[:1]
        everyone = sorted([*self.found, *self.shorter], key=lambda one: one.subject.seed)
        return [one for one in everyone if steps_of(one)[:1] == first]

    @property
    def newest(self) -> int:
        """The step after which all of `found` were measured."""
        return newest(self.found[0])

    @property
    def spec(self) -> NetSpec:
        return NetSpec.from_dict(self.found[0].subject.net)

    @property
    def is_plain(self) -> bool:
        return self.spec.shortcut == "none"


def gather(folders: Sequence[Path], what: str) -> tuple[list[Diagnosis], list[str]]:
    """The complete answers to one question at or below folders; and what is left out and why, a line each."""
    found: list[Diagnosis] = []
    left_out = []
    for run in sorted(path for path, _ in walk(*folders)):
        try:
            one = read_diagnosis(run, what)
        except ValueError as error:
            left_out.append(f"diagnosis left out: {str(error).splitlines()[0]}")
            continue
        if one is not None and one.complete and one.rows:  # older versions asked runs without weights, too
            found.append(one)
        elif one is not None and not one.complete:
            left_out.append(f"diagnosis left out: {one.subject.name} seed {one.subject.seed}, {what}: not complete")
    return found, left_out


def grouped(found: Sequence[Diagnosis]) -> list[Group]:
    """Diagnoses by net and setting; plain nets first, then by variant and depth."""
    groups: dict[str, list[Diagnosis]] = {}
    for one in found:  # all but the seed must agree: a name says neither width nor images
        groups.setdefault(repr(replace(one.subject, seed=0)), []).append(one)
    result = []
    for members in groups.values():
        name, spec = members[0].subject.name, NetSpec.from_dict(members[0].subject.net)
        kind = family(spec)
        ordered = sorted(members, key=lambda one: one.subject.seed)
        furthest = max(map(newest, members))
        found = [one for one in ordered if newest(one) == furthest]
        shorter = [one for one in ordered if newest(one) < furthest]
        result.append(Group(name, name.replace(f"{kind}{spec.depth}", kind), spec.depth, found, shorter))
    return sorted(result, key=lambda group: (not group.is_plain, group.variant, group.depth))


def left_out(found: Sequence[Diagnosis]) -> str:
    """Which seeds say nothing of a trained net, as others of it were trained further; and which twins are not compared
    for the same reason. Empty if there are none."""
    groups, text = grouped(found), []
    for group in groups:
        if group.shorter:
            seeds = listed([str(one.subject.seed) for one in group.shorter])
            steps = listed([f"{step:,}" for step in sorted({newest(one) for one in group.shorter})])
            who, are, whose = ("Seed", "is", "its") if len(group.shorter) == 1 else ("Seeds", "are", "their")
            text.append(
                f"{who} {seeds} of {group.name} {are} left out of what is said after {group.newest:,} steps: {whose}"
                f" newest weights are those after {steps} steps."
            )
    for plain, other in twins(groups):
        if plain.newest != other.newest:
            ends = [f"{group.name} after {group.newest:,} steps" for group in (plain, other)]
            text.append(f"{ends[0]} is not compared with {ends[1]}.")
    return " ".join(text)


def caption(found: Sequence[Diagnosis]) -> str:
    """Which data, how many seeds, how many steps: the line under every figure."""
    subjects = [one.subject for one in found]
    data = sorted({f"{s.data}, {s.images:,} training images of {s.image_size}x{s.image_size}" for s in subjects})
    seeds = sorted({len(group.found) + len(group.shorter) for group in grouped(found)})
    steps = sorted({newest(one) for one in found})
    return " · ".join([" / ".join(data), span(seeds, "seed"), span(steps, "step")])


def twins(groups: Sequence[Group]) -> list[tuple[Group, Group]]:
    """Each plain net with each residual one that differs from it in the shortcut alone: the same images, and the same
    setting of what a sweep varied, as the names say it.

    But for `zero_init`, which plain nets do not know: with one of the same, if there is one, else with any.
    """
    found = []
    for other in (group for group in groups if not group.is_plain):
        plain = [one for one in groups if one.is_plain and alike(one, other)]
        found += [(one, other) for one in plain if one.setting == other.setting or not has(plain, other.setting)]
    return sorted(found, key=lambda pair: [groups.index(group) for group in pair])


def has(groups: Sequence[Group], setting: str) -> bool:
    return any(group.setting == setting for group in groups)


def alike(plain: Group, other: Group) -> bool:
    """Whether two nets differ in the shortcut and `zero_init` at most."""
    subjects = [replace(group.found[0].subject, name="", seed=0, net={}) for group in (plain, other)]
    settings = [ZERO_INIT.sub("", group.setting) for group in (plain, other)]
    same = subjects[0] == subjects[1] and settings[0] == settings[1]
    return same and replace(other.spec, shortcut="none") == plain.spec


def trained_twins(groups: Sequence[Group]) -> list[tuple[Group, Group]]:
    """Those twins whose newest weights are of the same step."""
    return [(plain, other) for plain, other in twins(groups) if plain.newest == other.newest]


def mean_text(values: Sequence[float], *, form: Callable[[float], str] = "{:.2f}".format) -> tuple[str, str]:
    """The mean of a number for each seed, and what is known of it: `0.73`, `95 % interval 0.70 to 0.76, 3 seeds`."""
    over = estimate(values)
    interval = "" if over.low is None or over.high is None else f"95 % interval {form(over.low)} to {form(over.high)}, "
    return form(over.mean), f"{interval}{counted(over.n, 'seed')}"


def difference_text(
    differences: Sequence[float], *, form: Callable[[float], str] = "{:.2f}".format
) -> tuple[str, str, str]:
    """The mean size of a difference for each seed, whether it is `more` or `less`, and what is known of it; where the
    interval holds 0 that says so."""
    sign, word = (-1, "less") if sum(differences) < 0 else (1, "more")
    sizes = [sign * difference for difference in differences]
    size, known = mean_text(sizes, form=form)
    low = estimate(sizes).low
    return size, word, known + ("; it may be none" if low is not None and low <= 0 else "")  # the mean is not below 0


def listed(parts: Sequence[str]) -> str:
    """`a, b and c`"""
    return " and ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else "".join(parts)
