"""Analysis, figure, tables and the command that makes them, from run folders written by hand."""

import csv
import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

from resnet_exp.study.curves import draw_curves
from resnet_exp.study.report import write_report
from resnet_exp.study.runs import group_nets, load_runs
from tests.conftest import Command


def write_run(
    study: Path, family: str, depth: int, seed: int, errors: list[float], *, suffix: str = "", **summary: object
) -> Path:
    """A run folder with one row of metrics per entry of `errors`; the test error is the training error plus one."""
    name = f"{family}{depth}{suffix}"
    folder = study / name / f"seed{seed}"
    folder.mkdir(parents=True)
    lines = ["step,epoch,lr,train_loss,train_error,test_loss,test_error"]
    for index, error in enumerate(errors, start=1):
        lines.append(f"{100 * index},{index},0.1,1.5,{error},1.6,{error + 1}")
    (folder / "metrics.csv").write_text("\n".join(lines) + "\n")
    values = {
        **{"name": name, "family": family, "depth": depth, "block": "v1", "shortcut": "A", "width": 16},
        **{"seed": seed, "steps": 100 * len(errors), "status": "completed", "first_bad_step": None},
        **{"train_error": errors[-1] if errors else None, "train_error_clean": 5.0, "n_train": 5000},
        **{"test_error": errors[-1] + 1 if errors else None, "params": 1, "macs": 2, "device": "cpu"},
        "dataset": {"name": "test data <1>", "fingerprint": "abc", "image_size": 16},
        "choices": {"milestones": [200], "precision": "off", "augmentation": "crop and flip"},
    }
    (folder / "summary.json").write_text(json.dumps(values | summary))
    return folder


@pytest.fixture
def study(tmp_path: Path) -> Path:
    folder = tmp_path / "study"
    for seed, shift in ((0, 0.0), (1, 2.0)):
        write_run(folder, "plain", 20, seed, [60 + shift, 40, 30 + shift])
        write_run(folder, "plain", 56, seed, [70, 60, 50 + shift])
        write_run(folder, "resnet", 20, seed, [60, 40, 28])
        write_run(folder, "resnet", 56, seed, [60, 35, 25])
    return folder


def test_panels_share_axes_and_colours_and_show_both_errors(study: Path) -> None:
    figure = draw_curves(group_nets(load_runs(study)), caption="which data")
    left, right = figure.axes
    assert (left.get_title(), right.get_title()) == ("plain", "resnet")
    assert left.get_ylim() == right.get_ylim()
    assert left.get_xlim() == right.get_xlim() == (0, 300)

    def curves(panel: object) -> list[tuple[str, float, list[float]]]:
        return [
            (line.get_color(), line.get_linewidth(), np.asarray(line.get_ydata()).tolist())
            for line in panel.get_lines()
            if len(line.get_xdata()) == 3
        ]

    thin20, bold20, thin56, bold56 = curves(left)
    assert thin20[2] == [61, 40, 31]
    assert bold20[2] == [62, 41, 32]
    assert thin20[1] < bold20[1]
    assert thin20[0] == bold20[0] != thin56[0] == bold56[0]
    assert [colour for colour, _, _ in curves(right)] == [thin20[0], thin20[0], thin56[0], thin56[0]]
    low, high = left.get_ylim()
    assert low <= 26
    assert high >= 61
    assert [text.get_text() for text in left.texts] == ["20 layers", "56 layers"]
    assert figure.get_supxlabel() == "which data"


def test_labels_of_curves_that_end_together_do_not_touch(study: Path) -> None:
    for depth in (32, 44):
        write_run(study, "resnet", depth, 0, [50.0, 40.0, 25.0])
    figure = draw_curves(group_nets(load_runs(study)), caption="")
    heights = sorted(text.xy[1] for text in figure.axes[1].texts)
    low, high = figure.axes[1].get_ylim()
    assert len(heights) == 4
    assert np.diff(heights).min() >= 0.05 * (high - low)


def test_a_report_folder_is_complete_and_self_contained(study: Path, tmp_path: Path) -> None:
    out = tmp_path / "elsewhere"
    write_report(study, out=out)
    assert sorted(file.name for file in out.iterdir()) == [
        *("curves.pdf", "curves.png", "curves.svg", "report.html", "summary.csv", "summary.md"),
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


def test_an_unfinished_study_is_drawn(tmp_path: Path) -> None:
    write_run(tmp_path, "plain", 20, 0, [], status="running", train_error=None)
    write_report(tmp_path, out=tmp_path / "report")
    assert "1 of 1 runs unfinished" in (tmp_path / "report" / "summary.md").read_text()


def test_the_command_reports_and_explains(study: Path, tmp_path: Path, command: Command) -> None:
    done = command("study", module="resnet_exp.study.report")
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
        failed = command(*arguments, module="resnet_exp.study.report")
        assert failed.returncode == code, arguments
        assert message in failed.stderr, arguments
        assert len(failed.stderr.splitlines()) <= 3


FAITHFUL = {
    "steps": 64000,
    "n_train": 50000,
    "n_test": 10000,
    "choices": {
        **{"batch_size": 128, "lr": 0.1, "milestones": [32000, 48000], "momentum": 0.9, "weight_decay": 1e-4},
        "augmentation": "random crop of the padded image and random flip, per image",
    },
}


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
