"""The figures of one evaluation: confusion matrices, reliability diagrams, the most confused images."""

import textwrap
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.text import Text

from resnet_exp.runs.evaluation import Evaluated, Ints, Predictions
from resnet_exp.study.evaluation import Calibration, calibration_of, confusion_of
from resnet_exp.text import counted

COUNTED = 10  # classes up to which each cell tells its number of images
NAMED = 30  # classes up to which each is named; of more, NAMED_OF_MANY evenly spread ones are
NAMED_OF_MANY = 20
LONGEST = 16  # characters of a name in a figure
BAR, GAP, EDGE = "#56B4E9", "#D55E00", "#0072B2"
SHARP = 100  # pixels a side up to which images are drawn pixel by pixel
IN_A_ROW = 5  # images
SMALL: Any = {"fontsize": 8.5, "color": "0.35"}


def described(evaluated: Evaluated) -> str:
    """Which run, which weights, which images: what stands under every figure."""
    subject, images = evaluated.subject, len(evaluated.labels)
    weights = subject.weights if subject.step is None else f"step {subject.step:,}"
    shown = f"{counted(images, 'test image')} of {len(evaluated.classes)} classes"
    return f"{subject.called}, {weights} · {subject.data}, {shown}"


def panel_titles(evaluated: Evaluated) -> dict[str, str]:
    """What each BN mode is called; a net without BN has nothing to tell apart."""
    modes = list(evaluated.predictions)
    return {mode: f"{mode} BN statistics" if len(modes) > 1 else "" for mode in modes}


def shortened(name: str) -> str:
    """A long name without its middle: many differ at their ends alone."""
    half = LONGEST // 2
    return name if len(name) <= LONGEST else f"{name[: half - 1]}…{name[-half:]}"


def plain_text(figure: Figure) -> Figure:
    """The figure, in which a dollar in a name is a dollar and begins no formula."""
    for text in figure.findobj(Text):
        text.set_parse_math(False)
    return figure


def draw_confusion(evaluated: Evaluated) -> Figure:
    """A matrix for each BN mode, true classes in rows; colours are shares of a row, numbers are images."""
    num_classes, titles = len(evaluated.classes), panel_titles(evaluated)
    side = float(np.interp(num_classes, [2, COUNTED, NAMED], [3.4, 4.6, 6.2]))
    figure = Figure(figsize=(2.6 + side * len(titles), side + 2.1), layout="compressed")
    panels = np.atleast_1d(figure.subplots(1, len(titles), sharey=True))
    for panel, (mode, title) in zip(panels, titles.items(), strict=True):
        predictions = evaluated.predictions[mode]
        confusion = confusion_of(evaluated.labels, predictions, num_classes=num_classes)
        colours = fill_confusion(panel, confusion)
        error = f"error {predictions.error:.2f} %"
        panel.set_title(f"{title}: {error}" if title else error, fontweight="bold", fontsize=10)
        name_classes(panel, evaluated.classes)
        panel.set_xlabel("predicted class")
    panels[0].set_ylabel("true class")
    bar = figure.colorbar(colours, ax=list(panels), fraction=0.04, pad=0.01, ticks=[0, 1, 5, 10, 25, 50, 75, 100])
    bar.set_label("share of the true class's images (%)")
    figure.supxlabel(described(evaluated), **SMALL)
    return plain_text(figure)


def fill_confusion(panel: Axes, confusion: Ints) -> Any:
    """Draws a matrix (C, C); what a colour bar needs. A class without images has an empty row."""
    images = confusion.sum(1, keepdims=True)
    share = np.divide(100 * confusion, images, out=np.zeros(confusion.shape), where=images > 0)
    # Under a square root a confusion of 1 % is seen beside a diagonal of 90 %.
    drawn = panel.imshow(share, cmap="Blues", norm=PowerNorm(0.5, 0, 100), interpolation="none")
    if len(confusion) <= COUNTED:
        for (row, column), count in np.ndenumerate(confusion):
            if count:
                colour = "white" if share[row, column] > 35 else "0.15"
                size = 8.5 if confusion.max() < 1000 else 7
                panel.text(column, row, f"{count:,}", ha="center", va="center", color=colour, fontsize=size)
    return drawn


def name_classes(panel: Axes, classes: list[str]) -> None:
    step = 1 if len(classes) <= NAMED else -(-len(classes) // NAMED_OF_MANY)
    places = range(0, len(classes), step)
    names = [shortened(classes[place]) for place in places]
    size = 9 if len(classes) <= COUNTED else 7
    panel.set_xticks(places, names, rotation=90, fontsize=size)
    panel.set_yticks(places, names, fontsize=size)


def draw_reliability(evaluated: Evaluated) -> Figure:
    """Accuracy against confidence in 15 bins, and how many images each holds (arXiv 1706.04599, figure 1)."""
    titles = panel_titles(evaluated)
    figure = Figure(figsize=(0.8 + 4.2 * len(titles), 5.4), layout="constrained")
    panels = figure.subplots(2, len(titles), sharex=True, sharey="row", squeeze=False, height_ratios=[3, 1])
    for (upper, lower), (mode, title) in zip(panels.T, titles.items(), strict=True):
        calibration = calibration_of(evaluated.predictions[mode])
        fill_reliability(upper, calibration)
        fill_histogram(lower, calibration, evaluated.predictions[mode])
        ece = f"ECE {calibration.ece:.2f} %" if np.isfinite(calibration.ece) else "ECE not defined"
        upper.set_title(f"{title}: {ece}" if title else ece, fontweight="bold", fontsize=10)
        lower.set_xlabel("confidence (%)")
        for panel in (upper, lower):
            panel.set_xlim(0, 100)
            panel.spines[["top", "right"]].set_visible(False)
    panels[0, 0].set_ylabel("accuracy (%)")
    panels[0, 0].legend(loc="upper left", framealpha=0.9, edgecolor="none", fontsize=9)
    panels[1, 0].set_ylabel("images (%)")
    figure.supxlabel(described(evaluated), **SMALL)
    return plain_text(figure)


def fill_reliability(panel: Axes, calibration: Calibration) -> None:
    """The bars of the bins that hold images, and where their tops should be; a bar's url is its tooltip, see `svg`."""
    panel.plot([0, 100], [0, 100], "--", color="0.45", linewidth=1, label="calibrated")
    for index in np.flatnonzero(calibration.images):
        low, high = 100 * calibration.edges[index : index + 2]
        accuracy, confidence = 100 * calibration.accuracy[index], 100 * calibration.confidence[index]
        title = (
            f"confidence {low:.1f} to {high:.1f} %: {calibration.images[index]:,} images,"
            f" mean confidence {confidence:.2f} %, {accuracy:.2f} % right"
        )
        panel.bar(low, accuracy, high - low, align="edge", color=BAR, edgecolor=EDGE, linewidth=0.8, url=title)
        panel.plot([low, high], [confidence] * 2, color=GAP, linewidth=2, url=title)
    panel.bar(0, 0, color=BAR, edgecolor=EDGE, linewidth=0.8, label="accuracy")
    panel.plot([], [], color=GAP, linewidth=2, label="mean confidence")
    panel.set_ylim(0, 100)


def fill_histogram(panel: Axes, calibration: Calibration, predictions: Predictions) -> None:
    share = 100 * calibration.images / len(predictions.rank)
    width = 100 * np.diff(calibration.edges)
    panel.bar(100 * calibration.edges[:-1], share, width, align="edge", color="0.75", edgecolor="0.45", linewidth=0.8)


def draw_most_confused(evaluated: Evaluated) -> Figure:
    """The images that are wrong with the highest confidence: true class, predicted class, confidence."""
    count = len(evaluated.confused)
    rows = -(-count // IN_A_ROW)
    figure = Figure(figsize=(8.5, 0.9 + 2.05 * rows), layout="constrained")
    stored = evaluated.predictions["stored"]
    for panel in figure.subplots(rows, IN_A_ROW).flat if rows else ():
        panel.set_axis_off()
    for panel, index, pixels in zip(figure.axes, evaluated.confused, evaluated.pixels, strict=False):
        panel.imshow(pixels, interpolation="none" if len(pixels) <= SHARP else "auto")
        true, predicted = (evaluated.classes[of[index]] for of in (evaluated.labels, stored.predicted))
        confidence = f"{100 * stored.confidence[index]:.1f} %"
        panel.set_title(f"{shortened(true)}\n→ {shortened(predicted)}\n{confidence}", fontsize=8.5)
    wrong = int((stored.rank > 1).sum())
    how = panel_titles(evaluated)["stored"]
    title = f"{count} of {wrong:,} wrong images, the most confident first: true → predicted class"
    title = " · ".join(filter(None, [title if count else "no image is wrong", how]))
    figure.suptitle(title, fontweight="bold", fontsize=10)
    figure.supxlabel(textwrap.fill(described(evaluated), 110), **SMALL)
    return plain_text(figure)
