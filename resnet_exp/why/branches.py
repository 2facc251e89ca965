"""How much does a block change the signal, and what does weight decay make of it? After arXiv 1710.04773, section 4."""

from collections.abc import Mapping, Sequence

import numpy as np

from resnet_exp.runs.diagnostics import Diagnosis
from resnet_exp.why.argument import Argument
from resnet_exp.why.branches_figure import draw
from resnet_exp.why.branches_rows import ON, Arms, ends, starts, steps_of, sweeps, written
from resnet_exp.why.measured import Group, by_seed, grouped, listed, mean_text

ZERO = 0.05  # of its size before the first step: a branch below it does next to nothing


def times(above: Mapping[int, float], below: Mapping[int, float]) -> tuple[str, str] | None:
    """The ratio, over the seeds that have a finite one, and what is known of it."""
    ratios = by_seed(above, {seed: value for seed, value in below.items() if value})
    return mean_text(ratios) if ratios and np.isfinite(ratios).all() else None


def of_decays(name: str, arms: Arms) -> list[str]:
    """What weight decay makes of the branches of one net."""
    text, clauses = [], []
    for on, called in ON.items():
        if along := sorted(decay for kind, decay in arms if kind == on):
            ratios = listed([mean_text([*ends(arms[on, decay], "ratio").values()])[0] for decay in along])
            clauses.append(f"{ratios} times its shortcut with {listed([*map(written, along)])} on {called}")
    text.append(f"By weight decay, the median branch of {name} ends at {', and at '.join(clauses)}.")
    for on, called in ON.items():
        most = max((decay for kind, decay in arms if kind == on), default=0.0)
        if not most or (on, 0.0) not in arms:
            continue
        with_it, without = arms[on, most], arms[on, 0.0]
        if (branch := times(ends(with_it, "branch"), ends(without, "branch"))) is None:
            continue
        more = [
            f"{said} {found[0]}"
            for said, key in (("its gamma", "gamma"), ("its last layer's weights", "weights"))
            if (found := times(ends(with_it, key), ends(without, key)))
        ]
        text.append(
            f"{written(most)} on {called} makes F {branch[0]} times what it is without decay ({branch[1]}),"
            f" {listed(more)} times."
        )
    return text


def of_training(group: Group) -> str:
    """What training makes of the branches of one net."""
    one = group.found[0]
    steps = steps_of(one)
    begin, known = mean_text([*starts(group, "ratio").values()])
    if steps[0] == steps[-1]:
        return f"After {steps[0]:,} steps the median branch of {group.name} is {begin} times its shortcut ({known})."
    end, known = mean_text([*ends(group, "ratio").values()])
    text = f"The median branch of {group.name} goes from {begin} to {end} times its shortcut ({known})"
    branch = times(ends(group, "branch"), starts(group, "branch"))
    shortcut = times(ends(group, "shortcut"), starts(group, "shortcut"))
    if branch and shortcut:
        text += f", as F itself becomes {branch[0]} and its shortcut {shortcut[0]} times what they were"
    return f"{text}; its cosine with the negative gradient ends at {mean_text([*ends(group, 'cosine').values()])[0]}."


def to_zero(groups: Sequence[Group]) -> str:
    """Whether F goes to zero: how small the median branch became anywhere, against its start."""
    shares = {
        group.name: np.mean(shares)
        for group in groups
        if (shares := by_seed(ends(group, "branch"), {s: v for s, v in starts(group, "branch").items() if v}))
        and len(steps_of(group.found[0])) > 1
        and np.isfinite(shares).all()
    }
    if not shares:
        return ""
    least = min(shares, key=lambda name: shares[name])
    gone = [name for name, share in shares.items() if share < ZERO]
    if gone:
        return f"F goes to zero in the median block of {listed(gone)}: it is below {ZERO} of its size at the start."
    return (
        f"F goes to zero in none: the smallest median, of {least}, keeps {shares[least]:.2f} of its size at the start."
    )


def sentence(found: Sequence[Diagnosis]) -> str:
    """The ratio of every net before and after training, what became of F and of the shortcut, and what decay did."""
    groups = grouped(found)
    nets = sweeps(groups)
    text = [line for name, arms in nets.items() for line in of_decays(name, arms)]
    if not nets:
        text += [of_training(group) for group in groups]
    return " ".join([*text, *filter(None, [to_zero(groups)])])


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
