"""Figures of the loss around nets: contours with the line, the same in three dimensions, and the way of training."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator

from resnet_exp.runs.diagnostics import Diagnosis
from resnet_exp.study.figure import MANY, bare, put_caption
from resnet_exp.why.measured import Floats, Group, caption, grouped
from resnet_exp.why.surface_rows import MODES, grid, line, modes_of, path, shown

LOWEST, HIGHEST = 1e-3, 1e2  # losses beyond are drawn as these: what is above knows nothing of the images
BANDS, NARROWEST = 18, 1.2  # colours between the levels; ratio of the outer ones, lest noise look like mountains
COLOURS = {"stored": "#D55E00", "batch": "#0072B2"}
DPI = 110  # of areas, which are pixels in the SVG: as shapes they would make megabytes


Plane = tuple[Floats, Floats, Floats]


def draw(found: Sequence[Diagnosis]) -> Figure:
    """A column for each net: contours with the stored BN statistics, with the batch's own, and the line of both."""
    groups = shown(grouped(found))
    planes = planes_of(groups)
    figure = Figure(figsize=(max(1.4 + 2.3 * len(groups), 6.5), 2.4 + 2.4 * len(planes)), layout="compressed", dpi=DPI)
    panels = figure.subplots(len(planes) + 1, len(groups), squeeze=False, sharey="row", sharex=True)
    for row, (mode, measured) in zip(panels, planes.items(), strict=False):
        levels = levels_of(measured)
        for panel, group, plane in zip(row, groups, measured, strict=True):
            if plane is None:
                panel.text(0, 0, "no BN", ha="center", va="center", color="0.35")
                continue
            drawn = contours(panel, *plane, levels=levels)
            panel.plot([0], [0], "+", color="white", markersize=7, url=f"{group.name} seed {first_seed(group)}")
        row[0].set_ylabel("beta")
        colour_bar(figure, drawn, list(row), levels=levels, label=f"loss, {MODES[mode]}")
    for panel in panels.flat:
        panel.set_box_aspect(1)
    for above, panel, group in zip(panels[0], panels[-1], groups, strict=True):
        above.set_title(group.name, fontweight="bold")
        draw_lines(panel, group)
        panel.set_xlabel("alpha")
    low, high = panels[-1][0].get_ylim()
    panels[-1][0].set_ylim(max(low, LOWEST), min(high, 10 * HIGHEST))
    panels[-1][0].yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 100 * low else (1,), numticks=20))
    panels[-1][0].yaxis.set_major_formatter(FuncFormatter(plainly))
    panels[-1][0].yaxis.set_minor_locator(NullLocator())
    panels[-1][0].set_ylabel("loss on the line")
    handles, labels = panels[-1][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=len(labels), frameon=False, fontsize=8.5)
    put_caption(figure, caption_of(found, groups))
    return figure


def planes_of(groups: Sequence[Group]) -> dict[str, list[Plane | None]]:
    """The plane of each net's first seed, by kind of BN statistics; None for a net without BN."""
    by_mode = {mode: [grid(group.found[0], "plane", batch_norm=mode) for group in groups] for mode in MODES}
    return {mode: planes for mode, planes in by_mode.items() if any(plane is not None for plane in planes)}


def levels_of(planes: Sequence[Plane | None]) -> Floats:
    """Common to these planes, (BANDS + 1,), evenly on a logarithmic scale."""
    losses = np.concatenate([plane[2].ravel() for plane in planes if plane is not None])
    losses = drawable(losses[~np.isnan(losses)]) if not np.isnan(losses).all() else np.array([1.0])
    low, high = float(losses.min()), float(losses.max())
    return np.geomspace(min(low, high / NARROWEST), high, BANDS + 1)


def drawable(loss: Floats, *, highest: float = HIGHEST) -> Floats:
    """Within what is drawn; what is no number stays so and leaves a hole."""
    return np.clip(loss, LOWEST, highest)


def contours(panel: Axes, alphas: Floats, betas: Floats, loss: Floats, *, levels: Floats) -> Any:
    """Levels as filled areas and lines; what is no number is left white."""
    inner = levels[0] * (1 + 1e-9), levels[-1] * (1 - 1e-9)  # so that what lies on the outer levels is filled, too
    inside = np.ma.masked_invalid(np.clip(loss, *inner))
    filled = panel.contourf(alphas, betas, inside, levels=levels, norm=LogNorm(levels[0], levels[-1]), cmap=MANY)
    filled.set_rasterized(True)
    panel.contour(alphas, betas, inside, levels=levels[::2], colors="black", linewidths=0.3, alpha=0.6)
    return filled


def colour_bar(figure: Figure, drawn: Any, panels: list[Axes], *, levels: Floats, label: str) -> None:
    bar = figure.colorbar(drawn, ax=panels, label=label, ticks=ticks_of(levels), format=FuncFormatter(plainly))
    bar.ax.yaxis.set_minor_locator(NullLocator())


def plainly(value: float, place: int | None = None) -> str:
    """To three figures, of which zeros at the end are dropped: `3,590`, `50`, `0.154`."""
    return f"{float(f'{value:.3g}'):,g}"


def ticks_of(levels: Floats) -> list[float]:
    """1, 2 and 5 times the powers of ten within the levels; where these are too few, every sixth level."""
    decades = range(int(np.floor(np.log10(levels[0]))), int(np.ceil(np.log10(levels[-1]))) + 1)
    numbers = [times * 10.0**decade for decade in decades for times in (1, 2, 5)]
    within = [number for number in numbers if levels[0] <= number <= levels[-1] * (1 + 1e-9)]
    return within if len(within) > 2 else levels[::6].tolist()


def draw_lines(panel: Axes, group: Group) -> None:
    """The loss along the line, a line for each seed and kind of BN statistics; dotted: that of guessing."""
    for one in group.found:
        for mode in modes_of(one):
            alphas, loss = line(one, batch_norm=mode)
            url = f"{group.name} seed {one.subject.seed}: {MODES[mode]}"
            label = MODES[mode] if one is group.found[0] else None
            panel.plot(
                alphas, drawable(loss, highest=100 * HIGHEST), color=COLOURS[mode], linewidth=1.1, url=url, label=label
            )
    panel.axhline(group.found[0].choices["chance_loss"], color="0.35", linestyle=":", linewidth=1, url="guessing")
    panel.set_yscale("log")
    bare(panel)


def first_seed(group: Group) -> int:
    return group.found[0].subject.seed


def caption_of(found: Sequence[Diagnosis], groups: Sequence[Group]) -> str:
    """The line under the figure; which nets and seeds the contours are of."""
    number, seeds = len(grouped(found)), sorted({first_seed(group) for group in groups})
    chosen = f" · {len(groups)} of {number} nets" if len(groups) < number else ""
    return f"{caption(found)}{chosen} · surfaces: seed {', '.join(map(str, seeds))}"


def draw_relief(found: Sequence[Diagnosis]) -> Figure:
    """The same planes in three dimensions, the height being the logarithm of the loss."""
    groups = shown(grouped(found))
    planes = planes_of(groups)
    size = max(2.5 * len(groups), 6.5), 2.5 * len(planes) + 0.6
    figure = Figure(figsize=size, layout="constrained", dpi=DPI)
    panels = figure.subplots(len(planes), len(groups), squeeze=False, subplot_kw={"projection": "3d"})
    for row, (mode, measured) in zip(panels, planes.items(), strict=True):
        levels = levels_of(measured)
        for panel, plane in zip(row, measured, strict=True):
            if plane is None:
                panel.set_axis_off()
            else:
                raise_relief(panel, *plane, levels=levels)
        row[0].text2D(0, 0.97, MODES[mode], transform=row[0].transAxes, fontsize=9)
    for panel, group in zip(panels[0], groups, strict=True):
        panel.set_title(group.name, fontweight="bold")
    put_caption(figure, caption_of(found, groups))
    return figure


def raise_relief(panel: Any, alphas: Floats, betas: Floats, loss: Floats, *, levels: Floats) -> None:
    """The loss over the plane, (B, A), on axes of three dimensions."""
    low, high = np.log10(levels[[0, -1]])
    height = np.log10(np.clip(loss, levels[0], levels[-1]))
    style = {
        "cmap": MANY,
        "vmin": low,
        "vmax": high,
        "linewidth": 0.1,
        "edgecolor": "0.3",
        "rasterized": True,
        "antialiased": False,
    }
    panel.plot_surface(*np.meshgrid(alphas, betas), height, rstride=1, cstride=1, **style)
    panel.set_zlim(low, high)
    panel.set_zticks([np.log10(tick) for tick in ticks_of(levels)])
    panel.zaxis.set_major_formatter(FuncFormatter(lambda value, place: plainly(10**value, place)))
    panel.tick_params(labelsize=6.5, pad=-3)
    for axis in (panel.xaxis, panel.yaxis):
        axis.set_major_locator(FixedLocator([-1, 0, 1]))


def draw_path(found: Sequence[Diagnosis]) -> Figure | None:
    """The way of the weights through training in the plane in which it varies most; a column for each net."""
    groups = shown(grouped([one for one in found if path(one)]))
    if not groups:
        return None
    firsts = [group.found[0] for group in groups]
    planes = [grid(one, "pca", batch_norm=modes_of(one)[-1]) for one in firsts]
    levels = levels_of(planes)
    figure = Figure(figsize=(max(1.4 + 2.7 * len(groups), 6.5), 3.6), layout="constrained", dpi=DPI)
    panels = figure.subplots(1, len(groups), squeeze=False)[0]
    for panel, group, one, plane in zip(panels, groups, firsts, planes, strict=True):
        assert plane is not None
        drawn = contours(panel, *plane, levels=levels)
        points = path(one)
        way = np.array([(row["alpha"], row["beta"]) for row in points], float)
        panel.plot(*way.T, "-", color="white", linewidth=1.2)
        for (alpha, beta), row in zip(way, points, strict=True):
            last = row is points[-1]
            url = f"{group.name} seed {one.subject.seed}, step {float(row['step']):g}: loss {float(row['loss']):.3g}"
            mark = "*" if last else "o"
            panel.plot([alpha], [beta], mark, color="white", mec="black", markersize=10 if last else 4.5, url=url)
        panel.set_title(group.name, fontweight="bold")
        first, second = (f"{100 * share:.0f} %" for share in one.choices["explained"])
        panel.set_xlabel(f"component 1 ({first})")
        panel.set_ylabel(f"component 2 ({second})")
        panel.tick_params(labelsize=8)
        for axis in (panel.xaxis, panel.yaxis):
            axis.set_major_locator(MaxNLocator(4))
            axis.set_major_formatter(FuncFormatter(plainly))
    colour_bar(figure, drawn, list(panels), levels=levels, label="loss")
    put_caption(figure, caption_of([one for one in found if path(one)], groups))
    return figure
