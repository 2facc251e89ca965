"""Nets drawn layer by layer, after figure 3 of arXiv 1512.03385."""

import math
from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.patches import FancyBboxPatch, PathPatch, Polygon
from matplotlib.path import Path
from matplotlib.textpath import TextPath

from resnet_exp.study.figure import colours_of
from resnet_exp.study.net_columns import (
    BETWEEN,
    BOX_HEIGHT,
    BOX_WIDTH,
    REACH,
    Column,
    side_by_side,
    stage_by_stage,
)
from resnet_exp.study.net_rows import Row, Shortcut, activation, rows_of
from resnet_exp.study.sizes import SizedNet

# In inches
MARGIN, NARROWEST = 0.3, 5.5  # around a page; its width without margins at least
LINE, ABOVE = 0.19, 0.4  # from one line of text to the next; from titles to the first row
ENTRY = 3.2  # width of the legend's longest entry
HEAD = 0.045  # of an arrow
TITLE, NORMAL, SMALL = 11.0, 9.0, 8.5  # of letters, in points
INK, FAINT, PROJECTION = "0.2", "0.35", "#AA3377"  # the last is none of the stages'
OUTSIDE = "0.92"  # stem and head
DOTS: Any = (0, (1.2, 1.3))


def draw_nets(nets: Sequence[SizedNet], *, caption: str) -> Figure:
    """A box for each layer, an arc for each shortcut: several nets side by side, or one net's stages side by side.

    Nets side by side have outputs of one size at one height. Where the page would become too tall, one or two of many
    equal blocks are drawn and the others counted.
    """
    listings = [partial(rows_of, net.spec, image_size=net.image_size, num_classes=net.num_classes) for net in nets]
    stages = max(len(net.spec.stages) for net in nets)
    alone = len(nets) == 1
    if alone:
        columns = stage_by_stage(listings[0], stages=stages)
        titles = [[nets[0].name, " · ".join(facts(nets[0]))]]
        places = [columns[-1].end / 2]
    else:
        titles = [[net.name, *facts(net)] for net in nets]
        columns = side_by_side(listings, titles=[title_width(lines) for lines in titles])
        places = [column.x for column in columns]

    figure, axes = make_page(columns, titles, places=places, caption=caption)
    write_beside(axes, columns[0], "output size", y=min(column.heights[0] for column in columns) - LINE)
    colours = stage_colours(stages)
    for column in columns:
        draw_column(axes, column, colours=colours)
    if alone:
        for column in columns:
            write_sizes(axes, [column])
        for column, following in pairwise(columns):
            connect(axes, column, following)
    else:
        write_sizes(axes, columns)
    return figure


def facts(net: SizedNet) -> list[str]:
    """What is written below a net's name."""
    said = [f"{net.spec.depth:,} layers", f"{short(net.params)} parameters", f"{short(net.macs)} multiply-adds"]
    if net.spec.order == "pre":
        said.append(f"pre-activation: {activation(net.spec)}-{'conv' if net.spec.block.kernels[0] else 'fc'}")
    return said + ["without BN"] * (net.spec.norm == "none")


def short(number: int) -> str:
    """Three digits and k, M or G: `21.8 M`; a number below a thousand is written in full."""
    digits, power = f"{number:.2e}".split("e")
    group = min(int(power) // 3, 3)
    if group == 0:
        return str(number)
    over = int(power) - 3 * group
    return f"{float(digits) * 10**over:,.{max(0, 2 - over)}f} {'kMG'[group - 1]}"


def make_page(
    columns: list[Column], titles: list[list[str]], *, places: list[float], caption: str
) -> tuple[Figure, Axes]:
    """Titles, legend and caption; axes in inches, y downwards, in which columns are where they say they are."""
    widths = [title_width(lines) for lines in titles]
    left = min(0.0, *(x - width / 2 for x, width in zip(places, widths, strict=True)))
    right = max(columns[-1].end, *(x + width / 2 for x, width in zip(places, widths, strict=True)))
    width = max(right - left, text_width(caption, size=SMALL), NARROWEST) + 2 * MARGIN
    entries = legend_of(columns)
    legend_columns = max(1, min(len(entries), int(width / ENTRY)))
    title_top = -ABOVE - LINE * (max(map(len, titles)) - 1)
    top = title_top - MARGIN
    legend_lines = math.ceil(len(entries) / legend_columns)
    bottom = max(column.bottom for column in columns) + LINE * (legend_lines + 3)
    height = bottom - top

    figure = Figure(figsize=(width, height))
    middle = (left + right) / 2
    axes = figure.add_axes((0, 0, 1, 1), xlim=(middle - width / 2, middle + width / 2), ylim=(bottom, top))
    axes.set_axis_off()
    for x, (name, *lines) in zip(places, titles, strict=True):
        axes.text(x, title_top, name, ha="center", va="center", fontsize=TITLE, fontweight="bold")
        for number, line in enumerate(lines, start=1):
            axes.text(x, title_top + number * LINE, line, ha="center", va="center", fontsize=NORMAL, color=FAINT)
    if entries:
        figure.legend(
            handles=entries, loc="lower center", bbox_to_anchor=(0.5, 1.8 * LINE / height), ncols=legend_columns,
            frameon=False, fontsize=SMALL, handlelength=2.6, borderpad=0, borderaxespad=0, labelspacing=0.4,
        )  # fmt: skip
    figure.supxlabel(caption, fontsize=SMALL, color=FAINT, y=0.1 / height)
    return figure, axes


def title_width(lines: list[str]) -> float:
    name, *others = lines
    return max(text_width(name, size=TITLE, weight="bold"), *(text_width(line, size=NORMAL) for line in others))


def text_width(text: str, *, size: float, weight: str = "normal") -> float:
    """In inches."""
    if not text.strip():
        return 0.0
    points = TextPath((0, 0), text, size=size, prop=FontProperties(weight=weight)).get_extents().width
    return float(points) / 72


def stage_colours(stages: int) -> dict[int, str]:
    """A light colour for each stage, from 1, for black letters."""
    strong = colours_of(list(range(1, stages + 1)))
    return {stage: to_hex(tuple(0.35 * np.array(to_rgb(colour)) + 0.65)) for stage, colour in strong.items()}


def draw_column(axes: Axes, column: Column, *, colours: dict[int, str]) -> None:
    """Boxes from top to bottom, an arrow from each to the next, and the shortcuts."""
    above, begin = math.nan, math.nan
    for row, y in zip(column.rows, column.heights, strict=True):
        top, bottom = y - BOX_HEIGHT / 2, y + BOX_HEIGHT / 2
        if not math.isnan(above):
            draw_arrow(axes, Path([(column.x, above), (column.x, top)]))
        if row.kind in ("layer", "operation"):
            fill = colours.get(row.stage, OUTSIDE) if row.kind == "layer" else "white"
            draw_box(axes, row, x=column.left, y=top, fill=fill)
        style = "italic" if row.kind == "gap" else "normal"
        axes.text(column.x, y, row.label, ha="center", va="center_baseline", fontsize=NORMAL, style=style)
        if row.begins:
            begin = top - BETWEEN / 2
        if row.ends:
            draw_shortcut(axes, row.ends, x=column.x, begin=begin, end=bottom + BETWEEN / 2)
        above = bottom


def draw_box(axes: Axes, row: Row, *, x: float, y: float, fill: str) -> None:
    """An artist's url is its tooltip, see `svg`."""
    shape = f"{row.channels}x{row.size}x{row.size}" if row.size else str(row.channels)
    box = FancyBboxPatch(
        (x, y), BOX_WIDTH, BOX_HEIGHT, boxstyle="round,pad=0,rounding_size=0.03",
        facecolor=fill, edgecolor=INK, linewidth=0.7, url=f"{row.label}: output {shape}",
    )  # fmt: skip
    axes.add_patch(box)


def draw_shortcut(axes: Axes, shortcut: Shortcut, *, x: float, begin: float, end: float) -> None:
    """From the line into a block to the line out of it, around the right side of its boxes."""
    colour, dots = style_of(shortcut)
    right = x + BOX_WIDTH / 2
    turn = right + REACH * 4 / 3  # such a curve reaches three quarters of the way to its control points
    path = Path(
        [(x, begin), (right, begin), (turn, begin), (turn, end), (right, end), (x, end)],
        [Path.MOVETO, Path.LINETO, Path.CURVE4, Path.CURVE4, Path.CURVE4, Path.LINETO],
    )
    draw_arrow(axes, path, colour=colour, dots=dots)
    if shortcut.projection:
        place = (right + REACH + 0.06, (begin + end) / 2)
        axes.text(*place, "1x1 conv", va="center_baseline", fontsize=SMALL, color=colour)


def draw_arrow(axes: Axes, path: Path, *, colour: str = INK, dots: Any = "-") -> None:
    """A line along `path` with a head at its end."""
    axes.add_patch(PathPatch(path, fill=False, edgecolor=colour, linestyle=dots, linewidth=1.0, capstyle="butt"))
    before, tip = np.asarray(path.vertices, dtype=np.float64)[-2:]
    along = (tip - before) * HEAD / np.hypot(*(tip - before))
    across = 0.55 * np.array([-along[1], along[0]])
    corners = [tip, tip - along + across, tip - along - across]
    axes.add_patch(Polygon(corners, facecolor=colour, linewidth=0, zorder=3))  # above the lines that cross it


def connect(axes: Axes, column: Column, following: Column) -> None:
    """From the bottom of one column to the top of the next."""
    x = column.end + 0.12
    below, above = column.heights[-1] + BOX_HEIGHT / 2, following.heights[0] - BOX_HEIGHT / 2
    under, over = below + 0.15, above - 0.2
    points = [(column.x, below), (column.x, under), (x, under), (x, over), (following.x, over), (following.x, above)]
    draw_arrow(axes, Path(points))


def write_sizes(axes: Axes, columns: list[Column]) -> None:
    """Each output size, once, to the left of the columns at the highest row that has it."""
    heights: dict[int, float] = {}
    for column in columns:
        for row, y in zip(column.rows, column.heights, strict=True):
            heights[row.size] = min(y, heights.get(row.size, y))
    for size, y in heights.items():
        write_beside(axes, columns[0], f"{size}x{size}" if size else "vector", y=y)


def write_beside(axes: Axes, column: Column, text: str, *, y: float) -> None:
    axes.text(column.left - 0.12, y, text, ha="right", va="center_baseline", fontsize=SMALL, color=FAINT)


def legend_of(columns: list[Column]) -> list[Line2D]:
    """An entry for each kind of shortcut that is drawn."""
    drawn = {row.begins for column in columns for row in column.rows if row.begins}
    entries = []
    for shortcut in sorted(drawn, key=lambda shortcut: (shortcut.projection, shortcut.changes_shape)):
        colour, dots = style_of(shortcut)
        same = "zero-padded" if shortcut.changes_shape else "identity"
        label = f"{'projection' if shortcut.projection else same} shortcut: the shape "
        label += "changes" if shortcut.changes_shape else "stays"
        entries.append(Line2D([], [], color=colour, linestyle=dots, linewidth=1.4, label=label))
    return entries


def style_of(shortcut: Shortcut) -> tuple[str, Any]:
    """Its colour and whether it is dotted."""
    return PROJECTION if shortcut.projection else INK, DOTS if shortcut.changes_shape else "-"
