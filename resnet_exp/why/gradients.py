"""Do gradients vanish on their way back? Their size at every layer, what theory says of it, and what it means for the
weights."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from resnet_exp.runs.diagnostics import Diagnosis
from resnet_exp.study.figure import bare, colours_of, key_of_depths, put_caption, wide_figure
from resnet_exp.text import counted
from resnet_exp.why.argument import Argument
from resnet_exp.why.growth import (
    back,
    change,
    forth,
    growth,
    prediction,
    relative,
    relative_at_first,
    weights_grew,
)
from resnet_exp.why.measured import Floats, Group, caption, column, grouped, listed, steps_of, twins
from resnet_exp.why.ratios import Over, by_seed, number, over_seeds

FIRST, NEWEST = 0, -1  # of the steps that were measured
ROWS: tuple[tuple[str, Callable[..., Floats]], ...] = (
    ("gradient\nat the layer's output", partial(column, key="output")),
    ("response, rms", partial(column, key="response")),
    ("gradient of the weights\nin units of the weights", relative),
)


def draw(found: Sequence[Diagnosis]) -> Figure:
    """A row for each of ROWS, a column for each kind of net, a colour for each depth, a line for each seed: solid at
    the first step that was measured, dashed at the newest; with what theory says of the gradient in the deepest net."""
    groups = grouped(found)
    variants = list(dict.fromkeys(group.variant for group in groups))
    colours = colours_of(sorted({group.depth for group in groups}))
    figure = wide_figure(len(variants), height=8.4)
    panels = figure.subplots(len(ROWS), len(variants), squeeze=False, sharey="row", sharex="col")
    for of_kind, variant in zip(panels.T, variants, strict=True):
        members = [group for group in groups if group.variant == variant]
        for group in members:
            for panel, (_, numbers) in zip(of_kind, ROWS, strict=True):
                draw_net(panel, group, numbers, colour=colours[group.depth])
        draw_prediction(of_kind[0], members[-1])
        of_kind[0].set_title(variant, fontweight="bold", pad=20)  # what theory says stands below
        of_kind[-1].set_xlabel("layer, in order")
    for row, (label, _) in zip(panels, ROWS, strict=True):
        row[0].set_ylabel(label)
        shown = [number for panel in row for line in panel.lines for number in line.get_ydata()]
        for panel in row:
            panel.set_yscale("log")
            if not np.isfinite(shown).any():  # of nets that diverged; a logarithmic axis has no limits of its own
                panel.set_ylim(0.1, 10)
            panel.set_xlim(left=0)
            bare(panel)
    key_of_depths(figure, colours)
    put_caption(figure, caption(found))
    return figure


def on_a_log_scale(line: Floats) -> Floats:
    """With gaps where a number is zero or none."""
    return np.where(np.isfinite(line) & (line > 0), line, np.nan)


def draw_net(panel: Axes, group: Group, numbers: Callable[..., Floats], *, colour: str) -> None:
    begins = [(one, steps_of(one)[0], "-") for one in group.begun]
    ends = [(one, group.newest, "--") for one in group.found if group.newest > steps_of(one)[0]]
    for one, step, style in [*begins, *ends]:
        line = on_a_log_scale(numbers(one, step=step))
        url = f"{group.name} seed {one.subject.seed}, {after(step)}"
        panel.plot(np.arange(1, len(line) + 1), line, style, color=colour, linewidth=1.3, url=url)


def draw_prediction(panel: Axes, group: Group) -> None:
    """From the last layer of a net back, before the first step."""
    predicted, start = prediction(group), column(group.found[0], "output", step=0)
    if predicted is None or not len(start):
        return
    layers = np.arange(1, len(start) + 1)
    line = on_a_log_scale(start[-1] * predicted.factor ** (len(start) - layers))
    panel.plot(layers, line, "-.", color="0.35", linewidth=1.1, label=f"{predicted.factor:.3f} a layer: {predicted.of}")
    panel.legend(frameon=False, fontsize=7.5, loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0)


# The sentence


def after(step: int) -> str:
    return f"after {counted(step, 'step')}" if step else "before the first step"


def of_seeds(
    found: Sequence[Diagnosis],
    quantity: Callable[..., float],
    *,
    at: int = FIRST,
    form: Callable[[float], str] = number,
) -> Over | None:
    """A number over these seeds of a net, at the first step that was measured or at the newest."""
    return over_seeds([quantity(one, step=steps_of(one)[at]) for one in found], form=form)


def of_variant(groups: Sequence[Group]) -> str:
    """What is seen in the nets of one kind, the deepest last."""
    deepest, start = groups[-1], after(steps_of(groups[-1].found[0])[0])
    last = of_seeds(deepest.begun, back)
    if last is None:
        text = [f"In {deepest.name} the gradient is zero or not finite at the first or the last layer {start}."]
    else:
        others = [f"{over.text} ({group.name})" for group in groups[:-1] if (over := of_seeds(group.begun, back))]
        shown = listed([*others, f"{last.text} ({deepest.name}; {last.known})"])
        text = [f"On its way back through {deepest.name} the gradient {change(last.mean)}:"]
        text.append(f"{start}, at the output of the first layer, it is {shown} times as large as at that of the last.")
    if factor := of_seeds(deepest.begun, growth, form="{:.3f}".format):
        predicted = prediction(deepest)
        theory = f"; theory has {predicted.factor:.3f} for {predicted.of}" if predicted else ""
        text.append(f"Inside the stages each layer hands back {factor.text} times as much ({factor.known}){theory}.")
    if forward := of_seeds(deepest.begun, forth):
        times = f"the last layer responds {forward.text} times as strongly as the first ({forward.known})"
        text.append(f"On the way forward the signal {change(forward.mean)}: {times}.")
    return " ".join([*text, *trained(deepest)])


def trained(group: Group) -> list[str]:
    """How it goes on in a net that was trained; the beginning, too, is that of the seeds that tell of the end."""
    if len(steps_of(group.found[0])) == 1:
        return []
    then = after(group.newest).capitalize()
    text = [f"{then} the gradient is zero or not finite at the first or the last layer."]
    if over := of_seeds(group.found, back, at=NEWEST):
        text = [f"{then} the gradient at the first layer is {over.text} times that at the last ({over.known})."]
    grew = of_seeds(group.found, weights_grew, at=NEWEST)
    before, now = (of_seeds(group.found, relative_at_first, at=at) for at in (FIRST, NEWEST))
    if grew and before and now:
        size = f"the first layer's weights are {grew.text} times as large as they were ({grew.known})"
        text.append(
            f"By then {size}, and their gradient, in units of the weights, {now.text} instead of {before.text}."
        )
    return text


def compared(plain: Group, other: Group) -> str:
    """In which of two twins the gradient grows more on its way back, and how much more."""
    for more, less in ((plain, other), (other, plain)):
        sizes = [{one.subject.seed: back(one, step=steps_of(one)[FIRST]) for one in net.begun} for net in (more, less)]
        over = over_seeds(by_seed(*sizes))
        if over and over.mean >= 1:
            return (
                f"So {after(steps_of(plain.found[0])[FIRST])} the ratio of the first layer's gradient to the last's is"
                f" {over.text} times as large in {more.name} as in {less.name} ({over.known})."
            )
    return ""


def sentence(found: Sequence[Diagnosis]) -> str:
    """What each kind of net shows, a paragraph each, and the deepest plain nets beside their twins."""
    groups = grouped(found)
    variants = list(dict.fromkeys(group.variant for group in groups))
    text = [of_variant([group for group in groups if group.variant == variant]) for variant in variants]
    pairs = twins(groups)
    deepest = max((plain.depth for plain, _ in pairs), default=0)
    text += [compared(plain, other) for plain, other in pairs if plain.depth == deepest]
    return "\n\n".join(filter(None, text))


ARGUMENT = Argument(
    "gradients",
    heading="Do gradients vanish?",
    shows=(
        "Above: the size of the loss gradient at each layer's output. Middle: the root mean square of each layer's"
        " response, after BN and before ReLU or addition. Below: the size of the gradient of each layer's weights, in"
        " units of the weights. All on the batch of the next update, in training mode. A line a seed; solid: before the"
        " first step; dashed: at the newest checkpoint; grey: by what factor theory lets the gradient grow before the"
        " first step, from the last layer of the deepest net back. Logarithmic scales: what is zero or not finite is"
        " left out."
    ),
    draw=draw,
    sentence=sentence,
)
