"""The section "Why" of a report: there where something was diagnosed, and nowhere else."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from resnet_exp.runs.diagnostics import Diagnosis, write_diagnosis
from resnet_exp.study.report import write_report as write_bare_report
from resnet_exp.why import report
from resnet_exp.why.report import write_report, write_why
from tests.helpers import make_diagnosis

HEADING = "Do layers of residual nets respond less?"


def responses(name: str, **net: object) -> Diagnosis:
    rows = [{"step": step, "batch_norm": "batch", "layer": n, "std": 1.5} for step in (0.0, 60.0) for n in range(1, 8)]
    return make_diagnosis("responses", name, rows, **net)


@pytest.fixture
def diagnosed(study: Path) -> Path:
    write_diagnosis(study / "plain20" / "seed0", responses("plain20", depth=20, shortcut="none"))
    write_diagnosis(study / "resnet20" / "seed0", responses("resnet20", depth=20))
    return study


def test_the_report_says_why_on_the_page_in_the_summary_and_on_the_screen(diagnosed: Path) -> None:
    out = diagnosed / "report"
    shown = write_report(diagnosed, out=out)
    sentence = "resnet20 responds 1.00 times as strongly as plain20 (1 seed)."
    page = (out / "report.html").read_text()
    why = re.search(r'<section aria-labelledby="heading-why".*?</section>', page, re.DOTALL)
    assert why is not None
    assert why[0].count("<svg") == 1
    assert all(text in why[0] for text in (HEADING, sentence, "figure 7 of arXiv 1512.03385"))
    assert HEADING in shown
    assert sentence in shown
    assert sentence in (out / "summary.md").read_text()
    assert {file.name for file in out.glob("responses.*")} == {"responses.png", "responses.svg", "responses.pdf"}


def test_without_a_diagnosis_the_report_is_the_same_as_ever(study: Path, tmp_path: Path) -> None:
    assert write_report(study, out=tmp_path / "one") == write_bare_report(study, out=tmp_path / "two").replace(
        "two/report.html", "one/report.html"
    )
    one, two = (
        {file.name: file.read_bytes() for file in (tmp_path / name).iterdir() if file.suffix != ".pdf"}
        for name in ("one", "two")
    )
    assert one == two
    assert b"heading-why" not in one["report.html"]


def test_what_cannot_be_read_is_left_out_with_a_warning(diagnosed: Path) -> None:
    (diagnosed / "plain20/seed0/diagnostics/responses.csv").write_text("step\n1\n")
    write_report(diagnosed, out=diagnosed / "report")
    page = (diagnosed / "report" / "report.html").read_text()
    assert "diagnosis left out: " in page
    assert "plain20/seed0/diagnostics/responses.json: missing, damaged" in page
    assert "1.50 (resnet20)." in page


def test_an_argument_that_fails_is_left_out_and_said_so(diagnosed: Path) -> None:
    out = diagnosed / "report"
    gradients = make_diagnosis("gradients", "plain20", [{"step": 0.0, "output": 1.0}], shortcut="none", depth=20)
    write_diagnosis(diagnosed / "plain20" / "seed0", gradients)
    figures = [out / f"{what}.png" for what in ("gradients", "responses")]
    out.mkdir()
    figures[0].touch()
    with pytest.MonkeyPatch.context() as patch:

        def refuse(found: object) -> str:
            raise ValueError("nan among the 3 values: not a finite number\nand a hint")

        broken = [replace(one, draw=refuse) if one.what == "gradients" else one for one in report.ARGUMENTS]
        patch.setattr(report, "ARGUMENTS", broken)
        assert HEADING in write_report(diagnosed, out=out)
        said = write_why(diagnosed, out=out, no_comparison="none was asked for")
    assert "what=gradients left out: nan among the 3 values: not a finite number" in (out / "report.html").read_text()
    assert "what=gradients left out: nan among the 3 values: not a finite number\n" in said
    assert [figure.exists() for figure in figures] == [False, True]


def test_the_figures_of_what_is_not_known_any_more_go(diagnosed: Path) -> None:
    out = diagnosed / "report"
    write_report(diagnosed, out=out)
    assert (out / "responses.svg").exists()
    for file in diagnosed.glob("*/*/diagnostics/*"):
        file.unlink()
    write_report(diagnosed, out=out)
    assert not [*out.glob("responses.*")]
    assert (out / "curves.svg").exists()


def test_who_was_not_trained_as_far_is_named_behind_every_sentence(diagnosed: Path) -> None:
    begun = responses("resnet20", depth=20, seed=1)
    begun = replace(begun, rows=begun.rows[:7], choices={"step": 0})
    write_diagnosis(diagnosed / "resnet20" / "seed1", begun)
    shown = write_report(diagnosed, out=diagnosed / "report")
    assert "responds 1.00 times as strongly as plain20 (1 seed)." in shown
    assert (
        "Seed 1 of resnet20 is left out of what is said after 60 steps: its newest weights are those after 0" in shown
    )


def test_of_runs_that_cannot_be_compared_the_figures_alone_are_drawn(tmp_path: Path) -> None:
    write_diagnosis(tmp_path / "resnet8" / "seed0", responses("resnet8"))
    shown = write_why(tmp_path, out=tmp_path / "report", no_comparison="precision differs")
    text = (tmp_path / "report" / "why.md").read_text()
    assert text.startswith(f"No comparison: precision differs\n\n**{HEADING}**")
    assert f"**{HEADING}** The median layer responds with a standard deviation of 1.50 (resnet8)." in text
    assert text.strip() in shown
    assert (tmp_path / "report" / "responses.svg").exists()
