"""How much does a block change the signal, and what does weight decay make of it? After arXiv 1710.04773."""

from collections.abc import Mapping, Sequence

import numpy as np

from resnet_exp.runs.diagnostics import Diagnosis
from resnet_exp.why.argument import Argument
from resnet_exp.why.branches_figure import draw
from resnet_exp.why.branches_rows import ON, Arms, ends, in_last_stage, starts, sweeps, written
from resnet_exp.why.measured import Group, grouped, listed, mean_text, steps_of
from resnet_exp.why.ratios import Over, by_seed, over_seeds, times

PARTS = {"shortcut": "its shortcut", "gamma": "its gamma", "weights": "the weights of its last layer"}
ZERO = 0.05  # of its size before the first step: a branch below it does next to nothing


def share(above: Mapping[int, float], below: Mapping[int, float]) -> Over | None:
    """How many times one number the other is, over the seeds that have both."""
    return over_seeds(by_seed(above, below), form=times)


def of_decays(name: str, arms: Arms) -> list[str]:
    """What weight decay makes of the branches of one net."""
    clauses, text = [], []
    verdicts: dict[str, list[str]] = {}  # by what decay does, where it does so
    for on, called in ON.items():
        along = sorted(decay for kind, decay in arms if kind == on)
        if along:
            ratios = listed([mean_text([*ends(arms[on, decay], "ratio").values()], form=times)[0] for decay in along])
            clauses.append(f"{ratios} times its shortcut for {listed([*map(written, along)])} on {called}")
        if len(along) < 2 or along[0] > 0:
            continue
        most, none = arms[on, along[-1]], arms[on, 0.0]
        if branch := share(ends(most, "branch"), ends(none, "branch")):
            parts = {said: share(ends(most, key), ends(none, key)) for key, said in PARTS.items()}
            others = listed([f"{said} {part.text}" for said, part in parts.items() if part])
            text.append(
                f"{written(along[-1])} on {called} leaves F {branch.text} times as large as no decay does"
                f" ({branch.known}); {others} times."
            )
            if branch.n > 1:
                verdicts.setdefault(change(branch), []).append(f"on {called}")
    said = [f"By weight decay, the median branch of {name} ends at {'; and at '.join(clauses)}.", *text]
    does = [f"{listed(where)} {it_does}" for it_does, where in verdicts.items()]
    return [*said, f"So decay {listed(does)}."] if does else said


def change(branch: Over) -> str:
    """What decay does to F, which is so many times what it is without decay."""
    if branch.low is None or branch.high is None or branch.low <= 1 <= branch.high:
        return "does nothing to F that these seeds show"
    return "makes F smaller" if branch.high < 1 else "makes F larger"


def of_training(group: Group) -> str:
    """What training makes of the branches of one net."""
    one = group.found[0]
    steps = steps_of(one)
    begin, known = mean_text([*starts(group, "ratio").values()], form=times)
    if steps[0] == steps[-1]:
        return f"After {steps[0]:,} steps the median branch of {group.name} is {begin} times its shortcut ({known})."
    end, known = mean_text([*ends(group, "ratio").values()], form=times)
    text = f"The median branch of {group.name} goes from {begin} to {end} times its shortcut ({known})"
    branch, shortcut = (share(ends(group, key), starts(group, key)) for key in ("branch", "shortcut"))
    if branch and shortcut:
        text += f", as F itself becomes {branch.text} and its shortcut {shortcut.text} times what they were"
    cosines = [[in_last_stage(one, "cosine", step=step) for one in group.found] for step in (steps[0], steps[-1])]
    if np.isfinite(cosines).all():
        begin, end = (mean_text(of_seeds, form="{:z.2f}".format)[0] for of_seeds in cosines)  # never -0.00
        text += f"; in the last stage its cosine with the negative gradient goes from {begin} to {end}"
    return text + "."


def to_zero(groups: Sequence[Group]) -> str:
    """Whether F goes to zero: how small the median branch became anywhere, against its start."""
    kept = {}
    for group in groups:
        begin, end = starts(group, "branch"), ends(group, "branch")
        if len(steps_of(group.found[0])) > 1 and any(begin.values()):  # what starts at zero has no share of it
            of_start = share(end, begin)
            kept[group.name] = of_start.mean if of_start else 0.0
    if not kept:
        return ""
    least = min(kept, key=lambda name: kept[name])
    gone = [name for name, share in kept.items() if share < ZERO]
    if gone:
        return f"F goes to zero in the median block of {listed(gone)}: it is below {ZERO} of its size at the start."
    return f"F goes to zero in none: the smallest median, of {least}, keeps {kept[least]:.2f} of its size at the start."


def sentence(found: Sequence[Diagnosis]) -> str:
    """The ratio of every net before and after training, what became of F and of the shortcut, and what decay did."""
    groups = grouped(found)
    finite = [
        group
        for group in groups
        if np.isfinite([*starts(group, "ratio").values(), *ends(group, "ratio").values()]).all()
    ]
    nets = sweeps(finite)
    swept = [group.name for arms in nets.values() for group in arms.values()]
    text = [line for name, arms in nets.items() for line in of_decays(name, arms)]
    text += [of_training(group) for group in finite if group.name not in swept]
    if lost := [group.name for group in groups if group not in finite]:
        text.append(f"The branches of {listed(lost)} hold no finite numbers.")
    return " ".join([*text, *filter(None, [to_zero(finite)])])


ARGUMENT = Argument(
    "branches",
    heading="How much does a block change the signal?",
    shows=(
        "Size of the residual branch F against that of its shortcut, block by block; dotted: before the first step."
        " Below, the cosine between F and the negative gradient of the loss (above 0 the block lowers the loss, as a"
        " step of gradient descent would) and the median ratio during training; or, where weight decay was varied, the"
        " median ratio and the sizes of F and of its last layer's weights against weight decay. Training images, each"
        " batch's own BN statistics. After arXiv 1710.04773."
    ),
    draw=draw,
    sentence=sentence,
)
