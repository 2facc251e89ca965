"""What every argument of the section "Why" consists of."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from resnet_exp.runs.diagnostics import Diagnosis


@dataclass(frozen=True)
class Drawing:
    """A further figure of an argument.

    Args:
        name: of its files.
        shows: what it shows, in words; its caption, and what a screen reader is told.
        draw: the figure; None where nothing was measured that it could show.
    """

    name: str
    shows: str
    draw: Callable[[Sequence[Diagnosis]], Figure | None]


@dataclass(frozen=True)
class Argument:
    """How the answers to one question are shown.

    Args:
        what: the question; its figure is called so, too.
        heading: of its part of the page, a question.
        shows: what the figure shows, in words; its caption, and what a screen reader is told.
        draw: the figure that compares all nets.
        sentence: what is seen, with the number that decides.
        more: figures that stand below the first; most arguments need none.
    """

    what: str
    heading: str
    shows: str
    draw: Callable[[Sequence[Diagnosis]], Figure]
    sentence: Callable[[Sequence[Diagnosis]], str]
    more: Sequence[Drawing] = ()
