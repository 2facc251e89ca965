"""What every argument of the section "Why" consists of."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from resnet_exp.why.measured import gather, left_out

Found = Sequence[Any]  # what an argument is made of: diagnoses, or runs as the study reads them


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
    draw: Callable[[Found], Figure | None]


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
        find: from folders and the question, what was found at or below them, and what is left out and why, a line
            each; by default the diagnoses that answer it.
        apart: what of that the sentence does not speak of and why, behind it; empty if it speaks of everything.
    """

    what: str
    heading: str
    shows: str
    draw: Callable[[Found], Figure]
    sentence: Callable[[Found], str]
    more: Sequence[Drawing] = ()
    find: Callable[[Sequence[Path], str], tuple[Found, list[str]]] = gather
    apart: Callable[[Found], str] = left_out

    def said(self, found: Found) -> str:
        """The sentence and, a paragraph of its own, what it does not speak of."""
        return "\n\n".join(filter(None, [self.sentence(found), self.apart(found)]))
