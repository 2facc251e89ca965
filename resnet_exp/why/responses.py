"""Do layers of residual nets respond less? Figure 7 of arXiv 1512.03385, both panels."""

from collections.abc import Sequence
from math import isfinite

import numpy as np
from matplotlib.figure import Figure

from resnet_exp.runs.diagnostics import Diagnosis
from resnet_exp.study.figure import bare, colours_of, key_of_depths, put_caption, wide_figure
from resnet_exp.why.argument import Argument
from resnet_exp.why.measured import Floats, Group, caption, column, grouped, listed, newest, trained_twins
from resnet_exp.why.ratios import by_seed, over_seeds, times

WIDE = 100  # times the median layer: what responds more strongly would press all others flat on a linear scale


def last(one: Diagnosis) -> Floats:
    """The strength of each layer's response, with the newest weights, (L,)."""
    return column(one, "std", step=newest(one))


def draw(found: Sequence[Diagnosis]) -> Figure:
    """In layer order above, sorted below; a column for each kind of net, a colour for each depth, a line for each seed;
    dotted: at initialisation."""
    groups = grouped(found)
    variants = list(dict.fromkeys(group.variant for group in groups))
    colours = colours_of(sorted({group.depth for group in groups}))
    figure = wide_figure(len(variants), height=6.4)
    panels = figure.subplots(2, len(variants), squeeze=False, sharey=True)
    for (above, below), variant in zip(panels.T, variants, strict=True):
        for group in (group for group in groups if group.variant == variant):
            for one in group.found:
                strengths = last(one)
                layers = np.arange(1, len(strengths) + 1)
                style = {
                    "color": colours[group.depth],
                    "linewidth": 1.4,
                    "url": f"{group.name} seed {one.subject.seed}",
                }
                above.plot(layers, strengths, **style)
                below.plot(layers, np.sort(strengths)[::-1], **style)
            start = column(group.found[0], "std", step=0)
            above.plot(np.arange(1, len(start) + 1), start, ":", color=colours[group.depth], linewidth=1)
        above.set_title(variant, fontweight="bold")
        above.set_xlabel("layer, in order")
        below.set_xlabel("layer, by strength")
    drawn = np.concatenate([last(one) for one in found])
    finite = drawn[np.isfinite(drawn)]
    wide = finite.size > 0 and finite.max() > WIDE * np.median(finite)
    for row in panels:
        row[0].set_ylabel("standard deviation")
        for panel in row:
            if wide:
                panel.set_yscale("log")
            else:
                panel.set_ylim(bottom=0)
            panel.set_xlim(left=1)
            bare(panel)
    key_of_depths(figure, colours)
    put_caption(figure, caption(found))
    return figure


def compared(plain: Group, other: Group) -> str:
    """How many times as strongly a residual net responds as its plain twin, over the seeds that both have."""
    ratios = by_seed(medians(other), medians(plain))
    if over := over_seeds(ratios, form=times):
        return f"{other.name} responds {over.text} times as strongly as {plain.name} ({over.known})."
    return f"{other.name} is not compared with {plain.name}: a median is zero or not finite." if ratios else ""


def medians(group: Group) -> dict[int, float]:
    """Of a net's layers, by seed."""
    return {one.subject.seed: float(np.median(last(one))) for one in group.found}


def sentence(found: Sequence[Diagnosis]) -> str:
    """The median of every net; how many times as strongly a residual net responds as its plain twin; the start."""
    groups = grouped(found)
    means = [(group.name, float(np.mean([*medians(group).values()]))) for group in groups]
    shown = [f"{mean:.2f} ({name})" for name, mean in means if isfinite(mean)]
    text = [f"The median layer responds with a standard deviation of {listed(shown)}."] if shown else []
    if lost := [name for name, mean in means if not isfinite(mean)]:
        text.append(f"Not every seed of {listed(lost)} has a median response that is finite.")
    text += filter(None, [compared(plain, other) for plain, other in trained_twins(groups)])
    starts = np.concatenate([column(one, "std", step=0) for one in found])
    if len(starts) and np.isfinite(starts).all():
        low, high = f"{starts.min():.3f}", f"{starts.max():.3f}"
        text.append(f"Before the first step it was {low if low == high else f'{low} to {high}'} in every layer.")
    return " ".join(text)


ARGUMENT = Argument(
    "responses",
    heading="Do layers of residual nets respond less?",
    shows=(
        "Standard deviation of each layer's output after BN and before ReLU or addition, over training images: in the"
        " order of the layers (above) and by strength (below). A line a seed; dotted: before the first step."
        f" Logarithmic where a layer responds more than {WIDE} times as strongly as the median one."
        " After figure 7 of arXiv 1512.03385."
    ),
    draw=draw,
    sentence=sentence,
)
