"""The figure of the study, after figure 6 of arXiv 1512.03385: errors against steps."""

import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from resnet_exp.study.arms import Arm
from resnet_exp.study.figure import bare, colours_of, put_caption, readable
from resnet_exp.text import counted

THIN, BOLD = 1.0, 2.4  # line widths of training and test error
EARLY = 0.1  # share of a run that may leave the axes at the top
ERRORS = {"train_error": ("training error", THIN), "test_error": ("test error", BOLD)}  # columns of `metrics.csv`
MOST_IN_A_ROW, MANY_IN_A_ROW = 5, 4  # panels in the only row; in each of several
DRAWN = 2000  # points of a curve that are drawn: more than a panel has pixels
SHORTENED, MOST_TICKS = 10_000, 6  # steps from which on 10,000 is written 10k; numbers on the axis of steps
HOVERED = 60  # points of a curve that tell their value


def draw_curves(arms: list[Arm], *, caption: str) -> Figure:
    """Training error (thin) and test error (bold) in % against steps: one panel a variant, one colour a depth.

    Lines are means over seeds, bands one standard deviation; dashed if no run of the net has ended. All panels share
    their axes.
    """
    drawn = [arm for arm in arms if any(run.rows for run in arm.runs)]
    variants = list(dict.fromkeys(arm.variant for arm in drawn))
    colours = colours_of(sorted({arm.depth for arm in drawn}))

    figure, panels = make_panels(max(len(variants), 1))
    steps = max([1.0, *(run.metrics["step"][-1] for arm in drawn for run in arm.runs if run.rows)])
    limits = error_limits(drawn) if drawn else (0.0, 1.0)
    for panel, variant in zip(panels, variants, strict=False):
        of_variant = [arm for arm in drawn if arm.variant == variant]
        for arm in of_variant:
            draw_arm(panel, arm, colour=colours[arm.depth])
        for step in milestones(of_variant):
            panel.axvline(step, color="0.8", linewidth=0.8, zorder=0)
        panel.set_title(variant, fontweight="bold")
        bare(panel)
        panel.set_axisbelow(True)
        # The same for all, but not by sharing: each of a hundred sharing panels asks all others, again and again.
        panel.set_xlim(0, steps)
        if steps >= SHORTENED:
            panel.xaxis.set_major_formatter(thousands)
        panel.locator_params(axis="x", nbins=MOST_TICKS, steps=[1, 2, 5, 10])  # not 2.5k, 5k and 7.5k
        panel.set_ylim(*limits)
        label_ends(panel, of_variant, colours=colours)
        for arm in of_variant:
            add_targets(panel, arm)
    for width, label in ((THIN, "training error (running)"), (BOLD, "test error")):
        panels[0].plot([], [], color="0.3", linewidth=width, label=label)
    figure.legend(loc="outside upper right", ncols=2, frameon=False)
    where: Any = {} if figure.get_layout_engine() else {"y": 0.1 / figure.get_figheight()}  # else it is laid out, too
    put_caption(figure, caption, **where)
    return figure


def make_panels(count: int) -> tuple[Figure, list[Axes]]:
    """A row of panels, or several where there are many; scales and their names stand at the left and at the bottom."""
    columns = count if count <= MOST_IN_A_ROW else MANY_IN_A_ROW
    rows = math.ceil(count / columns)
    size = (max(1.6 + 3.9 * columns, 6.5), 4.4 if rows == 1 else 1.0 + 3.2 * rows)
    figure = Figure(figsize=size, layout="constrained" if rows == 1 else None)
    if rows > 1:  # a layout that measures every text takes longer than drawing all
        inch = 1 / size[1]
        figure.subplots_adjust(0.05, 0.8 * inch, 0.93, 1 - 0.8 * inch, wspace=0.3, hspace=0.25)
    panels = [figure.add_subplot(rows, columns, number + 1) for number in range(count)]
    for number, panel in enumerate(panels):
        if rows > 1:
            panel.locator_params(nbins=4)
        if number % columns == 0:
            panel.set_ylabel("error (%)")
        else:
            panel.tick_params(labelleft=False)
        if number + columns >= count:
            panel.set_xlabel("step")
        else:
            panel.tick_params(labelbottom=False)
    return figure, panels


def draw_arm(panel: Axes, arm: Arm, *, colour: str) -> None:
    """Both curves with their bands, and a cross where a run diverged.

    An artist's url is its tooltip, see `svg`; PNG and PDF do without.
    """
    style = "-" if arm.finished else "--"
    for key, (label, width) in ERRORS.items():
        steps, mean, spread = (column[thinned(len(column), most=DRAWN)] for column in arm.curve(key))
        seeds = counted(len(arm.runs), "seed")
        title = f"{arm.name}: {label}, {'mean of ' if len(arm.runs) > 1 else ''}{seeds}"
        panel.plot(steps, mean, style, color=colour, linewidth=width, url=title)
        if spread.any():
            panel.fill_between(steps, mean - spread, mean + spread, color=colour, alpha=0.18, linewidth=0)
    for run in arm.runs:
        if run.status == "diverged" and run.rows:
            step, error = run.metrics["step"][-1], run.metrics["train_error"][-1]
            title = f"{arm.name}, seed {run.summary['seed']}: diverged after step {step:,.0f}"
            panel.plot(step, error, "x", color=colour, markersize=8, url=title)


def add_targets(panel: Axes, arm: Arm) -> None:
    """Hidden points, for `svg_text` to show, that tell the net's errors where they lie within the limits of `panel`."""
    low, high = panel.get_ylim()
    for key, (label, _) in ERRORS.items():
        steps, mean, spread = arm.curve(key)
        seen = np.flatnonzero((mean >= low) & (mean <= high))  # NaN is neither
        seen = seen[thinned(len(seen), most=HOVERED)]
        steps, mean, spread = steps[seen], mean[seen], spread[seen]
        seeds = sum((np.isin(steps, run.metrics["step"]).astype(int) for run in arm.runs), np.zeros(len(steps), int))
        titles = [
            f"{arm.name}, step {step:,.0f}: {label} {error:.2f} % ({counted(reached, 'seed')}"
            + (f", ± {deviation:.2f})" if reached > 1 else ")")
            for step, error, deviation, reached in zip(steps, mean, spread, seeds.tolist(), strict=True)
        ]
        if titles:
            targets = panel.scatter(steps, mean, alpha=0, urls=titles, visible=False, zorder=9)
            targets.set_in_layout(False)


def thousands(step: float, position: float) -> str:
    """`10k` for 10,000; 0 stays 0."""
    return f"{step / 1000:g}k" if step else "0"


def thinned(length: int, *, most: int) -> NDArray[np.int64]:
    """At most `most` of `length` indices, evenly spread, the first and the last among them."""
    return np.linspace(0, length - 1, min(length, most)).round().astype(np.int64)


def milestones(arms: list[Arm]) -> set[int]:
    """Where the learning rate falls, within the steps of the runs."""
    runs = [run for arm in arms for run in arm.runs]
    return {m for run in runs for m in run.summary["choices"].get("milestones", []) if m < run.summary["steps"]}


def error_limits(arms: list[Arm]) -> tuple[float, float]:
    """The range of errors after the first steps, in which every net is bad; from zero unless that wastes the space."""
    curves = [arm.curve(key)[:2] for arm in arms for key in ERRORS]
    late = np.concatenate([mean[steps >= EARLY * steps.max(initial=0)] for steps, mean in curves])
    late = late[np.isfinite(late)]
    if not len(late):
        return 0.0, 100.0
    low, high = float(late.min()), float(late.max())
    margin = 0.05 * max(high - low, 1.0)
    return (0.0 if low < high / 3 else low - margin), min(high + margin, 100.0)


def label_ends(panel: Axes, arms: list[Arm], *, colours: dict[int, str]) -> None:
    """Writes each depth beside the end of its test curve, moved apart where curves end together."""
    low, high = panel.get_ylim()
    gap = 0.055 * (high - low)
    ends = []
    for arm in arms:
        _, mean, _ = arm.curve("test_error")
        known = mean[np.isfinite(mean)]
        height = float(np.clip(known[-1], low, high)) if len(known) else high
        ends.append((height, arm.depth, f"{arm.depth} layers" + ("" if arm.finished else " (unfinished)")))
    ends.sort()
    heights: list[float] = []
    for height, _, _ in ends:
        heights.append(max(height, heights[-1] + gap) if heights else height)
    excess = max(0.0, heights[-1] - high)
    right = panel.get_xlim()[1]
    for height, (_, depth, label) in zip(heights, ends, strict=True):
        panel.annotate(
            label, (right, height - excess), xytext=(4, 0), textcoords="offset points", va="center",
            color=readable(colours[depth]), fontweight="bold", fontsize=9, annotation_clip=False,
        )  # fmt: skip
