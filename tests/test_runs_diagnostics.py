"""The files of a diagnosis: whole or refused."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from resnet_exp.runs.diagnostics import Diagnosis, Row, Subject, read_diagnosis, write_diagnosis
from resnet_exp.runs.folder import RunFolder

SUBJECT = Subject("plain20", 0, {"shortcut": "none"}, "shapes", 100, 8, 6)
ROWS: list[Row] = [{"step": 0, "mode": "batch", "std": 1.25}, {"step": 6, "mode": "a,b", "std": math.inf}]
FOUND = Diagnosis("responses", SUBJECT, {"images": 7}, ROWS)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write_diagnosis(tmp_path / "run", FOUND)
    assert read_diagnosis(tmp_path / "run", "responses") == FOUND
    assert read_diagnosis(tmp_path / "run", "lesion") is None
    assert (tmp_path / "run/diagnostics/responses.csv").read_text() == 'step,mode,std\n0,batch,1.25\n6,"a,b",inf\n'


def test_an_empty_table_is_read(tmp_path: Path) -> None:
    write_diagnosis(tmp_path, replace(FOUND, rows=[], complete=False))
    assert read_diagnosis(tmp_path, "responses") == replace(FOUND, rows=[], complete=False)


@pytest.mark.parametrize("damage", ["table", "no table", "record", "question"])
def test_a_damaged_diagnosis_is_refused(tmp_path: Path, damage: str) -> None:
    write_diagnosis(tmp_path, FOUND)
    table, record = (tmp_path / "diagnostics" / f"responses.{end}" for end in ("csv", "json"))
    if damage == "table":
        table.write_text(table.read_text().replace("1.25", "1.26"))
    elif damage == "no table":
        table.unlink()
    elif damage == "record":
        record.write_text(record.read_text()[:-20])
    else:
        record.write_text(record.read_text().replace('"what": "responses"', '"what": "lesion"'))
    with pytest.raises(ValueError, match="missing, damaged, or of another table\ntask=diagnose writes it anew"):
        read_diagnosis(tmp_path, "responses")


def test_that_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    write_diagnosis(tmp_path, FOUND)
    record = tmp_path / "diagnostics" / "responses.json"
    known = json.loads(record.read_text())
    record.write_text(json.dumps(known | {"schema": 2, "subject": known["subject"] | {"of_then": 1}}))
    with pytest.raises(ValueError, match="schema 2 is of a newer version"):
        read_diagnosis(tmp_path, "responses")


def test_a_killed_writer_leaves_none_rather_than_a_wrong_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_diagnosis(tmp_path, FOUND)

    def die(path: Path, text: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("resnet_exp.runs.diagnostics.replace_text", die)
    with pytest.raises(KeyboardInterrupt):
        write_diagnosis(tmp_path, replace(FOUND, rows=ROWS[:1]))
    assert read_diagnosis(tmp_path, "responses") is None


def test_fresh_removes_them(tmp_path: Path) -> None:
    write_diagnosis(tmp_path, FOUND)
    (tmp_path / "diagnostics" / ".responses.csv.7.tmp").touch()
    (tmp_path / "diagnostics" / "note.txt").touch()
    RunFolder(tmp_path).clear()
    assert [file.name for file in (tmp_path / "diagnostics").iterdir()] == ["note.txt"]
