"""`resnet-exp-status`: its exit codes, and what a real run and a real sweep leave for it."""

import json
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from resnet_exp.cli import status as command_status
from resnet_exp.cli.status import exit_code
from resnet_exp.runs.checkpoint import NAME, SPARE
from resnet_exp.runs.folder import RunFolder
from resnet_exp.runs.jobs import Job, add_jobs, read_sweeps
from resnet_exp.runs.status import STATUSES, RunStatus
from tests.helpers import TINY, Command, complete, finish, row_written, run_folder, start, wait_until, write_run

STATUS = "resnet_exp.cli.status"


def row(status: str) -> RunStatus:
    return RunStatus(Path("x", "plain20", "seed0"), "study", "plain20", 0, status)


def test_the_exit_code_says_what_there_is_to_do() -> None:
    codes = {status: exit_code([row(status), row("completed")]) for status in STATUSES}
    broken = dict.fromkeys(("interrupted", "failed", "dead"), 4)
    assert codes == {"running": 3, "waiting": 3, "completed": 0, "diverged": 0} | broken
    assert exit_code([row("failed"), row("waiting")]) == 3


def test_the_command_prints_tables_or_json_and_exits_by_them(command: Command, study: Path) -> None:
    done = command("study", module=STATUS)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "8 completed"
    assert "\x1b" not in done.stdout
    write_run(study, "plain", 110, 0, [90.0], status="failed", reason="no memory")
    add_jobs(study, [Job("plain110", 1, 300, 1.0)])
    done = command("study", "--json", module=STATUS)
    assert done.returncode == 3
    found = {(run["name"], run["seed"]): run for run in json.loads(done.stdout)}
    assert len(found) == 10
    assert found["plain110", 0]["reason"] == "no memory"
    assert (found["plain110", 1]["status"], found["plain110", 1]["steps"]) == ("waiting", 300)
    (study / ".jobs.json").unlink()
    assert command("study", "--watch", module=STATUS).returncode == 4


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["nowhere"], 1, "error: nowhere: no such folder\n"),
        (["empty"], 1, "error: empty: no run below it\n"),
        (["empty/file"], 1, "error: empty/file: no such folder\n"),
        ([], 2, "usage: resnet-exp-status"),
        (["empty", "--yes"], 2, "--yes goes with --prune"),
        (["empty", "--prune", "--watch"], 2, "--prune goes with neither"),
    ],
)
def test_wrong_words_are_one_message(
    command: Command, tmp_path: Path, words: list[str], code: int, message: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "file").touch()
    done = command(*words, module=STATUS)
    assert (done.returncode, done.stdout) == (code, "")
    assert message in done.stderr
    assert len(done.stderr.splitlines()) <= 3


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch, study: Path) -> Iterator[list[str]]:
    """The study's last run runs; between two looks: nothing, then a row, then its end."""
    path = write_run(study, "plain", 110, 0, [90.0], status="running", steps=200)
    events = ["nothing", "a row", "the end"]

    def later(seconds: float) -> None:
        event = events.pop(0)
        if event == "a row":
            with (path / "metrics.csv").open("a") as file:
                file.write("200,2,0.1,1.5,nan,1.6,nan\n")
        if event == "the end":
            summary = json.loads((path / "summary.json").read_text())
            (path / "summary.json").write_text(json.dumps(summary | {"status": "diverged"}))

    monkeypatch.setattr(command_status.time, "sleep", later)
    with RunFolder(path):
        yield events


def test_watching_a_pipe_prints_what_changed_until_nothing_runs(
    looks: list[str], study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    looks.insert(2, "nothing")  # an error that is no number is no change
    assert command_status.show(study, watch=True, as_json=False) == 0
    assert looks == []
    printed = capsys.readouterr().out
    assert re.findall(r"\d running|\d diverged", printed) == ["1 running", "1 running", "1 diverged"]
    assert "\x1b" not in printed


def test_watching_for_programs_prints_a_list_a_line(
    looks: list[str], study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command_status.show(study, watch=True, as_json=True)
    lists = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    errors = [[run["train_error"] for run in found if run["name"] == "plain110"] for found in lists]
    assert errors == [[90.0], [None], [None]]


@pytest.mark.parametrize("no_colour", ["", "1"])
def test_watching_a_terminal_redraws_in_place(
    looks: list[str],
    study: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    no_colour: str,
) -> None:
    for name, value in {"NO_COLOR": no_colour, "COLUMNS": "60", "LINES": "40", "TERM": "xterm"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    command_status.show(study, watch=True, as_json=False)
    printed = capsys.readouterr().out
    assert printed.count("\x1b[11A\x1b[J") == 3, "back over the eleven lines of the table before"
    assert bool(re.search(r"\x1b\[\d+m", printed)) == (not no_colour)
    assert max(len(re.sub(r"\x1b\[\d*[mAJ]", "", line)) for line in printed.splitlines()) <= 60


# A real run and a real sweep.


def test_a_watch_ends_with_ctrl_c(study: Path, tmp_path: Path) -> None:
    add_jobs(study, [Job("plain110", 1, 300, 1.0)])
    process = start(tmp_path, "study", "--watch", module=STATUS)

    def printed() -> bool:
        with suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=0.1)
        return b"1 waiting" in process.read[process.outputs[0]]

    wait_until(printed, "the first table", process=process)
    process.send_signal(signal.SIGINT)
    code, out, err = finish(process)
    assert (code, err) == (130, "stopped\n")
    assert out.count("1 waiting") == 1


def test_a_run_that_cannot_begin_has_failed_until_it_does(command: Command, tmp_path: Path) -> None:
    """In the words of the message; and the summary of one that had begun says so, too."""
    words = [*TINY, "depth=8"]
    refused = command(*words, "device=cuda:99", cwd=tmp_path)
    assert refused.returncode == 1
    done = command("outputs", module=STATUS)
    assert done.returncode == 4
    reason = refused.stderr.removeprefix("error: ").splitlines()[0]
    assert re.search(rf" failed +0/6 [- ]+{re.escape(reason)}\n", done.stdout)
    path = complete(tmp_path, *words)
    assert command("outputs", module=STATUS).returncode == 0
    assert not (path / ".failure.json").exists()
    summary = json.loads((path / "summary.json").read_text())
    (path / "summary.json").write_text(json.dumps(summary | {"status": "interrupted"}))
    assert command(*words, "device=cuda:99", cwd=tmp_path).returncode == 1
    failed = json.loads((path / "summary.json").read_text())
    assert failed == summary | {"status": "failed", "reason": reason}


def test_a_sweep_lists_its_jobs_and_a_killed_one_is_dead(command: Command, tmp_path: Path) -> None:
    sweep = start(tmp_path, "-m", *TINY, "depth=8", "model=plain,resnet", "train.steps=30000")
    wait_until(row_written(run_folder(tmp_path, "plain8"), 3), "the first row", process=sweep)
    done = command("outputs", "--json", module=STATUS)
    first, second = json.loads(done.stdout)
    assert (first["name"], first["status"], second["name"], second["status"]) == (
        *("plain8", "running"),
        *("resnet8", "waiting"),
    )
    assert first["step"] >= 3
    assert first["images_per_second"] > 0
    assert 0 < first["seconds_left"] < second["seconds_left"] * 1.1
    sweep.send_signal(signal.SIGKILL)
    finish(sweep)
    done = command("outputs", module=STATUS)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (4, "1 interrupted, 1 dead")
    study = tmp_path / "outputs" / "default"
    (before,) = read_sweeps(study)
    assert [(job.name, job.steps) for job in before.jobs] == [("plain8", 30000), ("resnet8", 30000)]
    assert command("-m", *TINY, "depth=8", "model=plain,resnet", "task=describe", cwd=tmp_path).returncode == 0
    assert command("-m", *TINY, "depth=8", "model=plain", "train.steps=0.5,1", cwd=tmp_path).returncode == 1
    assert read_sweeps(study) == [before], "only what is going to be trained"


def test_pruning_says_first_and_then_does(command: Command, tmp_path: Path) -> None:
    path = complete(tmp_path, *TINY, "depth=8", "train.snapshots=[0]")
    shutil.copyfile(path / NAME, path / SPARE)  # as runs of earlier versions left one
    said = command("outputs", "--prune", module=STATUS)
    assert said.returncode == 0
    assert f"resnet8 seed 0: {SPARE}: " in said.stdout
    assert "snapshots stay for task=diagnose what=responses,gradients,branches,information,surface" in said.stdout
    assert "of 1 completed runs; --prune --yes does it" in said.stdout
    assert (path / SPARE).exists()
    assert "removed: " in command("outputs", "--prune", "--yes", module=STATUS).stdout
    assert not (path / SPARE).exists()
    assert "nothing to remove" in command("outputs", "--prune", module=STATUS).stdout
    done = command(*TINY, "depth=8", "train.snapshots=[0]", "task=evaluate", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
