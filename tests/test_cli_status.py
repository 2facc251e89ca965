"""`resnet-exp-status`: its table, its exit codes, and what a real run and a real sweep leave for it."""

import json
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from resnet_exp.cli import status as command_status
from resnet_exp.cli.status import duration, exit_code, table
from resnet_exp.runs.checkpoint import SPARE
from resnet_exp.runs.folder import RunFolder
from resnet_exp.runs.jobs import Job, add_jobs, read_jobs
from resnet_exp.runs.status import STATUSES, RunStatus
from tests.helpers import TINY, Command, complete, finish, row_written, run_folder, start, wait_until, write_run

STATUS = "resnet_exp.cli.status"
CODE = re.compile(r"\x1b\[\d*m")


def row(status: str, name: str = "plain20", **more: object) -> RunStatus:
    return RunStatus(Path("x", name, "seed0"), "study", name, 0, status, **({"steps": 60} | more))


ROWS = [
    row("running", step=12, train_error=50.0, test_error=51.5, images_per_second=321.4, seconds_left=90),
    row("waiting", "resnet110", seconds_left=150),
    row("failed", reason="out of memory, of which there was too little for so wide a net"),
    *(row(status) for status in ("interrupted", "dead", "diverged", "completed", "completed")),
]


def test_the_table_has_a_row_a_run_and_counts_them() -> None:
    head, first, second, third, *_, last = table(ROWS)
    assert head.split() == ["net", "seed", "status", "step", "train", "%", "test", "%", "images/s", "left"]
    assert first.split() == ["plain20", "0", "running", "12/60", "50.00", "51.50", "321", "2", "min"]
    assert second.split() == ["resnet110", "0", "waiting", "0/60", "-", "-", "-", "2", "min"]
    assert third.endswith("so wide a net")
    assert len({line.index(line.split()[2]) for line in table(ROWS)[:-1]}) == 1, "a column is straight"
    assert last == ("1 running, 1 waiting, 1 interrupted, 1 failed, 1 dead, 2 completed, 1 diverged; about 4 min left")


@pytest.mark.parametrize("width", [1, 20, 33, 80, 500])
def test_the_table_is_cut_to_its_width_and_colour_needs_no_room(width: int) -> None:
    plain, coloured = table(ROWS, width=width), table(ROWS, width=width, colour=True)
    assert max(map(len, plain)) <= width
    assert [CODE.sub("", line) for line in coloured] == plain
    assert "\x1b" not in "".join(plain)
    assert ("\x1b" in "".join(coloured)) == (width > 17)


def test_a_low_terminal_shows_what_goes_on() -> None:
    runs = [row("completed"), row("waiting"), row("running"), row("failed"), row("completed")]
    for height, shown in ((8, 5), (6, 3), (5, 2)):
        lines = table(runs, height=height)
        assert len(lines) <= height
        assert [line.split()[2] for line in lines[1 : 1 + shown]] == {
            8: ["completed", "waiting", "running", "failed", "completed"],
            6: ["waiting", "running", "failed"],
            5: ["running", "failed"],
        }[height]
        assert lines[-1] == "1 running, 1 waiting, 1 failed, 2 completed"
    assert table(runs, height=5)[-2] == "and 3 more"


def test_runs_of_several_studies_are_told_apart() -> None:
    other = RunStatus(Path("y"), "other", "plain20", 0, "completed")
    assert [line.split()[0] for line in table([ROWS[0], other])[1:3]] == ["study/plain20", "other/plain20"]


def test_the_exit_code_says_what_there_is_to_do() -> None:
    codes = {status: exit_code([row(status), row("completed")]) for status in STATUSES}
    broken = dict.fromkeys(("interrupted", "failed", "dead"), 4)
    assert codes == {"running": 3, "waiting": 3, "completed": 0, "diverged": 0} | broken
    assert exit_code([row("failed"), row("waiting")]) == 3


def test_durations_are_short() -> None:
    seconds = (0.4, 59, 61, 3599, 3 * 3600 + 1200, 5 * 86400)
    assert [*map(duration, seconds)] == ["0 s", "59 s", "1 min", "1 h 0 min", "3 h 20 min", "5 days"]


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
    assert bool(CODE.search(printed)) == (not no_colour)
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
    assert "1 waiting, 1 dead" in done.stdout
    study = tmp_path / "outputs" / "default"
    before = read_jobs(study)
    assert [(job.name, job.steps) for job in before] == [("plain8", 30000), ("resnet8", 30000)]
    assert command("-m", *TINY, "depth=8", "model=plain,resnet", "task=describe", cwd=tmp_path).returncode == 0
    assert command("-m", *TINY, "depth=8", "model=plain", "train.steps=0.5,1", cwd=tmp_path).returncode == 1
    assert read_jobs(study) == before, "only what is going to be trained"


def test_pruning_says_first_and_then_does(command: Command, tmp_path: Path) -> None:
    path = complete(tmp_path, *TINY, "depth=8", "train.snapshots=[0]")
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
