"""What a study's page says of the evaluations beside its runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from resnet_exp.runs.evaluation import FOLDER, Evaluated, read_evaluation
from resnet_exp.study.cells import Table
from resnet_exp.study.evaluation_figures import described
from resnet_exp.study.evaluation_report import FIGURES, NOTE, class_table, numbers_of, percent
from resnet_exp.study.runs import Run
from resnet_exp.study.svg import embeddable

RE_ESTIMATED = "error, re-estimated BN (%)"
COLUMNS = ("run", "step", "images", "error (%)", "top-5 error (%)", "ECE (%)", RE_ESTIMATED)


@dataclass(frozen=True)
class EvaluatedRun:
    """What the page folds away of one run: the errors of its classes, and each figure as `<svg>` with its caption."""

    heading: str
    table: Table
    figures: list[tuple[str, str]]


@dataclass(frozen=True)
class EvaluationSection:
    """A table with a row a run, then each run."""

    table: Table
    runs: list[EvaluatedRun]


def evaluation_section(runs: Sequence[Run]) -> tuple[EvaluationSection | None, list[str]]:
    """The evaluations beside the runs, None if there is none; and which are left out and why, a line each."""
    rows: list[dict[str, str]] = []
    shown: list[EvaluatedRun] = []
    left_out: list[str] = []
    for run in runs:
        folder = run.path / FOLDER
        if not folder.is_dir():
            continue
        try:
            evaluated = read_evaluation(folder)
            part = evaluated_run(evaluated, folder, prefix=f"evaluation-{len(shown)}")
        except ValueError as error:
            left_out.append(f"evaluation left out: {str(error).splitlines()[0]}")
        else:
            rows.append(run_cells(evaluated))
            shown.append(part)
    if not shown:
        return None, left_out
    header = [name for name in COLUMNS if any(name in row for row in rows)]
    table = Table("Test images", header, [[row.get(name, "-") for name in header] for row in rows], NOTE)
    return EvaluationSection(table, shown), left_out


def evaluated_run(evaluated: Evaluated, folder: Path, *, prefix: str) -> EvaluatedRun:
    """One run; `prefix` begins every id in its figures.

    Raises:
        ValueError: a figure is missing or not one of ours.
    """
    figures = []
    for name, shows in FIGURES.items():
        file = folder / f"{name}.svg"
        try:
            svg = embeddable(file.read_text(encoding="utf-8"), prefix=f"{prefix}-{name}-")
        except (OSError, ValueError) as error:
            raise ValueError(f"{file}: missing, damaged or not ours") from error
        figures.append((svg, shows))
    return EvaluatedRun(described(evaluated), class_table(evaluated), figures)


def run_cells(evaluated: Evaluated) -> dict[str, str]:
    """A row of the table, by COLUMNS; what a run does not have is left out."""
    subject, other = evaluated.subject, evaluated.predictions.get("re-estimated")
    cells = {
        "run": subject.called,
        "step": "-" if subject.step is None else f"{subject.step:,}",
        "images": f"{len(evaluated.labels):,}",
    }
    cells |= numbers_of(evaluated, "stored")
    return cells | ({RE_ESTIMATED: percent(other.error)} if other else {})
