"""The second figure of the study: final errors against depth. Plain nets fall, then rise; residual nets fall."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator
from matplotlib.transforms import ScaledTranslation, Transform

from resnet_exp.study.arms import Arm
from resnet_exp.study.describe import flags
from resnet_exp.study.figure import VARIANTS, bare, put_caption, readable
from resnet_exp.study.statistics import Estimate
from resnet_exp.study.verdict import PRIMARY
from resnet_exp.text import counted

ERRORS = {PRIMARY: "training error, running", "test_error": "test error"}
MARKERS = "osD^v"  # as many as are no divisor of the colours: 30 kinds of net before two look alike
GREY = "0.35"
PANEL, EDGE = 250.0, 20.0  # points of 1/72 inch: from the shallowest net to the deepest, a little less than there are
DIGIT, GAP = 6.4, 5.0  # points: a digit of the numbers of layers; what is at least between two of them
APART, TOGETHER = 4.0, 24.0  # points between two kinds of net at one depth; between the first and the last of many
LEGEND_WIDTH, LEGEND_ROW = 110, 0.2  # characters in a row of the legend; inches of figure for each row after the first


def by_variant(arms: list[Arm]) -> dict[str, list[Arm]]:
    """The arms of each kind of net that have final errors, by depth; none where no kind has two depths to compare."""
    variants: dict[str, list[Arm]] = {}
    for arm in arms:
        if arm.final(PRIMARY) is not None:
            variants.setdefault(arm.variant, []).append(arm)
    if all(len({arm.depth for arm in of_one}) < 2 for of_one in variants.values()):
        return {}
    return {variant: sorted(of_one, key=lambda arm: arm.depth) for variant, of_one in variants.items()}


def draw_depth(arms: list[Arm], *, caption: str) -> Figure | None:
    """Final training error (left) and test error (right) in % against layers: a line for each kind of net.

    Means over seeds with their 95 % intervals, where they are defined, as far as they are errors (0 to 100 %). A hollow
    mark: a run of this net diverged or ended at chance. Kinds of net stand a few points apart, so that their intervals
    do not hide each other. None where no kind of net has two depths to compare.
    """
    variants = by_variant(arms)
    if not variants:
        return None
    depths = sorted({arm.depth for of_one in variants.values() for arm in of_one})
    shifts = shifts_of(len(variants), depths=depths)
    looks: dict[str, dict[str, Any]] = {
        variant: {"color": VARIANTS[number % len(VARIANTS)], "marker": MARKERS[number % len(MARKERS)]}
        for number, variant in enumerate(variants)
    }
    key = legend_of(variants, looks=looks)
    columns = max(1, LEGEND_WIDTH // (6 + max(len(str(handle.get_label())) for handle in key)))
    rows = math.ceil(len(key) / columns)
    figure = Figure(figsize=(9.4, 4.4 + LEGEND_ROW * (rows - 1)), layout="constrained")
    panels = figure.subplots(1, 2)
    for panel, (error, label) in zip(panels, ERRORS.items(), strict=True):
        highest = 0.0
        for shift, (variant, of_one) in zip(shifts, variants.items(), strict=True):
            shifted = ScaledTranslation(shift / 72, 0, figure.dpi_scale_trans)
            highest = max(highest, draw_variant(panel, of_one, key=error, look=looks[variant], shifted=shifted))
        set_scales(panel, depths=depths, highest=highest)
        panel.set_ylabel(f"{label} (%)")
    shown = [readable(str(handle.get_color())) for handle in key]
    figure.legend(handles=key, labelcolor=shown, loc="outside upper right", ncols=min(columns, len(key)), frameon=False)
    put_caption(figure, caption)
    return figure


def draw_variant(panel: Axes, arms: list[Arm], *, key: str, look: dict[str, Any], shifted: Transform) -> float:
    """One line, its intervals and its marks, `shifted` from their depths; the highest error drawn.

    An artist's url is its tooltip, see `svg`; PNG and PDF do without.
    """
    where = panel.transData + shifted
    found = [(arm, estimate) for arm in arms if (estimate := arm.final(key)) is not None]
    means = [estimate.mean for _, estimate in found]
    line = Line2D([arm.depth for arm, _ in found], means, color=look["color"], linewidth=1.8, transform=where)
    line.set(label=arms[0].variant, url=arms[0].variant)
    panel.add_artist(line)
    highest = max(means, default=0.0)
    for arm, estimate in found:
        title = tooltip(arm, estimate, error=ERRORS[key])
        if estimate.low is not None and estimate.high is not None:
            ends = [max(estimate.low, 0.0), min(estimate.high, 100.0)]
            bar = Line2D([arm.depth] * 2, ends, color=look["color"], linewidth=1.2, transform=where, url=title)
            panel.add_artist(bar)
            highest = max(highest, ends[1])
        face = "white" if has_failed(arm) else look["color"]
        mark = Line2D([arm.depth], [estimate.mean], linestyle="none", **look, markerfacecolor=face, markersize=6)
        mark.set(transform=where, url=title, zorder=3, clip_on=False)
        panel.add_artist(mark)
    return highest


def set_scales(panel: Axes, *, depths: list[int], highest: float) -> None:
    """Layers on a logarithmic axis, each depth with its tick; errors from zero, as high as there are any."""
    panel.set_xscale("log")
    panel.xaxis.set_major_locator(FixedLocator(depths))
    panel.xaxis.set_minor_locator(NullLocator())
    panel.set_xticks(depths, labels_of(depths))
    margin = (depths[-1] / depths[0]) ** (EDGE / PANEL)
    panel.set_xlim(depths[0] / margin, depths[-1] * margin)
    panel.set_xlabel("layers")
    panel.set_ylim(0, 1.06 * highest or 1.0)
    bare(panel)
    panel.set_axisbelow(True)


def places_of(depths: list[int]) -> list[float]:
    """Where the depths stand on the axis, in points from the first."""
    span = math.log(depths[-1] / depths[0])
    return [PANEL * math.log(depth / depths[0]) / span for depth in depths]


def shifts_of(count: int, *, depths: list[int]) -> list[float]:
    """By how many points each of `count` kinds of net stands beside its depths, together less than half a gap."""
    places = places_of(depths)
    closest = min(after - before for before, after in pairwise(places))
    apart = min(APART, min(closest / 2, TOGETHER) / count)
    return [apart * (number - (count - 1) / 2) for number in range(count)]


def labels_of(depths: list[int]) -> list[str]:
    """Each depth in words; one that would touch its neighbour stands a row below, or, without room there, not at all.

    The first and the last stand in the first row.
    """
    texts = [f"{depth:,}" for depth in depths]
    halves = [DIGIT * len(text) / 2 for text in texts]
    places = places_of(depths)
    ends = [-math.inf, -math.inf]  # of what stands in each row
    begins = [places[-1] - halves[-1], math.inf]  # of what will: the last depth
    labels = []
    for text, place, half in zip(texts[:-1], places, halves, strict=False):
        rows = (r for r in range(2) if ends[r] + GAP <= place - half and place + half + GAP <= begins[r])
        row = next(rows, None)
        if row is not None:
            ends[row] = place + half
        labels.append("" if row is None else "\n" * row + text)
    return [*labels, texts[-1]]


def has_failed(arm: Arm) -> bool:
    return any(run.at_chance or run.status == "diverged" for run in arm.runs)


def tooltip(arm: Arm, estimate: Estimate, *, error: str) -> str:
    """«plain56: 85.02 % test error (3 seeds, 95 % interval 79.10 to 90.94, 2 of 3 runs at chance)»"""
    parts = [counted(estimate.n, "seed")]
    if estimate.low is not None and estimate.high is not None:
        parts.append(f"95 % interval {estimate.low:.2f} to {estimate.high:.2f}")
    return f"{arm.name}: {estimate.mean:.2f} % {error} ({', '.join(parts + flags(arm.runs))})"


def legend_of(variants: dict[str, list[Arm]], *, looks: dict[str, dict[str, Any]]) -> Sequence[Line2D]:
    """The kinds of net, and what bars and hollow marks mean where there are any."""
    key = [Line2D([], [], label=variant, linewidth=1.8, **looks[variant]) for variant in variants]
    arms = [arm for of_one in variants.values() for arm in of_one]
    finals = [estimate for arm in arms for error in ERRORS if (estimate := arm.final(error))]
    if any(estimate.low is not None for estimate in finals):
        key.append(Line2D([], [], color=GREY, linestyle="none", marker="|", markersize=11, label="95 % interval"))
    if any(map(has_failed, arms)):
        hollow = "diverged or at chance"
        key.append(Line2D([], [], color=GREY, linestyle="none", marker="o", markerfacecolor="white", label=hollow))
    return key
