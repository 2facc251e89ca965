"""What a study reads of a run folder, whole, old, damaged or still being written."""

import json
import random
from pathlib import Path

import pytest

from resnet_exp.runs import known
from resnet_exp.runs.folder import RunFolder
from resnet_exp.runs.schema import SCHEMA
from resnet_exp.runs.status import status_of
from resnet_exp.study.arms import group_arms
from resnet_exp.study.describe import flags
from resnet_exp.study.runs import load_run, read_metrics, read_study
from tests.helpers import load_runs, write_run

HEADER = "step,epoch,lr,train_loss,train_error,test_loss,test_error"


@pytest.mark.parametrize("tail", ["", "300,3,0.1,1.5", "300,3,0.1,1.5,30,1.6", "300,3,0.1,1.5,30,1.6,"])
def test_a_torn_last_row_is_left_out(tmp_path: Path, tail: str) -> None:
    rows = [
        HEADER,
        "100,1,0.1,nan,60,inf,61",
        "200,2,0.1,1,50,1,51",
    ]
    (tmp_path / "metrics.csv").write_text("\n".join([*rows, tail]))
    metrics = read_metrics(tmp_path / "metrics.csv")
    assert metrics["step"].tolist() == [100, 200]
    assert metrics["train_error"].tolist() == [60, 50]


def test_metrics_that_are_not_numbers_are_named(tmp_path: Path) -> None:
    for text in ("step,lr\n1,2\n3,x\n", "step,lr\n1,2,3\n"):
        (tmp_path / "metrics.csv").write_text(text)
        with pytest.raises(ValueError, match=r"metrics\.csv: not the metrics of a run"):
            read_metrics(tmp_path / "metrics.csv")


def test_the_final_running_error_is_the_mean_of_the_last_tenth_of_the_rows(tmp_path: Path) -> None:
    for rows, expected in ((1, 0.0), (10, 9.0), (11, 9.5), (30, 28.0)):
        folder = write_run(tmp_path / str(rows), "plain", 20, 0, [float(row) for row in range(rows)])
        assert load_run(folder).final("train_error_last_tenth") == expected, rows


def test_other_final_errors_are_those_of_the_summary(tmp_path: Path) -> None:
    run = load_run(write_run(tmp_path, "plain", 20, 0, [50.0, 40.0], train_error_clean=33.0, test_error=44.0))
    assert (run.final("train_error_clean"), run.final("test_error")) == (33.0, 44.0)
    lost = load_run(write_run(tmp_path, "plain", 20, 1, [], train_error=12.0))
    assert lost.final("train_error_last_tenth") is None, "the last row is not the mean of the last tenth"
    odd = load_run(write_run(tmp_path, "plain", 20, 2, [50.0], test_error=float("nan"), train_error_clean=None))
    assert odd.final("test_error") is odd.final("train_error_clean") is None


@pytest.mark.parametrize("key", ["train_error_last_tenth", "train_error_clean", "test_error"])
def test_a_diverged_run_has_the_error_of_guessing_however_well_it_did_before(tmp_path: Path, key: str) -> None:
    errors = [30.0] * 20 + [12.0]
    run = load_run(write_run(tmp_path, "plain", 56, 0, errors, status="diverged", train_error_clean=None))
    assert run.final(key) == 90.0
    assert flags([run]) == ["1 of 1 runs diverged"]


def test_runs_at_chance_are_flagged_and_kept(tmp_path: Path) -> None:
    for seed, error in enumerate((85.4, 85.5, 90.0)):
        write_run(tmp_path, "plain", 110, seed, [error])
    runs = load_runs(tmp_path)
    assert [run.at_chance for run in runs] == [False, True, True]
    assert flags(runs) == ["2 of 3 runs at chance"]
    assert len(group_arms(runs)[0].by_seed("train_error_last_tenth")) == 3
    hundred = {"name": "CIFAR-100", "fingerprint": "", "image_size": 32, "classes": 100}
    assert not load_run(write_run(tmp_path / "other", "plain", 20, 0, [90.0], dataset=hundred)).at_chance


def test_whatever_a_killed_writer_or_another_program_left_is_read_or_named(tmp_path: Path) -> None:
    """Any cut gives the whole rows before it; any other damage gives them too, or one clear message."""
    rows = [f"{100 * i},{i},0.1,{2 / i:.6g},{90 / i:.6g},inf,nan" for i in range(1, 9)]
    text = "\n".join([HEADER, *rows]) + "\n"
    file = tmp_path / "metrics.csv"
    for cut in range(len(text)):
        file.write_text(text[:cut])
        whole = max(text[:cut].count("\n") - 1, 0)
        assert read_metrics(file)["step"].tolist() == [100.0 * i for i in range(1, whole + 1)]
    rng = random.Random(1)
    outcomes = set()
    for _ in range(500):
        damaged = bytearray(text.encode())
        for _ in range(rng.randint(1, 3)):
            damaged[rng.randrange(len(damaged))] = rng.choice([0, 9, 10, 13, 32, 35, 44, 45, 0x41, 0xFF])
        file.write_bytes(bytes(damaged))
        try:
            metrics = read_metrics(file)
        except ValueError as error:
            message = str(error)
            outcomes.add("refused" if "not the metrics of a run" in message and "\n" not in message else message)
        else:
            assert len({len(metrics[name]) for name in ("step", "train_error", "test_error")}) == 1
            outcomes.add("read")
    assert outcomes == {"refused", "read"}


@pytest.mark.parametrize("key", ["name", "family", "depth", "seed", "status", "steps", "dataset", "choices", "n_train"])
def test_a_summary_without_what_a_run_always_says_is_named(tmp_path: Path, key: str) -> None:
    folder = write_run(tmp_path, "plain", 20, 0, [50.0])
    summary = json.loads((folder / "summary.json").read_text())
    del summary[key]
    (folder / "summary.json").write_text(json.dumps(summary))
    with pytest.raises(ValueError, match=r"summary\.json: not the summary of a run"):
        load_runs(tmp_path)


@pytest.mark.parametrize(
    ("status", "finished"),
    [("completed", True), ("diverged", True), ("running", False), ("interrupted", False), ("failed", False)],
)
def test_a_run_that_goes_on_has_no_final_errors(tmp_path: Path, status: str, finished: bool) -> None:
    run = load_run(write_run(tmp_path, "plain", 20, 0, [50.0], status=status))
    assert run.finished is finished
    assert [run.final(key) is not None for key in ("train_error_last_tenth", "test_error")] == [finished, finished]


def test_a_run_that_nobody_holds_is_dead(tmp_path: Path) -> None:
    path = write_run(tmp_path, "plain", 20, 0, [50.0], status="running")
    with RunFolder(path):
        assert load_run(path).status == "running"
    assert load_run(path).status == "dead"
    assert not load_run(path).finished
    ended = write_run(tmp_path, "plain", 20, 1, [50.0], status="interrupted")
    assert load_run(ended).status == "interrupted"


def test_a_run_that_ends_while_it_is_read_is_not_dead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_run(tmp_path, "plain", 20, 0, [50.0], status="running")
    summary = json.loads((path / "summary.json").read_text())

    def ends(path: Path, _: object) -> bool:
        (path / "summary.json").write_text(json.dumps(summary | {"status": "completed"}))
        return False

    monkeypatch.setattr(known, "has_process", ends)
    assert load_run(path).status == "completed"


@pytest.mark.parametrize("said", ["running", "interrupted", "failed", "completed", "diverged"])
def test_a_report_and_the_list_of_runs_agree_on_a_run(tmp_path: Path, said: str) -> None:
    path = write_run(tmp_path, "plain", 20, 0, [50.0], status=said)
    ended = said in ("completed", "diverged")
    with RunFolder(path):  # one that was interrupted or failed prepares to go on
        assert load_run(path).status == status_of(path).status == (said if ended else "running")
    assert load_run(path).status == status_of(path).status == ("dead" if said == "running" else said)


def test_reading_leaves_no_trace(tmp_path: Path) -> None:
    path = write_run(tmp_path, "plain", 20, 0, [50.0], status="running")
    before = sorted(file.name for file in path.iterdir())
    load_run(path)
    assert sorted(file.name for file in path.iterdir()) == before


def test_a_run_of_a_newer_version_is_refused_and_one_of_an_older_completed(tmp_path: Path) -> None:
    old = write_run(tmp_path, "plain", 20, 0, [50.0], choices={"lr": 0.1})
    assert load_run(old).summary["choices"] == {
        "lr": 0.1,
        "border": "black",
        "initial_weights": "drawn from the seed",
    }
    write_run(tmp_path, "plain", 20, 1, [50.0], schema=SCHEMA + 1)
    with pytest.raises(ValueError, match=r"seed1/summary\.json: written by a newer version"):
        load_run(old.with_name("seed1"))
    runs, left_out = read_study(tmp_path)
    assert [run.path for run in runs] == [old]
    assert "written by a newer version" in left_out[0]


def test_the_last_row_and_the_last_tenth_have_two_names(tmp_path: Path) -> None:
    run = load_run(write_run(tmp_path, "plain", 20, 0, [50.0] * 18 + [20.0, 10.0]))
    assert (run.final("train_error"), run.final("train_error_last_tenth")) == (10.0, 15.0)
