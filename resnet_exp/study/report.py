"""Run folders in, comparison out: figure, tables, page."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from resnet_exp.config import conf_dir
from resnet_exp.files import replace_text
from resnet_exp.study.arms import Arm, group_arms
from resnet_exp.study.cells import lines_of, markdown
from resnet_exp.study.comparable import check_comparable, choices_of
from resnet_exp.study.curves import draw_curves
from resnet_exp.study.depth_figure import draw_depth
from resnet_exp.study.describe import describe_study, flags
from resnet_exp.study.evaluation_page import evaluation_section
from resnet_exp.study.figure import FORMATS, save
from resnet_exp.study.page import ShownFigure, render
from resnet_exp.study.repeat import repeat, settings_of
from resnet_exp.study.runs import Run, read_study
from resnet_exp.study.statistics import MARGIN
from resnet_exp.study.svg import embeddable
from resnet_exp.study.tables import all_tables, run_table
from resnet_exp.study.verdict import sentence

FIGURE_TEXT = (
    "Training error (thin lines) and test error (bold lines) in % against training steps, a panel for each kind of net,"
    " a colour for each depth. Lines are means over seeds, bands one standard deviation. The numbers are in the tables."
)
DEPTH_TEXT = (
    "Final training error (running, left) and test error (right) in % against the number of layers, a line for each"
    " kind of net. Points are means over seeds, bars 95 % intervals of the mean, which take two seeds. Hollow: a run"
    " diverged or ended at chance."
)


def nothing() -> tuple[list[ShownFigure], list[str]]:
    return [], []


def write_report(
    *folders: Path,
    out: Path,
    mix: bool = False,
    margin: float = MARGIN,
    explain: Callable[[], tuple[list[ShownFigure], list[str]]] = nothing,
) -> str:
    """Reads the run folders at or under `folders` and writes figure, tables and page to `out`.

    Args:
        mix: compare runs although they differ in more than their names say.
        margin: points of training error within which a difference between two nets does not matter.
        explain: draws into `out` what was diagnosed of the runs; what the page shows of it, and what is left out.

    Returns:
        What belongs on the screen: final errors, the verdict, where the rest is.

    Raises:
        ValueError: there is no run folder, or the runs are not comparable.
        OSError: `out` cannot be written.
    """
    runs, left_out = read_study(*folders)
    notes = [f"left out: {reason}" for reason in left_out]
    arms = group_arms(runs)
    mixed = [f"not comparable: {problem}" for problem in check_comparable(runs, arms, mix=mix)]
    study = " · ".join([describe_study(runs, arms), *mixed])
    verdict, tables = sentence(arms, margin=margin), all_tables(arms, margin=margin)
    evaluation, unread = evaluation_section(runs)
    out.mkdir(parents=True, exist_ok=True)
    figures = draw_figures(arms, study=study, out=out)
    why, unexplained = explain()
    replace_text(out / "summary.csv", run_table(runs))
    because = [f"{one.heading} {one.sentence}" for one in why]
    summary = [verdict, "", study, *notes, *map(markdown, tables), *(f"\n{line}" for line in because)]
    replace_text(out / "summary.md", "\n".join(summary))
    page = render(
        title=f"Degradation study: {', '.join(folder.resolve().name for folder in folders)}",
        verdict=verdict,
        study=study,
        warnings=[*flags(runs), *mixed, *notes, *unread, *unexplained],
        figures=figures,
        tables=tables,
        choices=distinct(runs, choices_of),
        environment=distinct(runs, environment_of),
        commands=commands(runs),
        evaluation=evaluation,
        why=why,
    )
    replace_text(out / "report.html", page)
    where = f"comparison: {out / 'report.html'}"
    return "\n".join(
        [study, *notes, "", *lines_of(tables[0]), "", verdict, *(f"\n{line}" for line in because), "", where]
    )


def draw_figures(arms: list[Arm], *, study: str, out: Path) -> list[ShownFigure]:
    """Draws into `out` the curves and, where depths can be compared, errors against depth; an earlier one goes."""
    svg = save(draw_curves(arms, caption=study), out / "curves")
    shown = [ShownFigure("Error curves", embeddable(svg), FIGURE_TEXT)]
    if against_depth := draw_depth(arms, caption=study):
        svg = save(against_depth, out / "depth")
        shown.append(ShownFigure("Error against depth", embeddable(svg, prefix="depth-"), DEPTH_TEXT))
    else:
        for suffix in FORMATS:
            (out / f"depth.{suffix}").unlink(missing_ok=True)
    return shown


def environment_of(run: Run) -> dict[str, Any]:
    return {"device": run.summary.get("device"), **run.summary.get("versions", {})}


def distinct(runs: list[Run], get: Callable[[Run], dict[str, Any]]) -> list[tuple[str, str]]:
    """Each key with the values that the runs have."""
    found: dict[str, dict[str, None]] = {}
    for run in runs:
        for key, value in get(run).items():
            found.setdefault(key, {})[str(value)] = None
    return [(key, " / ".join(values)) for key, values in found.items()]


def commands(runs: list[Run]) -> list[str]:
    """What repeats the study, as far as the run folders hold readable settings."""
    return repeat([settings for run in runs if (settings := settings_of(run.path))], conf=conf_dir())
