"""From run folders to nets and their final errors."""

import json
import random
from pathlib import Path

import pytest
from scipy import stats

from resnet_exp.study.runs import describe_study, flags, group_nets, load_run, load_runs, read_metrics
from tests.test_report import study, write_run

__all__ = ["study"]  # a fixture
HEADER = "step,epoch,lr,train_loss,train_error,test_loss,test_error"


def test_runs_are_grouped_into_nets_plain_first(study: Path) -> None:
    write_run(study, "resnet", 110, 0, [50.0], suffix="-B")
    nets = group_nets(load_runs(study))
    assert [net.name for net in nets] == ["plain20", "plain56", "resnet20", "resnet56", "resnet110-B"]
    assert [net.variant for net in nets] == ["plain", "plain", "resnet", "resnet", "resnet-B"]
    assert [len(net.runs) for net in nets] == [2, 2, 2, 2, 1]


def test_curves_and_finals_are_means_over_seeds(study: Path) -> None:
    plain20 = group_nets(load_runs(study))[0]
    steps, mean, spread = plain20.curve("train_error")
    assert steps.tolist() == [100, 200, 300]
    assert mean.tolist() == [61, 40, 31]
    assert spread.tolist() == pytest.approx([2**0.5, 0, 2**0.5])
    final = plain20.final("test_error")
    assert final is not None
    assert (final.mean, final.sd, final.n) == (32, pytest.approx(2**0.5), 2)
    low, high = stats.t.interval(0.95, 1, loc=32, scale=1)
    assert (final.low, final.high) == (pytest.approx(low), pytest.approx(high))


def test_a_curve_holds_every_run_and_a_result_those_that_ended(study: Path) -> None:
    write_run(study, "plain", 20, 2, [90.0], status="diverged", first_bad_step=50)
    write_run(study, "plain", 20, 3, [80.0], status="running", train_error=None, test_error=None)
    write_run(study, "plain", 20, 4, [], status="running", train_error=None)
    plain20 = group_nets(load_runs(study))[0]
    _, mean, _ = plain20.curve("train_error")
    assert mean.tolist() == [(60 + 62 + 90 + 80) / 4, 40, 31]
    assert plain20.by_seed("train_error") == {0: 30, 1: 32, 2: 90}, "a diverged run is a result, a running one is not"
    text = describe_study(load_runs(study))
    assert "2 of 11 runs unfinished" in text
    assert "1 of 11 runs diverged" in text


def test_a_figure_says_which_data_how_many_seeds_how_many_steps(study: Path) -> None:
    assert describe_study(load_runs(study)) == "test data <1>, 5,000 training images of 16x16 · 2 seeds · 300 steps"
    write_run(study, "resnet", 110, 0, [9.0])
    assert describe_study(load_runs(study)).endswith("1 to 2 seeds · 100 to 300 steps")


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
        assert load_run(folder).final("train_error") == expected, rows


def test_other_final_errors_are_those_of_the_summary(tmp_path: Path) -> None:
    run = load_run(write_run(tmp_path, "plain", 20, 0, [50.0, 40.0], train_error_clean=33.0, test_error=44.0))
    assert (run.final("train_error_clean"), run.final("test_error")) == (33.0, 44.0)
    lost = load_run(write_run(tmp_path, "plain", 20, 1, [], train_error=12.0))
    assert lost.final("train_error") is None, "the last row is not the mean of the last tenth"
    odd = load_run(write_run(tmp_path, "plain", 20, 2, [50.0], test_error=float("nan"), train_error_clean=None))
    assert odd.final("test_error") is odd.final("train_error_clean") is None


@pytest.mark.parametrize("key", ["train_error", "train_error_clean", "test_error"])
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
    assert len(group_nets(runs)[0].by_seed("train_error")) == 3
    hundred = {"name": "CIFAR-100", "fingerprint": "", "image_size": 32, "classes": 100}
    assert not load_run(write_run(tmp_path / "other", "plain", 20, 0, [90.0], dataset=hundred)).at_chance


def test_a_curve_over_seeds_with_other_steps_is_that_of_each_step(tmp_path: Path) -> None:
    rng = random.Random(0)
    expected: dict[float, list[float]] = {}
    for seed in range(4):
        errors = [round(rng.uniform(0, 90), 3) for _ in range(rng.randint(1, 30))]
        write_run(tmp_path, "plain", 20, seed, errors)
        for index, error in enumerate(errors, start=1):
            expected.setdefault(100.0 * index, []).append(error)
    steps, mean, spread = group_nets(load_runs(tmp_path))[0].curve("train_error")
    assert steps.tolist() == sorted(expected)
    assert mean.tolist() == pytest.approx([sum(values) / len(values) for values in expected.values()])
    assert spread.tolist() == pytest.approx(
        [stats.tstd(values) if len(values) > 1 else 0.0 for values in expected.values()]
    )


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
    ("status", "finished"), [("completed", True), ("diverged", True), ("running", False), ("interrupted", False)]
)
def test_a_run_that_goes_on_has_no_final_errors(tmp_path: Path, status: str, finished: bool) -> None:
    run = load_run(write_run(tmp_path, "plain", 20, 0, [50.0], status=status))
    assert run.finished is finished
    assert [run.final(key) is not None for key in ("train_error", "test_error")] == [finished, finished]
