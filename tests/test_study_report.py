"""Figure, tables, page and the command that makes them, from run folders written by hand."""

import csv
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from resnet_exp.study.report import write_report
from tests.helpers import Command, write_run


def test_a_report_folder_is_complete_and_self_contained(study: Path, tmp_path: Path) -> None:
    out = tmp_path / "elsewhere"
    write_report(study, out=out)
    assert sorted(file.name for file in out.iterdir()) == [
        *("curves.pdf", "curves.png", "curves.svg", "depth.pdf", "depth.png", "depth.svg"),
        *("report.html", "summary.csv", "summary.md"),
    ]
    assert (out / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert (out / "curves.pdf").read_bytes().startswith(b"%PDF")
    ET.parse(out / "curves.svg")
    page = (out / "report.html").read_text()
    assert "<svg" in page
    assert "test data &lt;1&gt;" in page
    assert "<?xml" not in page
    namespaces = {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert not re.findall(r"<(?:script|link|img|iframe)\b", page)
    assert set(re.findall(r"""(?:src|href)=["'](https?://[^"']+)""", page)) <= namespaces


@pytest.mark.usefixtures("unsaved")
def test_summary_tables_hold_every_run_and_every_net(study: Path) -> None:
    write_run(study, "plain", 110, 0, [90.0], status="diverged", first_bad_step=50, steps=300)
    write_report(study, out=study / "report")
    with (study / "report" / "summary.csv").open() as file:
        table = list(csv.DictReader(file))
    assert len(table) == 9
    row = next(row for row in table if row["name"] == "plain110")
    assert (row["status"], row["first_bad_step"], row["train_error"]) == ("diverged", "50", "90.0")
    text = (study / "report" / "summary.md").read_text()
    line = next(line for line in text.splitlines() if line.startswith("| plain20"))
    assert "31.00 ± 1.41 [18.29, 43.71]" in line
    assert "2 completed" in line
    assert "1 diverged" in next(line for line in text.splitlines() if line.startswith("| plain110"))


@pytest.mark.usefixtures("unsaved")
def test_an_unfinished_study_is_drawn(tmp_path: Path) -> None:
    write_run(tmp_path, "plain", 20, 0, [], status="running", train_error=None)
    write_report(tmp_path, out=tmp_path / "report")
    assert "1 of 1 runs unfinished" in (tmp_path / "report" / "summary.md").read_text()


def test_the_command_reports_and_explains(study: Path, tmp_path: Path, command: Command) -> None:
    done = command("study", module="resnet_exp.cli.report")
    assert done.returncode == 0
    assert done.stderr == ""
    assert "| plain56 " in done.stdout
    assert (study / "report" / "report.html").exists()
    (tmp_path / "empty").mkdir()
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "summary.json").write_text("[]")
    for arguments, code, message in (
        (["nowhere"], 1, "error: nowhere: no such folder\n"),
        (["empty"], 1, "error: empty: no run folder below it (none holds a summary.json)\n"),
        (["foreign"], 1, "error: foreign/summary.json: not the summary of a run\n"),
        (["study", "--out", "study/plain20/seed0/metrics.csv/x"], 1, "Not a directory"),
        ([], 2, "usage: resnet-exp-report"),
    ):
        failed = command(*arguments, module="resnet_exp.cli.report")
        assert failed.returncode == code, arguments
        assert message in failed.stderr, arguments
        assert len(failed.stderr.splitlines()) <= 3


def test_the_margin_is_the_readers_choice(study: Path, command: Command) -> None:
    for seed in (0, 1):  # 20 layers end at 28 with either seed: the interval is from -12.2 to +13.2
        write_run(study, "resnet", 110, seed, [60, 35, 27.5 + 2 * seed])
    verdicts = {}
    for margin in ("1", "0", "20"):
        done = command("study", "--margin", margin, module="resnet_exp.cli.report")
        verdicts[margin] = done.stdout.partition("resnet nets: ")[2].partition(",")[0]
        assert f"lies within {margin} of 0" in (study / "report" / "summary.md").read_text()
    assert verdicts == {"1": "inconclusive", "0": "inconclusive", "20": "depth does not degrade"}
    for wrong in ("x", "-1", "inf", "nan"):
        failed = command("study", "--margin", wrong, module="resnet_exp.cli.report")
        assert failed.returncode == 2
        assert f"{wrong}: must be points of 0 or more" in failed.stderr


FAITHFUL = {
    "steps": 64000,
    "n_train": 50000,
    "n_test": 10000,
    "choices": {
        **{"batch_size": 128, "lr": 0.1, "milestones": [32000, 48000], "momentum": 0.9, "weight_decay": 1e-4},
        "augmentation": "random crop of the padded image and random flip, per image",
    },
}


@pytest.mark.usefixtures("unsaved")
def test_published_numbers_stand_beside_measured_ones_of_the_same_images(tmp_path: Path) -> None:
    for name, seeds, suffix in (
        ("CIFAR-10", (0, 1), ""),
        ("CIFAR-10, JPEG q75 copy", (0,), "-copy"),
        ("cats", (0,), "-x"),
    ):
        data = {"name": name, "fingerprint": name, "image_size": 32}
        for seed in seeds:
            error = 12.0 + seed
            write_run(tmp_path, "plain", 56, seed, [error], suffix=suffix, dataset=data, **FAITHFUL)
    text = write_report(tmp_path, out=tmp_path / "report")
    assert "| plain56 " in text
    assert text.endswith(f"comparison: {tmp_path / 'report' / 'report.html'}")
    table = (tmp_path / "report" / "summary.md").read_text().partition("**Beside the literature**")[2]
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines() if line.startswith("| plain")
    ]
    assert [row[0] for row in rows] == ["plain56", "plain56-copy"]
    faithful, copy = rows
    assert faithful[2:5] == ["12.95 ± 0.22", "+0.55", "yes"]
    assert copy[2:5] == ["12.95 ± 0.22", "+0.05", "no"]
    assert "Not comparable: another data set (CIFAR-10, JPEG q75 copy)." in table


@pytest.mark.usefixtures("unsaved")
def test_what_a_run_is_called_does_not_hide_its_net_from_the_literature(tmp_path: Path) -> None:
    data = {"name": "CIFAR-10", "fingerprint": "x", "image_size": 32}
    write_run(tmp_path, "resnet", 110, 0, [7.0], name="mine", dataset=data, **FAITHFUL)
    write_report(tmp_path, out=tmp_path / "report")
    table = (tmp_path / "report" / "summary.md").read_text().partition("**Beside the literature**")[2]
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines() if line.startswith("| mine")
    ]
    assert [row[2:4] for row in rows] == [
        *(["6.43", "-"], ["6.61 ± 0.16", "+1.39"], ["6.61", "-"], ["7.14", "+0.86"]),
    ]
    assert "(median of 5; v1, beside preact110)" in rows[2][5]


@pytest.mark.usefixtures("unsaved")
def test_a_study_without_spread_is_reported_without_intervals(tmp_path: Path) -> None:
    for depth, error in ((20, 89.0), (56, 89.01)):
        for seed in (0, 1):
            write_run(tmp_path, "plain", depth, seed, [error])
    write_report(tmp_path, out=tmp_path / "report")
    text = (tmp_path / "report" / "summary.md").read_text()
    assert text.startswith("Plain nets: inconclusive, ")
    assert "no interval, as the seeds of each net ended with equal errors" in text
    assert "| 89.00 ± 0.00 " in text
    assert "| plain20 → plain56 | 2 → 2 | +0.01 " in text
    assert "| inconclusive | -" in text
