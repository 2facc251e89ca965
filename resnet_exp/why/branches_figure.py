"""The figure of residual branches: how large beside their shortcuts, which way they point, what weight decay does."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from resnet_exp.runs.diagnostics import Diagnosis
from resnet_exp.study.figure import VARIANTS, bare, colours_of, put_caption, readable, wide_figure
from resnet_exp.why.branches_rows import ON, Arms, decay_of, first, last, median, sweeps, written
from resnet_exp.why.measured import Group, caption, column, grouped, steps_of


def draw(found: Sequence[Diagnosis]) -> Figure:
    """A column for each kind of net; or, where weight decay was varied, for each net."""
    groups = grouped(found)
    columns: dict[str, Callable[..., None]]
    if nets := sweeps(groups):
        decays = sorted({decay_of(one) for one in found})
        columns = {name: partial(draw_decays, arms, decays=decays) for name, arms in nets.items()}
        labels, from_zero = ("F / shortcut", "F / shortcut, median block", "size against the start"), [0, 1, 2]
    else:
        colours = colours_of(sorted({group.depth for group in groups}))
        variants = dict.fromkeys(group.variant for group in groups)
        members = {variant: [group for group in groups if group.variant == variant] for variant in variants}
        columns = {variant: partial(draw_depths, of_it, colours=colours) for variant, of_it in members.items()}
        labels, from_zero = ("F / shortcut", "cosine", "F / shortcut, median block"), [0, 2]
    figure = wide_figure(len(columns), height=9)
    panels = figure.subplots(3, len(columns), squeeze=False, sharey="row")
    for (title, draw_column), (above, middle, below) in zip(columns.items(), panels.T, strict=True):
        above.set_title(title, fontweight="bold")
        draw_column(above=above, middle=middle, below=below)
    for row, label in zip(panels, labels, strict=True):
        row[0].set_ylabel(label)
        for panel in row:
            bare(panel)
            panel.set_axisbelow(True)
    for row in panels[from_zero]:
        highest = max(panel.dataLim.y1 for panel in row)
        row[0].set_ylim(0, 1.08 * highest if 0 < highest < np.inf else None)
    put_caption(figure, caption(found))
    return figure


def draw_depths(groups: Sequence[Group], *, colours: Mapping[int, str], above: Axes, middle: Axes, below: Axes) -> None:
    """The ratio and the cosine of each block, and how the median ratio changes; a colour a depth, a line a seed;
    dotted: at initialisation."""
    for group in groups:
        colour = colours[group.depth]
        for one in group.found:
            steps, url = steps_of(one), f"{group.name} seed {one.subject.seed}"
            for panel, key in ((above, "ratio"), (middle, "cosine")):
                values = column(one, key, step=steps[-1])
                panel.plot(np.arange(1, len(values) + 1), values, color=colour, linewidth=1.3, url=url)
            ratios = [median(one, "ratio", step=step) for step in steps]
            below.plot(steps, ratios, "o-", color=colour, linewidth=1.3, markersize=3.5, url=url)
        one = group.found[0]
        if (start := steps_of(one)[0]) != steps_of(one)[-1]:
            for panel, key in ((above, "ratio"), (middle, "cosine")):
                values = column(one, key, step=start)
                panel.plot(np.arange(1, len(values) + 1), values, ":", color=colour, linewidth=1.1)
        above.plot([], [], color=colour, label=f"{group.depth} layers")
    middle.axhline(0, color="0.6", linewidth=0.8, zorder=1)
    above.set_xlabel("block")
    middle.set_xlabel("block")
    below.set_xlabel("step")
    readably = [readable(colours[group.depth]) for group in groups]
    above.legend(labelcolor=readably, loc="upper right", framealpha=0.8, edgecolor="none")


def sizes_of(group: Group, key: str, *, relative: bool) -> list[float]:
    """The median block's after the last update, for each seed; `relative` to that at the start, NaN if that is zero."""
    if not relative:
        return [last(one, key) for one in group.found]
    return [last(one, key) / (first(one, key) or np.nan) for one in group.found]


def draw_decays(arms: Arms, *, decays: Sequence[float], above: Axes, middle: Axes, below: Axes) -> None:
    """The ratio of each block, a colour a weight decay; then against weight decay, a colour for what decays: the median
    ratio, and the sizes of the median branch and of its last layer's weights against those at the start."""
    colours = colours_of([*range(len(decays))])
    for (on, decay), group in sorted(arms.items()):
        ends = np.array([column(one, "ratio", step=steps_of(one)[-1]) for one in group.found]).mean(0)
        colour, style = colours[decays.index(decay)], "-" if on == "all" else "--"
        above.plot(np.arange(1, len(ends) + 1), ends, style, color=colour, linewidth=1.3, url=group.name)
    one = next(iter(arms.values())).found[0]
    start = column(one, "ratio", step=steps_of(one)[0])
    above.plot(np.arange(1, len(start) + 1), start, ":", color="0.3", linewidth=1.1, label="before step 1")
    for number, decay in enumerate(decays):
        above.plot([], [], color=colours[number], label=written(decay))
    above.legend(
        frameon=False,
        title="weight decay; dashed: on weights",
        title_fontsize=8.5,
        fontsize=8.5,
        ncols=2,
        loc="upper right",
    )
    for (on, called), colour in zip(ON.items(), VARIANTS, strict=False):
        along = [decay for decay in decays if (on, decay) in arms]
        places = [decays.index(decay) for decay in along]
        for panel, key, mark, style, label in (
            (middle, "ratio", "o", "-", called),
            (below, "branch", "o", "-", f"F, {called}"),
            (below, "weights", "s", ":", f"last layer's weights, {called}"),
        ):
            sizes = [sizes_of(arms[on, decay], key, relative=panel is below) for decay in along]
            for place, decay, of_seeds in zip(places, along, sizes, strict=True):
                points = [place] * len(of_seeds), of_seeds
                panel.plot(*points, mark, color=colour, markersize=3.5, url=arms[on, decay].name)
            if along:
                panel.plot(places, list(map(np.mean, sizes)), style, color=colour, linewidth=1.4, label=label)
    above.set_xlabel("block")
    for panel in (middle, below):
        panel.set_xticks(range(len(decays)), [written(decay) for decay in decays])
        panel.set_xlabel("weight decay")
        panel.legend(frameon=False, fontsize=8.5, loc="lower left")
