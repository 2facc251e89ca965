"""Runs side by side: cores divided, stopped together, and nobody left behind."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from resnet_exp.cli.workers import count_cores, share_cores
from resnet_exp.runs.folder import RunFolder
from tests.forkserver import ForkedProcess
from tests.helpers import (
    TINY,
    Command,
    alive,
    assert_one_message,
    finish,
    holder,
    row_written,
    run_folder,
    start,
    statuses,
    wait_until,
)

LONG = (*TINY, "train.steps=400", "train.eval_every=20", "train.save_every=1000")
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


@pytest.fixture(autouse=True)
def no_worker_left() -> Iterator[None]:
    """Whatever fails, no worker of these sweeps stays."""
    yield
    for pid in begun:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    begun.clear()


begun: list[int] = []


def begin(cwd: Path) -> tuple[ForkedProcess, list[int]]:
    """A sweep of which two jobs have written a row, and its workers."""
    process = start(cwd, *SWEEP, *LONG, start_new_session=True)
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
    in_turn = command("-m", *SWEEP[3:], *TINY, f"threads={threads}", "study=turn")
    assert in_turn.returncode == 0
    done = command(*SWEEP, *(word for word in TINY if word != "threads=1"), "study=side")
    assert (done.returncode, done.stderr) == (0, "")
    outputs = tmp_path / "outputs"
    for name in NAMES:
        files = [outputs / study / name / "seed0" / "metrics.csv" for study in ("turn", "side")]
        assert files[0].read_bytes() == files[1].read_bytes()
        assert OmegaConf.load(files[1].with_name("config.yaml")).threads == threads
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
    if to_all:
        alone = start(tmp_path, *LONG, "model=plain", "depth=14", "study=alone")
        assert finish(alone)[0] == 0
        parts, whole = (run_folder(tmp_path, "plain14"), tmp_path / "outputs" / "alone" / "plain14" / "seed0")
        assert (parts / "metrics.csv").read_bytes() == (whole / "metrics.csv").read_bytes()


def test_workers_whose_sweep_was_killed_save_their_runs_and_end(tmp_path: Path) -> None:
    process, workers = begin(tmp_path)
    process.kill()
    wait_until(gone(workers), "the end of the workers")
    process.communicate()
    assert statuses(tmp_path / "outputs" / "default") == ["interrupted"] * 2
    for name in NAMES[:2]:
        with RunFolder(run_folder(tmp_path, name)) as folder:
            assert folder.config is not None


def test_a_killed_worker_ends_the_sweep_with_one_message(tmp_path: Path) -> None:
    process, workers = begin(tmp_path)
    os.kill(workers[0], signal.SIGKILL)
    code, _, err = finish(process)
    assert_one_message(code, err, "a run of this sweep was killed", "the same command goes on")
    wait_until(gone(workers), "the end of the other workers")


@pytest.mark.slow
def test_a_second_signal_ends_all_at_once(tmp_path: Path) -> None:
    process, workers = begin(tmp_path)
    for worker in workers:
        os.kill(worker, signal.SIGSTOP)  # neither can save
    wait_until(lambda: process.poll() is not None or process.terminate(), "the end of the sweep")
    code, _, err = finish(process)
    assert code == 143
    assert err.startswith("stopped\n")  # then joblib may say what its dead workers left
    wait_until(gone(workers), "the end of the workers")
