"""Evaluations on the page of a study: numbers, figures, and what is no evaluation."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from resnet_exp.runs.evaluation import Subject, write_evaluation
from resnet_exp.study.evaluation import calibration_of
from resnet_exp.study.evaluation_page import evaluation_section
from resnet_exp.study.evaluation_report import FIGURES, draw_evaluation
from resnet_exp.study.report import write_report
from resnet_exp.study.svg import embeddable
from tests.helpers import load_runs, make_evaluated

TEN = tuple(f"class{index}" for index in range(10))


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An evaluation with its figures, to be copied."""
    folder = tmp_path_factory.mktemp("drawn")
    write_evaluation(folder, make_evaluated())
    draw_evaluation(folder)
    return folder


def put(drawn: Path, run: Path, **changes: object) -> None:
    """Gives a run that evaluation, changed as said but for its figures."""
    folder = run / "evaluation"
    write_evaluation(folder, replace(make_evaluated(), **changes))
    for name in FIGURES:
        (folder / f"{name}.svg").write_bytes((drawn / f"{name}.svg").read_bytes())


def page_of(study: Path) -> str:
    write_report(study, out=study / "report")
    return (study / "report" / "report.html").read_text()


def test_a_page_without_evaluations_says_nothing_of_them(study: Path) -> None:
    assert evaluation_section(load_runs(study)) == (None, [])
    page = page_of(study)
    assert "valuation" not in page
    assert "<h3" not in page


def test_a_row_and_a_fold_for_each_run_that_was_evaluated(study: Path, drawn: Path) -> None:
    names = [("plain20", 0), ("plain56", 1), ("resnet20", 0)]
    for name, seed in names:
        put(drawn, study / name / f"seed{seed}", subject=Subject(name, seed, "shapes", 300, "newest checkpoint"))
    evaluated = make_evaluated()
    error, ece = evaluated.predictions["stored"].error, calibration_of(evaluated.predictions["stored"]).ece
    again = evaluated.predictions["re-estimated"].error
    section, left_out = evaluation_section(load_runs(study))
    assert left_out == []
    assert section is not None
    assert section.table.header == [*("run", "step", "images", "error (%)", "ECE (%)", "error, re-estimated BN (%)")]
    assert section.table.rows == [
        [f"{name} seed {seed}", "300", "24", f"{error:.2f}", f"{ece:.2f}", f"{again:.2f}"] for name, seed in names
    ]
    page = page_of(study)
    parts = [
        "Numbers</h2>",
        "Evaluation</h2>",
        "<details>",
        "plain56 seed 1, step 300",
        "resnet20 seed 0, step 300",
        "Recorded choices",
    ]
    places = [page.index(part) for part in parts]
    assert places == sorted(places)
    assert page.count("<svg") == 2 + 3 * 3  # curves, depth; three of each run
    assert page.count("<table") == page.count("<caption") >= 4
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    referred = re.findall(r"""(?:url\(|href=")#([^")]+)""", page)
    labels = " ".join(re.findall(r'aria-(?:labelledby|describedby)="([^"]+)"', page)).split()
    assert {*referred, *labels} <= set(ids)
    assert len(referred) > 100


def test_columns_are_those_that_some_run_has(study: Path, drawn: Path) -> None:
    stored = make_evaluated().predictions["stored"]
    put(drawn, study / "plain20" / "seed0", predictions={"stored": stored}, subject=Subject("a", 0, "b", None, "file"))
    section, _ = evaluation_section(load_runs(study))
    assert section is not None
    assert section.table.header == ["run", "step", "images", "error (%)", "ECE (%)"]
    assert section.table.rows[0][1] == "-"
    many = make_evaluated(classes=(*TEN, "more"))
    folder = study / "plain20" / "seed1"
    put(
        drawn, folder, **{key: getattr(many, key) for key in ("labels", "classes", "predictions", "confused", "pixels")}
    )
    section, _ = evaluation_section(load_runs(study))
    assert section is not None
    assert section.table.header[4:] == ["top-5 error (%)", "ECE (%)", "error, re-estimated BN (%)"]
    assert [row[4] == "-" for row in section.table.rows] == [True, False]
    assert [row[6] == "-" for row in section.table.rows] == [True, False]


EVIL_SVG = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1">{}</svg>'


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("evaluation.json", "{"),
        ("predictions.csv", "index\n"),
        ("most_confused.npz", ""),
        ("confusion.svg", None),
        ("confusion.svg", "<svg"),
        ("reliability.svg", EVIL_SVG.format("<script>alert(1)</script>")),
    ],
)
def test_a_damaged_evaluation_is_a_warning_and_no_end(study: Path, drawn: Path, name: str, content: str | None) -> None:
    put(drawn, study / "plain20" / "seed0")
    put(drawn, study / "plain56" / "seed1")
    file = study / "plain20" / "seed0" / "evaluation" / name
    file.unlink()
    if content is not None:
        file.write_text(content)
    section, (left_out,) = evaluation_section(load_runs(study))
    assert left_out.startswith(f"evaluation left out: {file}: missing, damaged")
    assert section is not None
    assert len(section.table.rows) == len(section.runs) == 1
    put(drawn, study / "plain20" / "seed0")
    section, left_out = evaluation_section(load_runs(study))
    assert left_out == []
    assert section is not None
    assert len(section.runs) == 2


def test_what_is_left_out_is_a_warning_on_the_page(study: Path, drawn: Path) -> None:
    put(drawn, study / "plain20" / "seed0")
    (study / "plain20" / "seed0" / "evaluation" / "confusion.svg").unlink()
    page = page_of(study)
    assert "<li>evaluation left out: " in page
    assert "Evaluation</h2>" not in page


@pytest.mark.parametrize(
    "evil",
    [
        "<script>1</script>",
        "<foreignObject/>",
        '<g onclick="x()"/>',
        '<image href="http://example.org/x.png"/>',
        '<image href="data:text/html;base64,AAAA"/>',
        '<use xmlns:xlink="http://www.w3.org/1999/xlink" xlink:href="other.svg#x"/>',
        '<path style="fill: url(http://example.org/x)"/>',
        '<a href="https://example.org"/>',
    ],
)
def test_what_a_page_might_run_or_fetch_is_no_figure(evil: str) -> None:
    with pytest.raises(ValueError, match="not a figure of ours"):
        embeddable(EVIL_SVG.format(evil))
    assert "<path" in embeddable(EVIL_SVG.format('<path d="M 0 0"/><style>* {}</style>'))


def test_ids_of_a_figure_are_prefixed_where_they_stand_and_where_they_are_meant(drawn: Path) -> None:
    svg = (drawn / "confusion.svg").read_text()
    plain, prefixed = embeddable(svg), embeddable(svg, prefix="one-")
    assert prefixed != plain
    assert prefixed.replace("one-", "") == plain
    ids = re.findall(r'\bid="([^"]+)"', prefixed)
    assert ids
    assert all(name.startswith("one-") for name in ids)
    assert set(re.findall(r"""(?:url\(|href=")#([^")]+)""", prefixed)) == set(ids)


def test_names_are_escaped(study: Path, drawn: Path) -> None:
    evil = "<b>&\"'</b>"
    put(drawn, study / "plain20" / "seed0", classes=["cat", evil, "ship"], subject=Subject(evil, 0, evil, 1, evil))
    page = page_of(study)
    assert "<b>" not in page
    assert "&lt;b&gt;" in page
