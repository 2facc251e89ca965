"""The study's report with its section "Why": every argument for which something was measured in the study's folder."""

from pathlib import Path

from resnet_exp.files import replace_text
from resnet_exp.study import report
from resnet_exp.study.figure import save
from resnet_exp.study.page import ShownArgument
from resnet_exp.study.statistics import MARGIN
from resnet_exp.study.svg import embeddable
from resnet_exp.why import gradients, responses
from resnet_exp.why.argument import Argument
from resnet_exp.why.measured import gather

ARGUMENTS: tuple[Argument, ...] = (responses.ARGUMENT, gradients.ARGUMENT)


def write_report(*folders: Path, out: Path, mix: bool = False, margin: float = MARGIN) -> str:
    """`study.report.write_report`, and why."""
    return report.write_report(
        *folders, out=out, mix=mix, margin=margin, explain=lambda: draw_arguments(*folders, out=out)
    )


def draw_arguments(*folders: Path, out: Path) -> tuple[list[ShownArgument], list[str]]:
    """Draws into `out` the figure of every argument for which something was measured.

    Returns:
        What the page shows of each; and what is left out and why, a line each.

    Raises:
        OSError: `out` cannot be written.
    """
    shown, left_out = [], []
    for argument in ARGUMENTS:
        found, unread = gather(folders, argument.what)
        left_out += unread
        if found:
            save(argument.draw(found), out / argument.what)
            svg = embeddable((out / f"{argument.what}.svg").read_text(encoding="utf-8"), prefix=f"{argument.what}-")
            shown.append(ShownArgument(argument.heading, argument.sentence(found), svg, argument.shows))
    return shown, left_out


def write_why(*folders: Path, out: Path) -> str:
    """The figures alone, and `why.md` with the sentences: of runs that no comparison is made of.

    Returns:
        What belongs on the screen.
    """
    out.mkdir(parents=True, exist_ok=True)
    shown, left_out = draw_arguments(*folders, out=out)
    text = "\n\n".join(f"**{one.heading}** {one.sentence}" for one in shown)
    replace_text(out / "why.md", "\n".join([text, *left_out, ""]))
    return "\n".join(["", text, *left_out, "", f"why: {out / 'why.md'}"])
