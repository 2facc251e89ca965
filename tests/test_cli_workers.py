"""Runs side by side: cores divided, stopped together, and nobody left behind."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest

from resnet_exp import cores
from resnet_exp.cli.workers import count_cores, share_cores
from resnet_exp.runs.folder import RunFolder
from tests.forkserver import ForkedProcess
from tests.helpers import (
    TINY,
    Command,
    alive,
    assert_same,
    finish,
    holder,
    row_written,
    run_folder,
    start,
    start_fresh,
    statuses,
    wait_until,
)

LONG = (*TINY, "train.steps=200", "train.eval_every=20", "train.save_every=1000")
SWEEP = ("-m", "hydra/launcher=parallel", "hydra.launcher.n_jobs=2", "model=plain", "depth=20,14,8")
NAMES = ("plain20", "plain14", "plain8")


@pytest.mark.parametrize(
    ("at_once", "jobs", "expected"),
    [(-1, 6, (6, 2)), (-1, 20, (16, 1)), (-1, 3, (3, 5)), (4, 6, (4, 4)), (4, 2, (2, 8)), (40, 50, (40, 1))],
)
def test_cores_are_divided_among_the_jobs_that_run_at_once(
    monkeypatch: pytest.MonkeyPatch, at_once: int, jobs: int, expected: tuple[int, int]
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(16)), raising=False)
    assert share_cores(at_once=at_once, jobs=jobs) == expected


@pytest.mark.parametrize(
    ("at_once", "jobs", "gpus", "runs_per_gpu", "expected"),
    [(-1, 6, 1, 1, (1, 16)), (-1, 6, 2, 2, (4, 4)), (-1, 3, 2, 4, (3, 5)), (5, 6, 1, 1, (5, 3))],
)
def test_jobs_are_as_many_as_the_gpus_take(
    monkeypatch: pytest.MonkeyPatch, at_once: int, jobs: int, gpus: int, runs_per_gpu: int, expected: tuple[int, int]
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(16)), raising=False)
    assert share_cores(at_once=at_once, jobs=jobs, gpus=gpus, runs_per_gpu=runs_per_gpu) == expected


def test_gpus_are_counted_as_far_as_they_may_be_seen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(cores, "GPUS", tmp_path / "gpus")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert cores.count_gpus() == 0
    for name in ("0000:01:00.0", "0000:02:00.0"):
        (tmp_path / "gpus" / name).mkdir(parents=True)
    assert cores.count_gpus() == 2
    for shown, count in (("", 0), ("1", 1), ("GPU-1,GPU-2", 2), ("0,1,2", 2), ("-1", 0), ("0,-1,1", 1)):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", shown)
        assert cores.count_gpus() == count


@pytest.fixture(autouse=True)
def no_worker_left() -> Iterator[None]:
    """Whatever fails, no worker of these sweeps stays."""
    yield
    for pid in begun:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    begun.clear()


begun: list[int] = []


def begin(cwd: Path, *more: str) -> tuple[ForkedProcess, list[int]]:
    """A sweep of which two jobs have written a row, and its workers."""
    process = start(cwd, *SWEEP, *LONG, *more, start_new_session=True)
    for name in NAMES[:2]:
        wait_until(row_written(run_folder(cwd, name), 20), "the first row", process=process)
    workers = [holder(run_folder(cwd, name) / ".lock") for name in NAMES[:2]]
    found = [worker for worker in workers if worker is not None]
    begun.extend(found)
    assert len({*found}) == 2
    assert process.pid not in found
    return process, found


def gone(workers: list[int]) -> Callable[[], bool]:
    return lambda: not any(map(alive, workers))


def test_jobs_side_by_side_compute_what_they_compute_in_turn(command: Command, tmp_path: Path) -> None:
    threads = max(1, count_cores() // 2)
    nets = ("model=plain", "depth=14,8")
    in_turn = command("-m", *nets, *TINY, f"threads={threads}", "study=turn")
    assert in_turn.returncode == 0
    done = command(*SWEEP[:3], *nets, *(word for word in TINY if word != "threads=1"), "study=side")
    assert (done.returncode, done.stderr) == (0, "")
    outputs = tmp_path / "outputs"
    for name in NAMES[1:]:
        files = [outputs / study / name / "seed0" / "metrics.csv" for study in ("turn", "side")]
        assert files[0].read_bytes() == files[1].read_bytes()
        summary = json.loads(files[1].with_name("summary.json").read_text())
        assert summary["environment"]["threads"] == threads
        assert f"{name}/seed0: step 3/6" in done.stdout
        assert f"| {name} " in done.stdout
    assert "comparison: " in done.stdout


@pytest.mark.parametrize("to_all", [True, pytest.param(False, marks=pytest.mark.slow)], ids=["ctrl-C", "SIGTERM"])
def test_a_stopped_sweep_saves_every_run_and_goes_on(tmp_path: Path, to_all: bool) -> None:
    process, workers = begin(tmp_path)
    if to_all:
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    else:
        process.terminate()
    code, out, err = finish(process)
    assert (code, err) == (130 if to_all else 143, "stopped\n")
    assert out.count("stopped: the same command goes on from step") == 2
    assert statuses(tmp_path / "outputs" / "default") == ["interrupted"] * 2
    wait_until(gone(workers), "the end of the workers")

    code, out, err = finish(start(tmp_path, *SWEEP, *LONG))
    assert (code, err) == (0, "")
    assert out.count("resuming at step") == 2
    assert statuses(tmp_path / "outputs" / "default") == ["completed"] * 3


def test_a_run_that_was_begun_alone_keeps_its_threads_in_a_sweep(tmp_path: Path) -> None:
    words = ("-m", *(word for word in LONG if word != "threads=1"), "model=plain", "depth=8")
    alone = start(tmp_path, *words, env=os.environ | {"OMP_NUM_THREADS": "1"})
    wait_until(row_written(run_folder(tmp_path, "plain8"), 20), "the first row", process=alone)
    alone.terminate()
    assert finish(alone)[0] == 143
    code, out, err = finish(start(tmp_path, *words, "hydra/launcher=parallel"))
    assert (code, err) == (0, "")
    assert "resuming at step" in out
    assert "threads: 1 ->" not in out
    assert json.loads((run_folder(tmp_path, "plain8") / "summary.json").read_text())["environment"]["threads"] == 1


def test_a_stopped_sweep_that_nobody_reads_any_more_saves_every_run(tmp_path: Path) -> None:
    """As `| tee log`, which ctrl-C ends, too."""
    process = start_fresh(tmp_path, *SWEEP, *LONG)
    for name in NAMES[:2]:
        wait_until(row_written(run_folder(tmp_path, name), 20), "the first row", process=process)
    for stream in (process.stdout, process.stderr):
        assert stream is not None
        stream.close()
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=120) == 130
    assert statuses(tmp_path / "outputs" / "default") == ["interrupted"] * 2


def test_workers_whose_sweep_was_killed_save_their_runs_and_end(tmp_path: Path) -> None:
    process, workers = begin(tmp_path)
    process.kill()
    wait_until(gone(workers), "the end of the workers")
    process.communicate()
    assert statuses(tmp_path / "outputs" / "default") == ["interrupted"] * 2
    for name in NAMES[:2]:
        with RunFolder(run_folder(tmp_path, name)) as folder:
            assert folder.config is not None


def test_a_killed_job_goes_on_in_another_process(tmp_path: Path) -> None:
    process, workers = begin(tmp_path, "train.save_every=20")
    saved = run_folder(tmp_path, "plain20") / "checkpoint.pt"
    wait_until(saved.exists, "its first checkpoint", process=process)
    os.kill(workers[0], signal.SIGKILL)
    code, out, err = finish(process)
    assert (code, err) == (0, "")
    assert "plain20/seed0: its process was killed; it is begun once more and goes on" in out
    assert out.count("plain20/seed0: resuming at step") == 1
    assert "plain14/seed0: resuming" not in out
    assert statuses(tmp_path / "outputs" / "default") == ["completed"] * 3
    alone = tmp_path / "alone"
    alone.mkdir()
    assert finish(start(alone, *LONG, "train.save_every=20", "model=plain", "depth=20"))[0] == 0
    assert_same(run_folder(tmp_path, "plain20"), run_folder(alone, "plain20"))


@pytest.mark.slow
def test_a_job_that_somebody_stops_has_not_succeeded(tmp_path: Path) -> None:
    process, workers = begin(tmp_path)
    os.kill(workers[0], signal.SIGTERM)
    code, out, err = finish(process)
    assert code == 1
    assert "error in plain20/seed0: somebody stopped its process\nthe same command goes on with it\n" in err
    assert out.count("stopped: the same command goes on from step") == 1
    assert statuses(tmp_path / "outputs" / "default") == ["completed", "completed", "interrupted"]


@pytest.mark.slow
def test_a_job_that_is_killed_twice_fails_and_the_others_go_on(tmp_path: Path) -> None:
    process, workers = begin(tmp_path)
    os.kill(workers[0], signal.SIGKILL)
    lock = run_folder(tmp_path, "plain20") / ".lock"
    wait_until(lambda: holder(lock) not in (None, workers[0]), "its next process", process=process)
    again = holder(lock)
    assert again is not None
    os.kill(again, signal.SIGKILL)
    code, _, err = finish(process)
    assert code == 1
    assert err.startswith("error in plain20/seed0: its process was killed twice\n")
    assert "error: not every job of this sweep succeeded" in err
    assert sorted(statuses(tmp_path / "outputs" / "default"))[:2] == ["completed"] * 2


@pytest.mark.parametrize("launcher", ["basic", pytest.param("parallel", marks=pytest.mark.slow)])
def test_a_job_that_fails_ends_the_sweep_if_so_asked(command: Command, tmp_path: Path, launcher: str) -> None:
    how = ("-m", f"hydra/launcher={launcher}", *(("hydra.launcher.n_jobs=1",) if launcher == "parallel" else ()))
    words = (*how, *TINY, "model=plain", "depth=14,8,20")
    with RunFolder(run_folder(tmp_path, "plain14")), RunFolder(run_folder(tmp_path, "plain8")):  # somebody has them
        done = command(*words, "stop_on_failure=true")
        assert done.returncode == 1
        assert [line.split(":")[0] for line in done.stderr.splitlines()] == ["error in plain14/seed0", "error"]
        assert not (run_folder(tmp_path, "plain20") / "config.yaml").exists()
        done = command(*words)
        assert done.returncode == 1
        assert [line.split(":")[0] for line in done.stderr.splitlines()][:2] == [
            *("error in plain14/seed0", "error in plain8/seed0"),
        ]
    assert statuses(tmp_path / "outputs" / "default") == ["completed"]


@pytest.mark.slow
def test_no_process_is_left_where_a_sweep_was_killed(tmp_path: Path) -> None:
    process, workers = begin(tmp_path)
    family = descendants(process.pid)
    assert {*workers} < {*family}
    process.kill()
    wait_until(lambda: not any(map(alive, family)), "the end of all its processes")


def descendants(pid: int) -> list[int]:
    """The processes that a process has begun, and those that these have."""
    children = [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return children + [other for child in children for other in descendants(child)]


@pytest.mark.slow
def test_sweeps_with_random_kills_end_with_the_bytes_of_a_serial_one(tmp_path: Path) -> None:
    """Twenty sweeps of eight jobs: a job, the fork server, the sweep's own process, again and again."""
    jobs = ("model=plain,resnet", "depth=8,14", "seed=0,1")
    words = (*TINY, "train.steps=40", "train.eval_every=5", "train.save_every=10")
    serial = tmp_path / "serial"
    serial.mkdir()
    assert finish(start(serial, "-m", *words, *jobs))[0] == 0
    runs = sorted(file.parent.relative_to(serial) for file in serial.rglob("metrics.csv"))
    assert len(runs) == 8
    random = Random(0)
    for number in range(20):
        killed = tmp_path / f"killed{number}"
        killed.mkdir()
        for turn in range(6):
            process = start(killed, *SWEEP[:3], *words, *jobs, start_new_session=True)
            time.sleep(random.uniform(2, 8))
            family = [process.pid, *descendants(process.pid)] if process.poll() is None else []
            if family and turn < 5:
                os.kill(random.choice(family), random.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGTERM)))
            code, _, err = finish(process)
            if code == 0:
                break
            assert turn < 5, err
            wait_until(lambda family=family: not any(map(alive, family)), "the end of all its processes")
        for run in runs:
            assert_same(killed / run, serial / run)


@pytest.mark.slow
def test_a_second_signal_ends_all_at_once(tmp_path: Path) -> None:
    process, workers = begin(tmp_path)
    for worker in workers:
        os.kill(worker, signal.SIGSTOP)  # neither can save
    wait_until(lambda: process.poll() is not None or process.terminate(), "the end of the sweep")
    code, _, err = finish(process)
    assert code == 143
    assert err == "stopped\n"
    wait_until(gone(workers), "the end of the workers")
