"""Do plain layers lose the image? What a linear reader finds of it, and of its class, behind every block."""

from collections.abc import Sequence
from math import isfinite
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from resnet_exp.runs.diagnostics import Diagnosis, Row
from resnet_exp.study.figure import bare, colours_of, put_caption, readable
from resnet_exp.why.argument import Argument
from resnet_exp.why.measured import Floats, Group, caption, difference_text, grouped, listed, newest, twins

PIXELS: Any = {"color": "0.45", "linestyle": "--", "linewidth": 1}
AXES = {"r2": "$R^2$ of the image", "error": "error of a linear\nclassifier (%)"}


def told(row: Row, key: str) -> float:
    """A number of the table; of R^2 below 0, by a reader that is worse than the mean image, nothing."""
    value = float(row[key])
    return 0.0 if key == "r2" and value < 0 else value


def of_step(one: Diagnosis, step: int) -> list[Row]:
    """What was measured after `step` updates, from the image on; empty if nothing was."""
    return sorted((row for row in one.rows if row["step"] == step), key=lambda row: float(row["layers"]))


def curve(one: Diagnosis, *, step: int, key: str) -> tuple[Floats, Floats]:
    """Stem and blocks: the share of all blocks that lies behind, 0 to 1, and a number of each."""
    rows = [row for row in of_step(one, step) if row["name"] != "pixels"]
    blocks = np.array([row["block"] for row in rows], float)
    return blocks / blocks.max(initial=1), np.array([told(row, key) for row in rows])


def of_pixels(one: Diagnosis, *, key: str) -> float:
    return next(told(row, key) for row in one.rows if row["name"] == "pixels")


def stages(one: Diagnosis) -> int:
    return int(max(float(row["stage"]) for row in one.rows))


def at_end(group: Group, *, key: str, first: bool = False, stage: int | None = None) -> dict[int, float]:
    """A number of a net's last block, or the last of a stage, by seed; where it is finite.

    Args:
        first: before the first step instead of after the newest.
    """
    found = {}
    for one in group.begun if first else group.found:
        rows = of_step(one, 0 if first else group.newest)
        ends = [told(row, key) for row in rows if row["block"] and row["stage"] == (stage or stages(one))]
        if ends and isfinite(ends[-1]):
            found[one.subject.seed] = ends[-1]
    return found


def stage_ends(one: Diagnosis) -> list[float]:
    """Where each stage ends, on the scale of `curve`."""
    last = {float(row["stage"]): float(row["block"]) for row in of_step(one, newest(one)) if row["block"]}
    return [block / max(last.values()) for block in last.values()]


def draw(found: Sequence[Diagnosis]) -> Figure:
    """R^2 above, the classifier's error below; a column for each kind of net, a colour for each depth, a line for each
    seed; dotted: before the first step; dashed: the pixels themselves."""
    groups = grouped(found)
    variants = list(dict.fromkeys(group.variant for group in groups))
    colours = colours_of(sorted({group.depth for group in groups}))
    figure = Figure(figsize=(max(1.8 + 3.9 * len(variants), 6.5), 6.8), layout="constrained")
    panels = figure.subplots(2, len(variants), squeeze=False, sharex="col", sharey="row")
    for row, (key, label) in zip(panels, AXES.items(), strict=True):
        row[0].set_ylabel(label)
        for panel, variant in zip(row, variants, strict=True):
            members = [group for group in groups if group.variant == variant]
            for level in sorted({of_pixels(one, key=key) for group in members for one in group.found}):
                panel.axhline(level, **PIXELS)
            for group in members:
                draw_net(panel, group, key=key, colour=colours[group.depth])
            mark_stages(panel, [one for group in members for one in group.found])
            bare(panel)
    for panel, variant in zip(panels[0], variants, strict=True):
        panel.set_title(variant, fontweight="bold")
        panel.set_ylim(-0.02, 1.02)
    for panel in panels[1]:
        panel.set_ylim(bottom=0)
        panel.set_xlabel("read behind stage")
    handles = [Line2D([], [], color=colour, label=f"{depth} layers") for depth, colour in colours.items()]
    handles.append(Line2D([], [], color="0.2", linestyle=":", label="before the first step"))
    handles.append(Line2D([], [], **PIXELS, label="the pixels themselves"))
    labels = [*map(readable, colours.values()), "0.2", "0.2"]
    figure.legend(
        handles=handles, labelcolor=labels, loc="outside upper center", ncols=min(len(handles), 5), frameon=False
    )
    put_caption(figure, caption(found))
    return figure


def draw_net(panel: Axes, group: Group, *, key: str, colour: str) -> None:
    """Each seed's two lines; one where the net is not trained."""
    starts = [(one, 0) for one in group.begun]
    for one, step in [*starts, *((one, group.newest) for one in group.found if group.newest)]:
        where, values = curve(one, step=step, key=key)
        when = "before the first step" if step == 0 else f"step {step:,}"
        panel.plot(
            where,
            values,
            ":" if step == 0 else "-",
            color=colour,
            linewidth=1.2 if step == 0 else 1.5,
            url=f"{group.name} seed {one.subject.seed}, {when}",
        )


def mark_stages(panel: Axes, found: Sequence[Diagnosis]) -> None:
    """Where stages end, if they do so at the same places in all nets: those of ImageNet's nets do not."""
    places = {tuple(np.round(stage_ends(one), 3)) for one in found}
    ends = [*places.pop()] if len(places) == 1 else []
    for end in ends[:-1]:
        panel.axvline(end, color="0.85", linewidth=0.8, zorder=0)
    panel.set_xticks(
        [0, *ends] if ends else [0, 1], ["stem", *map(str, range(1, len(ends) + 1))] if ends else ["stem", "last"]
    )
    panel.set_xlim(-0.01, 1.01)


def levels(groups: Sequence[Group], *, first: bool = False) -> str:
    """`0.31 (plain20) and 0.05 (plain56)`: the mean R^2 of each net's last block; empty if there is none."""
    means = [(group.name, [*at_end(group, key="r2", first=first).values()]) for group in groups]
    return listed([f"{np.mean(values):.2f} ({name})" for name, values in means if values])


def compared(plain: Group, other: Group, *, key: str = "r2", first: bool = False, stage: int | None = None) -> str:
    """`0.24 less than resnet56 (95 % interval 0.20 to 0.28, 3 seeds)`, said of the plain net, over the seeds that both
    have; where the interval holds 0 it says so. Empty if they share no seed."""
    mine, others = (at_end(group, key=key, first=first, stage=stage) for group in (plain, other))
    differences = [mine[seed] - others[seed] for seed in sorted(mine.keys() & others.keys())]
    if not differences:
        return ""
    form, unit = ("{:.2f}".format, "") if key == "r2" else ("{:.1f}".format, " points")
    size, word, known = difference_text(differences, form=form)
    return f"{size}{unit} {word} than {other.name} ({known})"


def sentence(found: Sequence[Diagnosis]) -> str:
    """What the last block of each net still tells, now and at the start; and the deepest
    plain net against its residual twin of each kind: image, end of the first stage, class."""
    groups = grouped(found)
    trained = any(newest(one) > 0 for one in found)
    text = []
    if now := levels(groups):
        pixels = f"{np.mean([of_pixels(one, key='r2') for one in found]):.2f}"
        text.append(
            f"From the last block's output a linear reader explains this share of the image's variance: {now};"
            f" from the pixels themselves {pixels}."
        )
    if trained and (start := levels(groups, first=True)):
        text.append(f"Before the first step it was {start}.")
    pairs = sorted(twins(groups), key=lambda pair: pair[0].depth)
    deepest = {other.variant: (plain, other) for plain, other in pairs}  # the last one stays
    for plain, other in deepest.values():
        text += against(plain, other, trained=trained)
    if broken := [group.name for group in groups if len(at_end(group, key="r2")) < len(group.found)]:
        text.append(f"Some seeds of {listed(broken)} are left out: their numbers are not finite.")
    return " ".join(text)


def against(plain: Group, other: Group, *, trained: bool) -> list[str]:
    """What a plain net's blocks tell less or more than its residual twin's."""
    text = []
    alike = plain.newest == other.newest
    if alike and (now := compared(plain, other)):
        text.append(f"{plain.name}'s last block tells {now}.")
    if trained and (start := compared(plain, other, first=True)):
        who = "it" if text else f"{plain.name}'s last block"
        text.append(f"Before the first step {who} told {start}.")
    if not alike:
        return text
    if stages(plain.found[0]) > 1 and (early := compared(plain, other, stage=1)):
        text.append(f"At the end of stage 1 it tells {early}.")
    if classes := compared(plain, other, key="error"):
        errors = [at_end(group, key="error") for group in (plain, other)]
        shared = errors[0].keys() & errors[1].keys()  # as the difference is
        mine, others = (float(np.mean([of_net[seed] for seed in shared])) for of_net in errors)
        pixels = float(np.mean([of_pixels(one, key="error") for one in (*plain.found, *other.found)]))
        text.append(
            f"A linear classifier errs for {mine:.1f} % of held-out images behind the last block of {plain.name}, for"
            f" {others:.1f} % behind that of {other.name}, and for {pixels:.1f} % on the pixels;"
            f" {plain.name} has {classes}."
        )
    return text


ARGUMENT = Argument(
    "information",
    heading="Do plain layers lose the image?",
    shows=(
        "What a linear reader finds in the output of the stem and of every block, on held-out images: the share of the"
        " image's variance (above) and the error of the class (below). A line a seed; dotted: before the first step;"
        " dashed: the same reader on the pixels. Every layer is read through equally many random mixtures of its units."
    ),
    draw=draw,
    sentence=sentence,
)
