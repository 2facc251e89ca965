"""The study's report with its section "Why": every argument for which something was measured in the study's folder."""

from pathlib import Path

from resnet_exp.files import replace_text
from resnet_exp.study import report
from resnet_exp.study.figure import FORMATS, save
from resnet_exp.study.page import ShownFigure
from resnet_exp.study.statistics import MARGIN
from resnet_exp.study.svg import embeddable
from resnet_exp.why import branches, gradients, grow, information, lesion, responses, surface
from resnet_exp.why.argument import Argument, Drawing, Found

ARGUMENTS: tuple[Argument, ...] = tuple(
    module.ARGUMENT for module in (responses, gradients, branches, lesion, information, surface)
)


def write_report(*folders: Path, out: Path, mix: bool = False, margin: float = MARGIN) -> str:
    """`study.report.write_report`, and why."""
    return report.write_report(
        *folders, out=out, mix=mix, margin=margin, explain=lambda: draw_arguments(*folders, out=out, margin=margin)
    )


def draw_arguments(*folders: Path, out: Path, margin: float = MARGIN) -> tuple[list[ShownFigure], list[str]]:
    """Draws into `out` the figures of every argument for which something was found.

    An argument for which nothing was found, or that fails, is left out, and its earlier figures go: the others and the
    report do without it.

    Args:
        margin: points of training error within which a difference does not matter.

    Returns:
        What the page shows of each; and what is left out and why, a line each.

    Raises:
        OSError: `out` cannot be written.
    """
    shown, left_out = [], []
    for argument in (*ARGUMENTS, grow.argument(margin=margin)):
        found, unread = argument.find(folders, argument.what)
        left_out += unread
        if found:
            try:
                shown.append(argue(argument, found, out=out))
                continue
            except ValueError as error:  # of numbers that no figure or sentence can be made of
                left_out.append(f"what={argument.what} left out: {str(error).splitlines()[0]}")
        for name in (argument.what, *(drawing.name for drawing in argument.more)):
            remove(name, out=out)
    return shown, left_out


def argue(argument: Argument, found: Found, *, out: Path) -> ShownFigure:
    """Draws the figures of an argument into `out`: what the page shows of it."""
    svg = embeddable(save(argument.draw(found), out / argument.what), prefix=f"{argument.what}-")
    more = [figure for drawing in argument.more if (figure := drawn(drawing, found, out=out))]
    return ShownFigure(argument.heading, svg, argument.shows, argument.said(found), more)


def remove(name: str, *, out: Path) -> None:
    """Removes a figure from `out`, if it is there."""
    for suffix in FORMATS:
        (out / f"{name}.{suffix}").unlink(missing_ok=True)


def drawn(drawing: Drawing, found: Found, *, out: Path) -> ShownFigure | None:
    """Draws a further figure into `out`; None if it has nothing to show, and an earlier one goes."""
    figure = drawing.draw(found)
    if figure is None:
        remove(drawing.name, out=out)
        return None
    svg = save(figure, out / drawing.name)
    return ShownFigure("", embeddable(svg, prefix=f"{drawing.name}-"), drawing.shows)


def write_why(*folders: Path, out: Path, no_comparison: str) -> str:
    """The figures alone, and `why.md` with the sentences: of runs that no comparison is made of.

    Args:
        no_comparison: why there is none. Runs that are refused for their settings are pooled here all the same, so
            whoever reads the sentences must know.

    Returns:
        What belongs on the screen.
    """
    out.mkdir(parents=True, exist_ok=True)
    shown, left_out = draw_arguments(*folders, out=out)
    paragraphs = [f"No comparison: {no_comparison}", *(f"**{one.heading}** {one.sentence}" for one in shown)]
    text = "\n".join(["\n\n".join(paragraphs), *left_out, ""])
    replace_text(out / "why.md", text)
    return f"\n{text}\nwhy: {out / 'why.md'}"
