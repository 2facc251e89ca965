"""The figure of the study, after figure 6 of arXiv 1512.03385. Draws what `analysis` hands over; knows no torch."""

import io
import logging
import os
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from numpy.typing import NDArray

from resnet_exp.study.runs import Net

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
ERRORS = {"train_error": ("training error", THIN), "test_error": ("test error", BOLD)}
DRAWN = 2000  # points of a curve that are drawn: more than a panel has pixels
HOVERED = 60  # points of a curve that tell their value
REACH = 5  # radius around such a point, in points of 1/72 inch
FORMATS = ("png", "svg", "pdf")
SVG, XLINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}"
ET.register_namespace("", SVG[1:-1])
ET.register_namespace("xlink", XLINK[1:-1])
for library in ("matplotlib", "fontTools"):
    logging.getLogger(library).setLevel(logging.WARNING)  # they tell of every font and glyph


def draw_curves(nets: list[Net], *, caption: str) -> Figure:
    """Training error (thin) and test error (bold) in % against steps: one panel a variant, one colour a depth.

    Lines are means over seeds, bands one standard deviation; dashed if no run of the net has ended. All panels share
    their axes.
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
        panels[0].set_xlim(0, max([1.0, *(run.metrics["step"][-1] for net in drawn for run in net.runs if run.rows)]))
        panels[0].set_ylim(*error_limits(drawn))
        for panel, variant in zip(panels, variants, strict=True):
            of_variant = [net for net in drawn if net.variant == variant]
            label_ends(panel, of_variant, colours=colours)
            for net in of_variant:
                add_targets(panel, net)
    for width, label in ((THIN, "training error (running)"), (BOLD, "test error")):
        panels[0].plot([], [], color="0.3", linewidth=width, label=label)
    figure.legend(loc="outside upper right", ncols=2, frameon=False)
    figure.supxlabel(caption, fontsize=8.5, color="0.35")
    return figure


def draw_net(panel: Axes, net: Net, *, colour: str) -> None:
    """Both curves with their bands, and a cross where a run diverged.

    An artist's url is its tooltip: the SVG writer puts it around the artist, PNG and PDF do without.
    """
    style = "--" if unfinished(net) else "-"
    for key, (label, width) in ERRORS.items():
        steps, mean, spread = (column[thinned(len(column), most=DRAWN)] for column in net.curve(key))
        seeds = count(len(net.runs), "seed")
        title = f"{net.name}: {label}, {'mean of ' if len(net.runs) > 1 else ''}{seeds}"
        panel.plot(steps, mean, style, color=colour, linewidth=width, url=title)
        if spread.any():
            panel.fill_between(steps, mean - spread, mean + spread, color=colour, alpha=0.18, linewidth=0)
    for run in net.runs:
        if run.status == "diverged" and run.rows:
            step, error = run.metrics["step"][-1], run.metrics["train_error"][-1]
            title = f"{net.name}, seed {run.summary['seed']}: diverged after step {step:,.0f}"
            panel.plot(step, error, "x", color=colour, markersize=8, url=title)


def add_targets(panel: Axes, net: Net) -> None:
    """Hidden points, for `svg_text` to show, that tell the net's errors where they lie within the limits of `panel`."""
    low, high = panel.get_ylim()
    for key, (label, _) in ERRORS.items():
        steps, mean, spread = net.curve(key)
        seen = np.flatnonzero((mean >= low) & (mean <= high))  # NaN is neither
        seen = seen[thinned(len(seen), most=HOVERED)]
        steps, mean, spread = steps[seen], mean[seen], spread[seen]
        seeds = sum((np.isin(steps, run.metrics["step"]).astype(int) for run in net.runs), np.zeros(len(steps), int))
        titles = [
            f"{net.name}, step {step:,.0f}: {label} {error:.2f} % ({count(reached, 'seed')}"
            + (f", ± {deviation:.2f})" if reached > 1 else ")")
            for step, error, deviation, reached in zip(steps, mean, spread, seeds.tolist(), strict=True)
        ]
        if titles:
            targets = panel.scatter(steps, mean, alpha=0, urls=titles, visible=False, zorder=9)
            targets.set_in_layout(False)


def unfinished(net: Net) -> bool:
    return not any(run.finished for run in net.runs)


def count(number: int, unit: str) -> str:
    return f"{number} {unit}{'' if number == 1 else 's'}"


def thinned(length: int, *, most: int) -> NDArray[np.int64]:
    """At most `most` of `length` indices, evenly spread, the first and the last among them."""
    return np.linspace(0, length - 1, min(length, most)).round().astype(np.int64)


def milestones(nets: list[Net]) -> set[int]:
    """Where the learning rate falls, within the steps of the runs."""
    runs = [run for net in nets for run in net.runs]
    return {m for run in runs for m in run.summary["choices"].get("milestones", []) if m < run.summary["steps"]}


def error_limits(nets: list[Net]) -> tuple[float, float]:
    """The range of errors after the first steps, in which every net is bad; from zero unless that wastes the space."""
    curves = [net.curve(key)[:2] for net in nets for key in ERRORS]
    late = np.concatenate([mean[steps >= EARLY * steps.max(initial=0)] for steps, mean in curves])
    late = late[np.isfinite(late)]
    if not len(late):
        return 0.0, 100.0
    low, high = float(late.min()), float(late.max())
    margin = 0.05 * max(high - low, 1.0)
    return (0.0 if low < high / 3 else low - margin), min(high + margin, 100.0)


def label_ends(panel: Axes, nets: list[Net], *, colours: dict[int, str]) -> None:
    """Writes each depth beside the end of its test curve, moved apart where curves end together."""
    low, high = panel.get_ylim()
    gap = 0.055 * (high - low)
    ends = []
    for net in nets:
        _, mean, _ = net.curve("test_error")
        known = mean[np.isfinite(mean)]
        height = float(np.clip(known[-1], low, high)) if len(known) else high
        ends.append((height, net.depth, f"{net.depth} layers" + (" (unfinished)" if unfinished(net) else "")))
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


def readable(colour: str) -> str:
    """`colour`, darkened as far as text on white needs: a contrast of 4.5 (WCAG 2.2, 1.4.3)."""
    rgb = np.array(to_rgb(colour))
    while contrast_with_white(rgb) < 4.5:
        rgb = 0.97 * rgb
    return to_hex(tuple(rgb))


def contrast_with_white(rgb: NDArray[np.float64]) -> float:
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return float(1.05 / (linear @ [0.2126, 0.7152, 0.0722] + 0.05))


def save(figure: Figure, stem: Path) -> None:
    """Writes PNG, SVG and PDF, each in one move, so that a viewer never sees half a picture.

    Raises:
        OSError: the folder cannot be written.
    """
    import matplotlib as mpl

    for suffix in FORMATS:
        temporary = stem.with_name(f".{stem.name}.{os.getpid()}.tmp.{suffix}")  # several jobs may draw at once
        try:
            with mpl.rc_context(STYLE):
                if suffix == "svg":
                    temporary.write_text(svg_text(figure), encoding="utf-8")
                else:
                    figure.savefig(temporary, dpi=160, metadata={"CreationDate": None} if suffix == "pdf" else None)
            temporary.replace(stem.with_suffix(f".{suffix}"))
        finally:
            temporary.unlink(missing_ok=True)


def svg_text(figure: Figure) -> str:
    """The figure as an SVG file whose curves and points tell, under the pointer, what they are."""
    targets: Any = figure.findobj(PathCollection)
    file = io.StringIO()
    for target in targets:
        target.set_visible(True)
    try:
        figure.savefig(file, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    finally:
        for target in targets:
            target.set_visible(False)
    root = ET.fromstring(file.getvalue())
    for group in root.iter(f"{SVG}g"):
        if group.get("id", "").startswith("PathCollection"):
            draw_targets(group)
    for link in list(root.iter(f"{SVG}a")):
        title = ET.Element(f"{SVG}title")
        title.text = link.get(f"{XLINK}href")
        link.tag = f"{SVG}g"
        link.attrib.clear()
        link.insert(0, title)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def draw_targets(group: ET.Element) -> None:
    """Turns a collection's linked points into circles that cannot be seen but pointed at."""
    circles = []
    for link in group.iter(f"{SVG}a"):
        point = next(link.iter(f"{SVG}use"))
        circle = ET.Element(f"{SVG}circle", {"cx": point.get("x", ""), "cy": point.get("y", ""), "r": str(REACH)})
        ET.SubElement(circle, f"{SVG}title").text = link.get(f"{XLINK}href")
        circles.append(circle)
    group[:] = circles
    group.set("opacity", "0")


def embeddable(svg: str) -> str:
    """The bare `<svg>` of an SVG file of ours, for an HTML page: no id but those it refers to, no style for others.

    Raises:
        ValueError: `svg` is not XML.
    """
    try:
        root = ET.fromstring(svg)
    except ET.ParseError as error:
        raise ValueError(f"not an SVG file ({error})") from error
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag == f"{SVG}metadata" or child.tag == f"{SVG}style":
                parent.remove(child)
    width = float(root.get("viewBox", "0 0 0 0").split()[2])
    size = f"min-width: {0.9 * width:.0f}px; max-width: {1.6 * width:.0f}px"  # letters of 9 to 16 pixels
    root.set("style", f"stroke-linejoin: round; stroke-linecap: butt; {size}")  # the first two are matplotlib's for all
    text = ET.tostring(root, encoding="unicode")
    for element in root.iter():
        name = element.get("id")
        if name is not None and f'#{name}"' not in text and f"#{name})" not in text:
            del element.attrib["id"]
    return ET.tostring(root, encoding="unicode")
