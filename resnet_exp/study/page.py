"""The report as one HTML page: nothing to fetch, nothing to run, readable on a phone, in the dark and on paper."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from resnet_exp.study.cells import Table
from resnet_exp.study.evaluation_page import EvaluationSection
from resnet_exp.study.statistics import Verdict

TEMPLATES = Path(__file__).with_name("templates")


@dataclass(frozen=True)
class ShownFigure:
    """A figure with its heading.

    Args:
        heading: of the section; under "Why" a question.
        figure: an `<svg>` element.
        shows: what the figure shows, in words; its caption, and what a screen reader is told.
        sentence: what is seen, with the number that decides; a blank line parts paragraphs. Empty: the page says it
            elsewhere.
        more: figures that stand below it under the same heading and sentence; most have none.
    """

    heading: str
    figure: str
    shows: str
    sentence: str = ""
    more: Sequence["ShownFigure"] = ()

    @property
    def all(self) -> list["ShownFigure"]:
        """Itself and those below it."""
        return [self, *self.more]


LONG = 30  # characters; text columns with longer cells are set in several lines


def render(
    *, title: str, verdict: str, study: str, warnings: list[str], figures: Sequence[ShownFigure], tables: list[Table],
    choices: list[tuple[str, str]], environment: list[tuple[str, str]], commands: list[str],
    evaluation: EvaluationSection | None = None, why: Sequence[ShownFigure] = (),
) -> str:  # fmt: skip
    """The page. Every string is plain text but the figures, `<svg>` elements without ids that the page uses.

    What is empty leaves no heading behind.
    """
    engine = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    engine.filters |= {"kinds": column_kinds, "pieces": pieces, "svg": Markup}
    return engine.get_template("report.html.j2").render(
        title=title, verdict=verdict, study=study, warnings=warnings, figures=figures,
        tables=tables, choices=choices, environment=environment, commands=commands, verdicts=tuple(Verdict),
        evaluation=evaluation, why=why,
    )  # fmt: skip


def column_kinds(table: Table) -> list[str]:
    """The CSS class of each column: `number` (with spreads and intervals), `long` for long texts, or none."""
    columns = ([row[index] for row in table.rows] for index in range(1, len(table.header)))
    return ["", *map(column_kind, columns)]  # the first column holds names


def column_kind(cells: list[str]) -> str:
    if not any(character.isalpha() for cell in cells for character in cell):
        return "number"
    return "long" if max(map(len, cells)) > LONG else ""


def pieces(cell: str) -> tuple[str, ...]:
    """What a line may end between: a number and its interval."""
    number = re.fullmatch(r"([^\[]+) (\[[^\]]*\])", cell)
    return number.groups() if number else (cell,)
