"""The recorded studies: their report, computed anew, has the numbers that were recorded."""

import csv
import math
from pathlib import Path

import pytest

from resnet_exp.analysis import load_runs
from resnet_exp.report import write_report
from tests.conftest import ROOT

REFERENCE = ROOT / "outputs" / "reference"
STUDIES = sorted(folder.name for folder in REFERENCE.iterdir() if folder.is_dir())


def cells(file: Path) -> list[list[str]]:
    with file.open() as lines:
        return list(csv.reader(lines))


def alike(one: str, other: str) -> bool:
    """The same text, or the same number but for its last digits."""
    try:
        return one == other or math.isclose(float(one), float(other), rel_tol=1e-9)
    except ValueError:
        return False


@pytest.mark.parametrize("study", STUDIES)
def test_a_recorded_report_is_computed_anew(study: str, tmp_path: Path) -> None:
    recorded = REFERENCE / study / "report"
    write_report(REFERENCE / study, out=tmp_path)
    assert (tmp_path / "summary.md").read_text() == (recorded / "summary.md").read_text()
    for row, again in zip(cells(recorded / "summary.csv"), cells(tmp_path / "summary.csv"), strict=True):
        assert all(map(alike, row, again)), (row, again)
        assert len(row) == len(again)


@pytest.mark.parametrize("study", STUDIES)
def test_a_record_is_whole(study: str) -> None:
    folder = REFERENCE / study
    for run in load_runs(folder):
        assert {file.name for file in run.path.iterdir()} == {"config.yaml", "metrics.csv", "summary.json"}
        assert run.finished
        assert run.metrics["step"][-1] == run.summary["steps"]
        assert "JPEG q75 copy" in run.summary["dataset"]["name"]
    report = {"curves.pdf", "curves.png", "curves.svg", "report.html", "summary.csv", "summary.md"}
    assert {file.name for file in (folder / "report").iterdir()} == report
    machine = (folder / "MACHINE.md").read_text()
    for part in ("## Hardware", "## Versions", "## Commands", "## Wall time", "## What went wrong"):
        assert part in machine
