"""The second figure of the study: final errors against depth. Plain nets fall, then rise; residual nets fall."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from resnet_exp.study.arms import Arm
from resnet_exp.study.figure import VARIANTS, readable
from resnet_exp.study.verdict import PRIMARY

ERRORS = {PRIMARY: "training error (running, %)", "test_error": "test error (%)"}


def by_variant(arms: list[Arm]) -> dict[str, list[Arm]]:
    """The arms of each kind of net that have final errors at two depths or more, by depth."""
    variants: dict[str, list[Arm]] = {}
    for arm in arms:
        if arm.final(PRIMARY) is not None:
            variants.setdefault(arm.variant, []).append(arm)
    return {
        variant: sorted(of_one, key=lambda arm: arm.depth)
        for variant, of_one in variants.items()
        if len({arm.depth for arm in of_one}) > 1
    }


def draw_depth(arms: list[Arm], *, caption: str) -> Figure | None:
    """Final training error (left) and test error (right) in % against layers: a line for each kind of net.

    Means over seeds with their 95 % intervals, where they are defined. A hollow mark: a run of this net diverged or
    ended at chance. None where no kind of net has two depths to compare.
    """
    variants = by_variant(arms)
    if not variants:
        return None
    figure = Figure(figsize=(9.4, 4.2), layout="constrained")
    panels = figure.subplots(1, 2)
    depths = sorted({arm.depth for of_one in variants.values() for arm in of_one})
    for panel, (key, label) in zip(panels, ERRORS.items(), strict=True):
        for number, (variant, of_one) in enumerate(variants.items()):
            draw_variant(panel, variant, of_one, key=key, colour=VARIANTS[number % len(VARIANTS)])
        panel.set_xscale("log")
        panel.xaxis.set_major_locator(FixedLocator(depths))
        panel.xaxis.set_minor_locator(NullLocator())
        panel.set_xticks(depths, [f"{depth:,}" for depth in depths])
        panel.set_xlim(depths[0] / 1.12, depths[-1] * 1.12)
        panel.set_xlabel("layers")
        panel.set_ylabel(label)
        panel.set_ylim(bottom=0)
        panel.spines[["top", "right"]].set_visible(False)
        panel.grid(axis="y", color="0.92", linewidth=0.8)
        panel.set_axisbelow(True)
    shown = [readable(VARIANTS[number % len(VARIANTS)]) for number in range(len(variants))]
    panels[0].legend(frameon=False, labelcolor=shown)
    figure.supxlabel(caption, fontsize=8.5, color="0.35")
    return figure


def draw_variant(panel: Axes, variant: str, arms: list[Arm], *, key: str, colour: str) -> None:
    """One line, its intervals and its marks."""
    found = [(arm, estimate) for arm in arms if (estimate := arm.final(key)) is not None]
    depths = [arm.depth for arm, _ in found]
    panel.plot(
        depths, [estimate.mean for _, estimate in found], color=colour, linewidth=1.8, label=variant, url=variant
    )
    for arm, estimate in found:
        if estimate.low is not None and estimate.high is not None:
            ends = [max(estimate.low, 0.0), min(estimate.high, 100.0)]
            panel.plot([arm.depth] * 2, ends, color=colour, linewidth=1.2, solid_capstyle="butt")
        failed = any(run.at_chance or run.status == "diverged" for run in arm.runs)
        seeds = f"{estimate.n} seed{'' if estimate.n == 1 else 's'}"
        title = f"{arm.name}: {estimate.mean:.2f} % ({seeds}{', some at chance or diverged' if failed else ''})"
        face = "white" if failed else colour
        panel.plot(arm.depth, estimate.mean, "o", color=colour, markerfacecolor=face, markersize=6, url=title)
