"""The figure of the study, after figure 6 of arXiv 1512.03385. Draws what `analysis` hands over; knows no torch."""

import logging
import os
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from resnet_exp.analysis import Net

# From light to dark, after Okabe and Ito and Tol: told apart by colour-blind readers and, by lightness, in grey print.
COLOURS = {
    1: ["#0072B2"],
    2: ["#E69F00", "#0072B2"],
    3: ["#E69F00", "#009E73", "#332288"],
    4: ["#E69F00", "#56B4E9", "#D55E00", "#332288"],
    5: ["#E69F00", "#56B4E9", "#009E73", "#D55E00", "#332288"],
    6: ["#E69F00", "#56B4E9", "#CC79A7", "#009E73", "#D55E00", "#332288"],
}
STYLE: Any = {"font.size": 10, "svg.fonttype": "none", "svg.hashsalt": "resnet-exp", "pdf.fonttype": 42}
THIN, BOLD = 1.0, 2.4  # line widths of training and test error
EARLY = 0.1  # share of a run that may leave the axes at the top
FORMATS = ("png", "svg", "pdf")
for library in ("matplotlib", "fontTools"):
    logging.getLogger(library).setLevel(logging.WARNING)  # they tell of every font and glyph


def draw_curves(nets: list[Net], *, caption: str) -> Figure:
    """Training error (thin) and test error (bold) in % against steps: one panel a variant, one colour a depth.

    Lines are means over seeds, bands one standard deviation. All panels share their axes.
    """
    drawn = [net for net in nets if any(run.rows for run in net.runs)]
    variants = list(dict.fromkeys(net.variant for net in drawn))
    depths = sorted({net.depth for net in drawn})
    palette = COLOURS[min(len(depths), max(COLOURS))] if depths else []
    colours = {depth: palette[index % len(palette)] for index, depth in enumerate(depths)}

    figure = Figure(figsize=(max(1.6 + 3.9 * len(variants), 6.5), 4.4), layout="constrained")
    panels = figure.subplots(1, max(len(variants), 1), sharex=True, sharey=True, squeeze=False)[0]
    for panel, variant in zip(panels, variants, strict=False):
        of_variant = [net for net in drawn if net.variant == variant]
        for net in of_variant:
            draw_net(panel, net, colour=colours[net.depth])
        for step in milestones(of_variant):
            panel.axvline(step, color="0.8", linewidth=0.8, zorder=0)
        panel.set_title(variant, fontweight="bold")
        panel.set_xlabel("step")
        panel.spines[["top", "right"]].set_visible(False)
        panel.grid(axis="y", color="0.92", linewidth=0.8)
        panel.set_axisbelow(True)
    if drawn:
        panels[0].set_ylabel("error (%)")
        panels[0].set_xlim(0, max(run.metrics["step"][-1] for net in drawn for run in net.runs if run.rows))
        panels[0].set_ylim(*error_limits(drawn))
        for panel, variant in zip(panels, variants, strict=True):
            label_ends(panel, [net for net in drawn if net.variant == variant], colours=colours)
    for width, label in ((THIN, "training error (running)"), (BOLD, "test error")):
        panels[0].plot([], [], color="0.3", linewidth=width, label=label)
    figure.legend(loc="outside upper right", ncols=2, frameon=False)
    figure.supxlabel(caption, fontsize=8.5, color="0.35")
    return figure


def draw_net(panel: Axes, net: Net, *, colour: str) -> None:
    for key, width in (("train_error", THIN), ("test_error", BOLD)):
        steps, mean, spread = net.curve(key)
        panel.plot(steps, mean, color=colour, linewidth=width)
        if spread.any():
            panel.fill_between(steps, mean - spread, mean + spread, color=colour, alpha=0.18, linewidth=0)
    for run in net.runs:
        if run.summary["status"] == "diverged" and run.rows:
            panel.plot(run.metrics["step"][-1], run.metrics["train_error"][-1], "x", color=colour, markersize=8)


def milestones(nets: list[Net]) -> set[int]:
    """Where the learning rate falls, within the steps of the runs."""
    runs = [run for net in nets for run in net.runs]
    return {m for run in runs for m in run.summary["choices"]["milestones"] if m < run.summary["steps"]}


def error_limits(nets: list[Net]) -> tuple[float, float]:
    """The range of errors after the first steps, in which every net is bad; from zero unless that wastes the space."""
    values = []
    for net in nets:
        for key in ("train_error", "test_error"):
            steps, mean, _ = net.curve(key)
            values.append(mean[steps >= min(EARLY * steps[-1], steps[-1])])
    low, high = np.nanmin(np.concatenate(values)), np.nanmax(np.concatenate(values))
    margin = 0.05 * max(high - low, 1.0)
    return (0.0 if low < high / 3 else low - margin), min(high + margin, 100.0)


def label_ends(panel: Axes, nets: list[Net], *, colours: dict[int, str]) -> None:
    """Writes each depth beside the end of its test curve, moved apart where curves end together."""
    low, high = panel.get_ylim()
    gap = 0.055 * (high - low)
    ends = sorted((float(np.clip(net.curve("test_error")[1][-1], low, high)), net.depth) for net in nets)
    heights: list[float] = []
    for height, _ in ends:
        heights.append(max(height, heights[-1] + gap) if heights else height)
    excess = max(0.0, heights[-1] - high)
    right = panel.get_xlim()[1]
    for height, (_, depth) in zip(heights, ends, strict=True):
        panel.annotate(
            f"{depth} layers", (right, height - excess), xytext=(4, 0), textcoords="offset points",
            va="center", color=colours[depth], fontweight="bold", fontsize=9, annotation_clip=False,
        )  # fmt: skip


def save(figure: Figure, stem: Path) -> None:
    """Writes PNG, SVG and PDF, each in one move, so that a viewer never sees half a picture."""
    import matplotlib as mpl

    for suffix in FORMATS:
        temporary = stem.with_name(f".{stem.name}.{os.getpid()}.tmp.{suffix}")  # several jobs may draw at once
        metadata = {"Date": None} if suffix == "svg" else {"CreationDate": None} if suffix == "pdf" else None
        try:
            with mpl.rc_context(STYLE):
                figure.savefig(temporary, dpi=160, metadata=metadata)
            temporary.replace(stem.with_suffix(f".{suffix}"))
        finally:
            temporary.unlink(missing_ok=True)
