"""What each run is doing, from its files: every status, times, lists of jobs, and what is no run."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TypeAlias

import pytest

from resnet_exp.files import write_sealed
from resnet_exp.runs import liveness
from resnet_exp.runs.checkpoint import NAME, SPARE
from resnet_exp.runs.diagnostics import write_diagnosis
from resnet_exp.runs.folder import FAILURE, InUseError, RunFolder
from resnet_exp.runs.jobs import FILE, Job, add_jobs, read_sweeps
from resnet_exp.runs.liveness import LEAST, UNPACED, has_process, this_host
from resnet_exp.runs.prune import LOOK_BACK, prunable, prune
from resnet_exp.runs.snapshots import snapshot_steps, write_snapshot
from resnet_exp.runs.status import RunStatus, counted, seconds_left, status_of, statuses
from resnet_exp.study.runs import load_run, read_study
from tests.helpers import ROOT, make_diagnosis, write_run

SweepProcess: TypeAlias = "subprocess.Popen[str]"
OLD = ROOT / "tests" / "fixtures" / "version-0.1"


def silent_for(path: Path, seconds: float) -> None:
    """As if nothing had been written for so long."""
    then = time.time() - seconds
    for file in path.iterdir():
        os.utime(file, (then, then))


@pytest.mark.parametrize("status", ["completed", "diverged", "interrupted", "failed"])
def test_a_run_that_ended_has_the_status_that_it_recorded(tmp_path: Path, status: str) -> None:
    path = write_run(
        tmp_path, "plain", 20, 1, [50.0, 40.0], status=status, steps=1000, step=230, reason="a\nb \x1b[1m c"
    )
    found = status_of(path)
    assert (found.name, found.seed, found.status, found.study) == ("plain20", 1, status, tmp_path.name)
    assert (found.step, found.steps, found.train_error, found.test_error) == (230, 1000, 40.0, 41.0)
    assert found.reason == ("a b [1m c" if status == "failed" else None)
    assert found.complete == (status in ("completed", "diverged"))
    assert found.seconds_left is None


def test_a_run_is_running_while_its_folder_is_open_and_dead_after_it(tmp_path: Path) -> None:
    path = write_run(tmp_path, "plain", 20, 0, [50.0], status="running", steps=1000, seconds_per_step=0.5)
    with RunFolder(path):
        found = status_of(path)
        assert (found.status, found.step, found.seconds_left) == ("running", 100, 450)
    assert status_of(path).status == load_run(path).status == "dead"
    assert status_of(path).seconds_left is None


@pytest.mark.parametrize("status", ["interrupted", "failed"])
def test_a_run_that_goes_on_is_running_before_its_first_step(tmp_path: Path, status: str) -> None:
    path = write_run(tmp_path, "plain", 20, 0, [50.0], status=status)
    with RunFolder(path):
        assert status_of(path).status == "running"
    assert status_of(path).status == status


def test_another_machines_run_is_dead_once_it_is_silent_for_long(tmp_path: Path) -> None:
    """Five rows of a hundred steps, at ten seconds a step."""
    path = write_run(
        tmp_path, "plain", 20, 0, [50.0, 40.0], status="running", host="elsewhere", seconds_per_step=10.0, steps=1000
    )
    for seconds, status in ((0, "running"), (4900, "running"), (5100, "dead")):
        silent_for(path, seconds)
        assert (status_of(path).status, load_run(path).status) == (status, status), seconds
    here = write_run(tmp_path, "plain", 20, 1, [50.0], status="running", host=this_host(), seconds_per_step=10.0)
    assert status_of(here).status == "dead", "its lock is seen, and nobody holds it"


def test_a_quick_run_elsewhere_has_ten_minutes_and_one_without_a_row_an_hour(tmp_path: Path) -> None:
    quick = write_run(tmp_path, "plain", 20, 0, [50.0], status="running", host="elsewhere", seconds_per_step=0.001)
    begun = write_run(tmp_path, "plain", 20, 1, [], status="running", host="elsewhere")
    for path, most in ((quick, LEAST), (begun, UNPACED)):
        silent_for(path, most - 60)
        assert status_of(path).status == "running"
        silent_for(path, most + 60)
        assert status_of(path).status == "dead"


def test_a_lock_that_cannot_be_asked_leaves_it_to_silence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_run(tmp_path, "plain", 20, 0, [50.0], status="running")
    monkeypatch.setattr(liveness, "is_held", lambda file: None)
    assert has_process(path, {"host": this_host()})
    assert not has_process(path, {"host": this_host()}, now=time.time() + UNPACED + 60)
    assert not has_process(path, {}), "of an older version"


def test_runs_of_older_versions_are_read(tmp_path: Path) -> None:
    """They record neither step nor pace; a run goes by its rows and by its images a second."""
    shutil.copytree(OLD, tmp_path / "old")
    finished = status_of(tmp_path / "old" / "finished" / "resnet8" / "seed0")
    assert (finished.status, finished.step, finished.steps, finished.host) == ("completed", 8, 8, None)
    assert finished.seconds_per_step == pytest.approx(16 / finished.images_per_second)
    stopped = status_of(tmp_path / "old" / "stopped" / "plain8" / "seed0")
    assert (stopped.status, stopped.step, stopped.steps) == ("interrupted", 3, 8)


def test_before_its_summary_a_run_is_running_or_failed_or_none(tmp_path: Path) -> None:
    path = tmp_path / "study" / "plain8" / "seed2"
    with RunFolder(path) as folder:
        assert (status_of(path).name, status_of(path).seed, status_of(path).status) == ("plain8", 2, "running")
        folder.note_failure("no images", identity={"name": "plain8", "seed": 2, "steps": 60})
        assert status_of(path).status == "running"
    found = status_of(path)
    assert (found.status, found.reason, found.step, found.steps) == ("failed", "no images", 0, 60)
    folder.summary = {"status": "interrupted", "seed": 2}
    assert not (path / FAILURE).exists()
    assert status_of(path).status == "interrupted"
    (path / "summary.json").unlink()
    with pytest.raises(ValueError, match="no run folder"):
        status_of(path)
    assert statuses(tmp_path) == []


def test_a_failure_goes_into_the_summary_if_there_is_one(tmp_path: Path) -> None:
    path = write_run(tmp_path, "plain", 20, 0, [50.0], status="running", step=77)
    with RunFolder(path) as folder:
        folder.note_failure("out of memory", identity={})
    found = status_of(path)
    assert (found.status, found.reason, found.step) == ("failed", "out of memory", 77)
    assert not load_run(path).finished


def test_a_damaged_summary_is_said_and_another_programs_passed_over(tmp_path: Path) -> None:
    path = write_run(tmp_path, "plain", 20, 0, [50.0])
    (path / "summary.json").write_bytes(b"\0" * 9)
    (path / "config.yaml").write_text("seed: 0\nname: plain20\ntrain: {steps: 300}\n")
    other = tmp_path / "wandb"
    other.mkdir()
    (other / "config.yaml").write_text("a: 1\n")
    (other / "summary.json").write_text('{"status": "finished", "loss": 1}')
    (found,) = statuses(tmp_path)
    assert (found.name, found.status, found.steps) == ("plain20", "failed", 300)
    assert "damaged" in found.reason


def test_jobs_wait_until_they_have_a_folder_and_lists_grow(tmp_path: Path) -> None:
    study = tmp_path / "outputs" / "mine"
    jobs = [Job(name, seed, 1000, work) for seed in (0, 1) for name, work in (("plain20", 1e6), ("plain110", 5e6))]
    add_jobs(study, jobs[:2])
    add_jobs(study, jobs[1:])
    assert [sweep.jobs for sweep in read_sweeps(study)] == [(jobs[0],), tuple(jobs[1:])]
    write_run(study, "plain", 20, 0, [50.0], seconds_per_step=0.1, macs=1e4, choices={"batch_size": 100})
    found = statuses(tmp_path)
    assert [(s.name, s.seed, s.status) for s in found] == [
        *(("plain20", 0, "completed"), ("plain20", 1, "waiting")),
        *(("plain110", 0, "waiting"), ("plain110", 1, "waiting")),
    ], "20 comes before 110"
    assert [s.seconds_left for s in found] == [None, pytest.approx(100), pytest.approx(500), pytest.approx(500)]
    with RunFolder(study / "plain20" / "seed1"):
        below = statuses(study / "plain20")
    assert [(s.seed, s.status, s.steps) for s in below] == [(0, "completed", 100), (1, "running", 1000)]
    (study / FILE).write_text("{")
    assert [s.status for s in statuses(tmp_path)] == ["completed"]


def sweep(study: Path, *, jobs: str = "Job('plain20', 0, 100, 1.0)", end: str = "time.sleep(100)") -> SweepProcess:
    """A process that lists jobs as its own, then does a line of Python and ends."""
    lines = (
        "import os, pathlib, sys, time",
        "from resnet_exp.runs.jobs import Job, add_jobs",
        f"add_jobs(pathlib.Path(sys.argv[1]), [{jobs}], ours=True)",
        "print('listed', flush=True)",
        end,
    )
    process = subprocess.Popen([sys.executable, "-c", "\n".join(lines), study], text=True, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == "listed\n"
    return process


def kill(process: SweepProcess) -> None:
    process.kill()
    process.communicate()


def found_in(study: Path) -> dict[str, str]:
    return {status.name: status.status for status in statuses(study)}


@pytest.mark.parametrize(("end", "left"), [("", 0), ("sys.exit(1)", 0), ("os.kill(os.getpid(), 9)", 1)])
def test_a_job_waits_as_long_as_its_sweep_lives(tmp_path: Path, end: str, left: int) -> None:
    """However the sweep ends, nobody will begin its job; the lock of a killed one goes once its jobs are taken over."""
    sweep(tmp_path, end=end).communicate()
    assert [(s.status, s.steps, s.seconds_left) for s in statuses(tmp_path)] == [("interrupted", 100, None)]
    assert len([*tmp_path.glob(".sweep-*")]) == left
    again = sweep(tmp_path)
    assert found_in(tmp_path) == {"plain20": "waiting"}
    assert len([*tmp_path.glob(".sweep-*")]) == 1
    kill(again)
    assert found_in(tmp_path) == {"plain20": "interrupted"}


def test_a_job_of_two_sweeps_waits_for_either(tmp_path: Path) -> None:
    first, second = sweep(tmp_path), sweep(tmp_path)
    kill(second)
    assert found_in(tmp_path) == {"plain20": "waiting"}
    add_jobs(tmp_path, [Job("plain56", 0, 100, 1.0)])  # a cluster's
    kill(sweep(tmp_path, jobs="Job('plain56', 0, 100, 1.0)"))
    assert found_in(tmp_path) == {"plain20": "waiting", "plain56": "waiting"}
    kill(first)
    assert found_in(tmp_path) == {"plain20": "interrupted", "plain56": "waiting"}


@pytest.mark.parametrize("status", ["interrupted", "failed", "running"])
def test_what_a_sweep_is_to_take_up_again_waits_until_it_has_had_its_turn(tmp_path: Path, status: str) -> None:
    path = write_run(tmp_path, "plain", 20, 0, [50.0], status=status, steps=1000, step=100, seconds_per_step=0.5)
    silent_for(path, 60)
    own = "dead" if status == "running" else status
    process = sweep(tmp_path)
    assert [(s.status, s.step, s.seconds_left) for s in statuses(tmp_path)] == [("waiting", 100, 450)]
    (path / "summary.json").touch()
    assert found_in(tmp_path) == {"plain20": own}, "it has had it"
    silent_for(path, 60)
    kill(process)
    assert found_in(tmp_path) == {"plain20": own}


def test_a_run_that_got_another_name_is_not_missed_under_the_old_one(tmp_path: Path) -> None:
    kill(sweep(tmp_path, jobs="Job('resnet20-lr0.05', 0, 100, 1.0, 'a'), Job('plain20', 0, 100, 1.0, 'b')"))
    kill(sweep(tmp_path, jobs="Job('resnet20', 0, 100, 1.0, 'a')"))
    assert found_in(tmp_path) == {"resnet20": "interrupted", "plain20": "interrupted"}


def test_another_machines_sweep_has_ended_once_its_study_is_silent_for_long(tmp_path: Path) -> None:
    """A shared file system may not show its lock."""
    kill(sweep(tmp_path))
    text = (tmp_path / FILE).read_text()
    (tmp_path / FILE).write_text(text.replace(f'"host": "{this_host()}"', '"host": "elsewhere"'))
    path = write_run(tmp_path, "plain", 56, 0, [50.0])
    then = time.time() - UNPACED - 60
    os.utime(tmp_path / FILE, (then, then))
    assert found_in(tmp_path)["plain20"] == "waiting", "one of its runs has just written"
    silent_for(path, UNPACED + 60)
    assert found_in(tmp_path)["plain20"] == "interrupted"
    (path / "summary.json").touch()
    next(tmp_path.glob(".sweep-*")).unlink()
    assert found_in(tmp_path)["plain20"] == "interrupted", "it has said that it ended"


def test_a_list_of_jobs_does_the_report_no_harm(tmp_path: Path, study: Path) -> None:
    add_jobs(study, [Job("plain20", 7, 100, 1.0)])
    runs, left_out = read_study(study)
    assert (len(runs), left_out) == (8, [])


def test_each_run_is_found_once_whatever_leads_to_it(tmp_path: Path, study: Path) -> None:
    (study / "again").symlink_to(study / "plain20")
    (study / "plain20" / "up").symlink_to(study)
    assert len(statuses(study)) == 8
    assert len(statuses(study / "plain56" / "seed1")) == 1
    with pytest.raises(ValueError, match="no such folder"):
        statuses(tmp_path / "nowhere")


def row(status: str, left: float | None = None) -> RunStatus:
    return RunStatus(Path("x"), "s", "plain20", 0, status, seconds_left=left)


def test_what_is_left_is_shared_by_those_that_run(tmp_path: Path) -> None:
    assert seconds_left([row("running", 60), row("running", 40), row("waiting", 100), row("completed")]) == 100
    assert seconds_left([row("running", 300), row("running", 40)]) == 300
    assert seconds_left([row("running", 60), row("waiting")]) is None, "one is not known"
    assert seconds_left([row("waiting", 60), row("dead")]) is None, "nothing runs"
    assert seconds_left([row("completed")]) is None
    assert counted([row("completed"), row("waiting"), row("completed")]) == {"waiting": 1, "completed": 2}


def test_json_holds_no_number_that_is_none(tmp_path: Path) -> None:
    path = write_run(tmp_path, "plain", 20, 0, [float("nan")], status="diverged")
    values = status_of(path).to_dict()
    assert json.loads(json.dumps(values, allow_nan=False))["train_error"] is None
    assert values["path"] == str(path)


# Pruning.


def full_run(study: Path, *, status: str = "completed", shortcut: str = "A") -> Path:
    """With two checkpoints and two snapshots, and every question answered that looks back on them."""
    path = write_run(study, "plain", 20, 0, [50.0], status=status, shortcut=shortcut)
    for name in (NAME, SPARE):
        write_sealed(path / name, {"number": 1})
    for step in (0, 50):
        write_snapshot(path, {}, step=step)
    for what in LOOK_BACK:
        if what != "branches" or shortcut != "none":
            write_diagnosis(path, make_diagnosis(what, "plain20", [{"x": 1}], step=100))
    return path


@pytest.mark.parametrize("shortcut", ["A", "none"])
def test_a_complete_run_loses_its_spare_and_its_snapshots_and_nothing_else(tmp_path: Path, shortcut: str) -> None:
    path = full_run(tmp_path, shortcut=shortcut)
    scrap = path / ".checkpoint.pt.7.tmp"
    scrap.write_bytes(bytes(100))  # of a killed writer
    before = {file for file in path.rglob("*") if file.is_file()}
    could = prunable(path)
    assert could.freed == sum(file.stat().st_size for file in could.files) > 0
    assert {file for file in path.rglob("*") if file.is_file()} == before, "looking removes nothing"
    assert prune(path) == could
    gone = before - {file for file in path.rglob("*") if file.is_file()}
    assert gone == {scrap, path / SPARE, path / "snapshots" / "step0.pt", path / "snapshots" / "step50.pt"}
    assert prunable(path).files == ()


@pytest.mark.parametrize("status", ["interrupted", "failed", "diverged", "running"])
def test_a_run_that_is_not_completed_keeps_all(tmp_path: Path, status: str) -> None:
    path = full_run(tmp_path, status=status)
    assert prunable(path).files == prune(path).files == ()
    assert (path / SPARE).exists()


def test_a_run_that_is_open_keeps_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = full_run(tmp_path)
    with RunFolder(path):
        assert prunable(path).files == ()
        monkeypatch.setattr("resnet_exp.runs.prune.is_alive", lambda path: False)  # opened after the look
        with pytest.raises(InUseError):
            prune(path)
    assert (path / SPARE).exists()
    assert snapshot_steps(path) == [0, 50]


@pytest.mark.parametrize("how", ["missing", "damaged"])
def test_the_spare_stays_if_the_newest_checkpoint_is_not_whole(tmp_path: Path, how: str) -> None:
    path = full_run(tmp_path)
    content = (path / NAME).read_bytes()
    (path / NAME).unlink() if how == "missing" else (path / NAME).write_bytes(content[:-1] + b"x")
    could = prune(path)
    assert (path / SPARE).exists()
    assert f"{SPARE} stays" in could.kept


def test_snapshots_stay_for_questions_without_a_complete_answer(tmp_path: Path) -> None:
    path = full_run(tmp_path)
    (path / "diagnostics" / "surface.json").unlink()
    write_diagnosis(path, make_diagnosis("information", "plain20", [{"x": 1}], step=50))  # of earlier weights
    could = prune(path)
    assert could.files == (path / SPARE,)
    assert could.kept == "snapshots stay for task=diagnose what=information,surface"
    assert snapshot_steps(path) == [0, 50]
