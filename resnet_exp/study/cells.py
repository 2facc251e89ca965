"""A table as plain text, how numbers are written in it, and the table in Markdown."""

from dataclasses import dataclass

from resnet_exp.study.statistics import Difference, Estimate


@dataclass(frozen=True)
class Table:
    """Plain text throughout; the first column holds the rows' names."""

    caption: str
    header: list[str]
    rows: list[list[str]]
    note: str = ""  # shown under the table


def estimate_cell(estimate: Estimate | None) -> str:
    """`7.40 ± 0.24 [7.10, 7.70]`, in %; without what few or equal seeds leave unknown."""
    if estimate is None:
        return "-"
    spread = "" if estimate.sd is None else f" ± {estimate.sd:.2f}"
    interval = "" if estimate.low is None else f" [{estimate.low:.2f}, {estimate.high:.2f}]"
    return f"{estimate.mean:.2f}{spread}{interval}"


def difference_cell(difference: Difference | None) -> str:
    """`+3.17 [+2.90, +3.44]`, in points of %; the value alone where the interval is not defined."""
    if difference is None:
        return "-"
    interval = "" if difference.low is None else f" [{difference.low:+.2f}, {difference.high:+.2f}]"
    return f"{difference.value:+.2f}{interval}"


def markdown(table: Table) -> str:
    """A table with its caption and its note."""
    return "\n".join(["", f"**{table.caption}**", "", *lines_of(table), "", table.note, ""])


def lines_of(table: Table) -> list[str]:
    """A table in Markdown, its columns aligned for those who read it as it is."""
    rows = [[cell.replace("|", r"\|") for cell in row] for row in (table.header, *table.rows)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |" for row in rows]
    lines.insert(1, "| " + " | ".join("-" * width for width in widths) + " |")
    return lines
