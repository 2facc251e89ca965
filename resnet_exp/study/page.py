"""The report as one HTML page: nothing to fetch, nothing to run, readable on a phone, in the dark and on paper."""

import html
import re
from dataclasses import dataclass

from resnet_exp.study.statistics import Verdict

LONG = 30  # characters; text columns with longer cells are set in several lines

# Every pair of text and ground has a contrast of at least 4.5 (WCAG 2.2, 1.4.3); a test computes it.
STYLE = """
:root {
  color-scheme: light dark;
  --paper: #ffffff; --ink: #1b1f24; --muted: #57606a; --rule: #d5dae0; --tint: #f4f6f8; --focus: #0b57d0;
  --warning: #6b4300; --warning-tint: #fff6de; --warning-rule: #b98900;
  --degrades: #8a2c0d; --degrades-tint: #fdeae2;
  --improves: #0b4a82; --improves-tint: #e3effa;
  --inconclusive: #4a525c; --inconclusive-tint: #f4f6f8;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #15181c; --ink: #e4e7ea; --muted: #a2abb5; --rule: #363c44; --tint: #1f2429; --focus: #8ab4f8;
    --warning: #ffd98a; --warning-tint: #2e2610; --warning-rule: #a07b1f;
    --degrades: #ffb59c; --degrades-tint: #431f11;
    --improves: #a3cfff; --improves-tint: #12304d;
    --inconclusive: #c5ccd4; --inconclusive-tint: #2a3037;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; text-size-adjust: 100%; }
body { margin: 0; background: var(--paper); color: var(--ink); overflow-wrap: anywhere;
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", Arial, sans-serif; }
main { max-width: 74rem; margin: 0 auto; padding: 2.5rem 1.25rem 4rem; }
h1 { margin: 0 0 1.25rem; font-size: 1.1rem; line-height: 1.3; font-weight: 600; color: var(--muted); }
h2 { margin: 0 0 .75rem; font-size: 1.2rem; line-height: 1.3; }
section { margin-top: 2.75rem; }
p { margin: 0; max-width: 46rem; }
.verdict { font-size: clamp(1.15rem, 1rem + .7vw, 1.4rem); line-height: 1.4; font-weight: 600; text-wrap: pretty; }
.study { margin-top: 1rem; color: var(--muted); }
.warnings { margin-top: 1.75rem; max-width: 46rem; padding: .9rem 1.1rem;
  border: 1px solid var(--warning-rule); border-radius: 4px; background: var(--warning-tint); color: var(--warning); }
.warnings h2 { margin-bottom: .3rem; font-size: 1rem; }
.warnings ul { margin: 0; padding-left: 1.2rem; }
figure { margin: 0; }
.wide { overflow-x: auto; }
.wide:focus-visible, summary:focus-visible { outline: 2px solid var(--focus); outline-offset: 3px; }
.card { width: fit-content; min-width: 100%; padding: .5rem; background: #fff; border-radius: 4px; }
.card svg { display: block; width: 100%; height: auto; margin: 0 auto; }
figcaption, .note { margin-top: .6rem; max-width: 46rem; font-size: .875rem; color: var(--muted); }
.table + .table { margin-top: 2.25rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .875rem; line-height: 1.45; }
caption { padding-bottom: .4rem; text-align: left; font-size: .9375rem; font-weight: 600; }
caption span { display: inline-block; position: sticky; left: 0; max-width: calc(100vw - 2.5rem); }
th, td { padding: .4rem .6rem; text-align: left; vertical-align: baseline; border-bottom: 1px solid var(--rule); }
thead th { vertical-align: bottom; font-size: .8125rem; color: var(--muted); border-bottom-color: var(--muted);
  font-weight: 600; }
tbody th { font-weight: 600; }
th:first-child { position: sticky; left: 0; padding-left: 0; background: var(--paper); }
th, td { overflow-wrap: normal; }
.number { text-align: right; }
tbody th, td, td.number span { white-space: nowrap; }
td.number, td.long { white-space: normal; }
td.long { min-width: 19rem; font-size: .8125rem; }
.badge { display: inline-block; padding: .05em .6em; border: 1px solid; border-radius: 1em; font-size: .8125rem;
  font-weight: 600; white-space: nowrap; }
.degrades { color: var(--degrades); background: var(--degrades-tint); }
.improves { color: var(--improves); background: var(--improves-tint); }
.inconclusive { color: var(--inconclusive); background: var(--inconclusive-tint); border-style: dashed; }
.more { margin-top: 2.75rem; border-top: 1px solid var(--rule); }
details { border-bottom: 1px solid var(--rule); }
summary { padding: .75rem 0; cursor: pointer; }
summary h2 { display: inline; font-size: 1rem; }
dl { margin: 0; padding-bottom: 1rem; font-size: .9375rem; }
dl div { display: grid; grid-template-columns: 16rem 1fr; gap: 0 1.25rem; padding: .25rem 0; }
dt { color: var(--muted); }
dd { margin: 0; max-width: 46rem; }
pre { margin: 0; padding: .8rem 1rem; border-radius: 4px; background: var(--tint); white-space: pre-wrap;
  font: .875rem/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, "Liberation Mono", monospace; }
pre code { display: block; padding-left: 2ch; text-indent: -2ch; font: inherit; }
@media (max-width: 40rem) {
  main { padding-top: 1.5rem; }
  dl div { grid-template-columns: 1fr; padding: .4rem 0; }
  tbody th { white-space: normal; min-width: 6.5rem; }
}
@media print {
  @page { margin: 15mm; }
  :root { color-scheme: light;
    --paper: #fff; --ink: #000; --muted: #000; --rule: #999; --tint: #fff;
    --warning: #000; --warning-tint: #fff; --warning-rule: #000;
    --degrades: #000; --degrades-tint: #fff; --improves: #000; --improves-tint: #fff;
    --inconclusive: #000; --inconclusive-tint: #fff; }
  html { font-size: 10pt; }
  main { max-width: none; padding: 0; }
  .verdict { font-size: 13pt; }
  section, .more { margin-top: 8mm; }
  .wide { overflow: visible; }
  .card { width: auto; padding: 0; }
  .card svg { min-width: 0 !important; }
  table { width: 100%; font-size: 8.5pt; }
  thead th { font-size: 8pt; }
  thead { display: table-header-group; }
  th, td { padding: 1mm 1.5mm; overflow-wrap: break-word; }
  td { white-space: normal; }
  td.long { min-width: 0; font-size: 8pt; }
  th:first-child { position: static; }
  pre { padding: 0; font-size: 8.5pt; }
  h2, summary, caption, thead { break-after: avoid; }
  figure, .table, tr, .warnings, .note, dl div { break-inside: avoid; }
  summary { list-style: none; }
  summary::-webkit-details-marker { display: none; }
  details::details-content { display: block; content-visibility: visible; block-size: auto; }
}
"""

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<main>
{content}
</main>
</body>
</html>
"""


@dataclass(frozen=True)
class Table:
    """Plain text throughout; the first column holds the rows' names."""

    caption: str
    header: list[str]
    rows: list[list[str]]
    note: str = ""  # shown under the table


def render(
    *, title: str, verdict: str, study: str, warnings: list[str], figure: str, figure_text: str, tables: list[Table],
    choices: list[tuple[str, str]], environment: list[tuple[str, str]], commands: list[str],
) -> str:  # fmt: skip
    """The page. Every string is plain text but `figure`, an `<svg>` element without ids that the page uses.

    `figure_text` says in words what the figure shows; it is the caption, and what a screen reader is told. What is
    empty leaves no heading behind.
    """
    parts = [
        f"<h1>{html.escape(title)}</h1>",
        f'<p class="verdict">{html.escape(verdict)}</p>',
        f'<p class="study">{html.escape(study)}</p>',
        warnings_box(warnings),
        figure_section(figure, text=figure_text),
        tables_section(tables),
        details(choices=choices, environment=environment),
        commands_section(commands),
    ]
    return PAGE.format(title=html.escape(title), style=STYLE, content="\n".join(part for part in parts if part))


def section(content: str, *, name: str, heading: str, css: str = "") -> str:
    """A part of the page under its heading; `heading-NAME` is the heading's id."""
    opening = f'<section aria-labelledby="heading-{name}"' + (f' class="{css}">' if css else ">")
    return f'{opening}\n<h2 id="heading-{name}">{html.escape(heading)}</h2>\n{content}\n</section>'


def warnings_box(warnings: list[str]) -> str:
    if not warnings:
        return ""
    items = "\n".join(f"<li>{html.escape(warning)}</li>" for warning in warnings)
    heading = "Warning" if len(warnings) == 1 else "Warnings"
    return section(f"<ul>\n{items}\n</ul>", name="warnings", heading=heading, css="warnings")


def figure_section(figure: str, *, text: str) -> str:
    """The figure on its own light ground; a picture to screen readers, whose parts are not read out one by one."""
    names = 'aria-labelledby="heading-curves" aria-describedby="caption-curves"'
    picture = f'<div class="card" role="img" {names}>{figure}</div>'
    box = scrolling(picture, labelled_by="heading-curves")
    caption = f'<figcaption id="caption-curves">{html.escape(text)}</figcaption>'
    return section(f"<figure>\n{box}\n{caption}\n</figure>", name="curves", heading="Error curves")


def scrolling(content: str, *, labelled_by: str) -> str:
    """What may be wider than a phone, in a box that scrolls by itself, by keyboard too."""
    return f'<div class="wide" role="region" aria-labelledby="{labelled_by}" tabindex="0">{content}</div>'


def tables_section(tables: list[Table]) -> str:
    content = "\n".join(table_box(table, name=f"caption-{number}") for number, table in enumerate(tables, start=1))
    return section(content, name="numbers", heading="Numbers") if tables else ""


def table_box(table: Table, *, name: str) -> str:
    """A table, and its note; columns of numbers are set to the right. `name` is the id of its caption."""
    css = ["", *(column_class([row[index] for row in table.rows]) for index in range(1, len(table.header)))]
    lines = ["<table>", f'<caption id="{name}"><span>{html.escape(table.caption)}</span></caption>', "<thead><tr>"]
    for cell, kind in zip(table.header, css, strict=True):
        lines.append(f'<th scope="col"{kind}>{html.escape(cell)}</th>')
    lines.append("</tr></thead>\n<tbody>")
    for first, *others in table.rows:
        cells = [f"<td{kind}>{marked(cell)}</td>" for cell, kind in zip(others, css[1:], strict=True)]
        lines.append(f'<tr><th scope="row">{html.escape(first)}</th>{"".join(cells)}</tr>')
    box = scrolling("\n".join([*lines, "</tbody>\n</table>"]), labelled_by=name)
    note = f'\n<p class="note">{html.escape(table.note)}</p>' if table.note else ""
    return f'<div class="table">{box}{note}</div>'


def column_class(cells: list[str]) -> str:
    """The attribute that sets a column of numbers (with their spreads and intervals) apart from one of words."""
    if not any(character.isalpha() for cell in cells for character in cell):
        return ' class="number"'
    return ' class="long"' if max(map(len, cells)) > LONG else ""


def marked(cell: str) -> str:
    """A verdict as a badge; a number and its interval each in one piece, so that a line ends between them."""
    text = html.escape(cell)
    if cell in tuple(Verdict):
        return f'<span class="badge {text}">{text}</span>'
    number = re.fullmatch(r"([^\[]+) (\[[^\]]*\])", text)
    pieces = number.groups() if number else (text,)
    return " ".join(f"<span>{piece}</span>" for piece in pieces)


def details(*, choices: list[tuple[str, str]], environment: list[tuple[str, str]]) -> str:
    parts = []
    for heading, pairs in (("Recorded choices", choices), ("Environment", environment)):
        if pairs:
            items = "\n".join(f"<div><dt>{html.escape(k)}</dt><dd>{html.escape(v)}</dd></div>" for k, v in pairs)
            parts.append(f"<details>\n<summary><h2>{heading}</h2></summary>\n<dl>\n{items}\n</dl>\n</details>")
    return '<div class="more">\n' + "\n".join(parts) + "\n</div>" if parts else ""


def commands_section(commands: list[str]) -> str:
    lines = "".join(f"<code>{html.escape(command)}\n</code>" for command in commands)
    return section(f"<pre>{lines}</pre>", name="commands", heading="Commands to repeat it") if commands else ""
