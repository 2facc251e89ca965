"""Shells, notebooks and schedulers as users have them, with the real command."""

import fcntl
import json
import os
import pty
import shlex
import signal
import struct
import subprocess
import sys
import termios
from contextlib import suppress
from pathlib import Path

import pytest

from tests.helpers import (
    Command,
    assert_one_message,
    complete,
    finish,
    holder,
    row_written,
    run_folder,
    start,
    statuses,
    wait_until,
    write_run,
)

SHAPES = (
    *("data=synthetic", "threads=1", "data.image_size=8", "width=2", "depth=8", "data.train_limit=64"),
    *("data.test_limit=50", "train.batch_size=16", "train.steps=4", "train.eval_every=2", "optim.milestones=[3]"),
)
REPORT = "resnet_exp.cli.report"


@pytest.mark.parametrize(
    "backend", ["module://matplotlib_inline.backend_inline", pytest.param("inline", marks=pytest.mark.slow), "TkAgg"]
)
def test_figures_ask_no_display(study: Path, tmp_path: Path, backend: str) -> None:
    """Whatever a notebook has put into MPLBACKEND. In a fresh interpreter: matplotlib reads it when it is imported."""
    environment = os.environ | {"MPLBACKEND": backend}
    environment.pop("DISPLAY", None)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", REPORT, "study"],
        cwd=tmp_path, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert (study / "report" / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_a_tilde_is_the_users_home_wherever_a_shell_leaves_it(study: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    environment = os.environ | {"HOME": str(home), "RESNET_EXP_DATA": "~/images"}
    expected = str(home / "images" / "cifar-10-batches-py")
    for more in ((), ("data.root=~/images",)):
        code, _, err = finish(start(tmp_path, "data.download=false", *more, env=environment))
        assert_one_message(code, err, expected)
    assert finish(start(tmp_path, "study", "--out=~/report", module=REPORT, env=environment))[0] == 0
    assert (home / "report" / "report.html").exists()
    assert not (tmp_path / "~").exists()


def test_a_glob_takes_every_net_it_matches(command: Command, tmp_path: Path) -> None:
    deep = [word for word in SHAPES if word != "depth=8"]
    done = command(
        "-m", *deep, "model=glob(plain?*,exclude=[plain18,plain34,plain44,plain56,plain110])", "train.steps=1"
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(file.parent.parent.name for file in tmp_path.rglob("summary.json")) == ["plain20", "plain32"]


def test_a_sweep_over_studies_draws_each(command: Command, tmp_path: Path) -> None:
    done = command("-m", *SHAPES, "study=a,b", "train.steps=1")
    assert (done.returncode, done.stderr) == (0, "")
    for study in "ab":
        assert (tmp_path / "outputs" / study / "report" / "report.html").exists()
        assert f"comparison: outputs/{study}/report/report.html" in done.stdout


def test_a_sweep_over_sweeps_cannot_be_meant(command: Command, tmp_path: Path) -> None:
    failed = command("-m", "experiment=smoke,shortcuts")
    assert_one_message(failed.returncode, failed.stderr, "shortcuts is a sweep of its own", "a command of its own")
    assert list(tmp_path.iterdir()) == []


TITLES = [
    *("Bob's pets", "a&b", "[x]", "größe", "null", "1e5", "${x}", r"back\slash", "end\\", "a,b", "x=y", "tab\there"),
    *("{a:1}", "true", " blank ", '"quoted"', "it's \\'odd\\'", "$HOME `id` $(id)", "#5", "a: b", "?", "nan"),
]


@pytest.mark.parametrize("title", TITLES)
def test_a_printed_command_runs_in_a_shell_and_is_the_same_run(tmp_path: Path, title: str) -> None:
    """Whatever the images are called: through a real shell, Hydra's grammar, and back."""
    from resnet_exp.grammar import quoted

    folder = complete(tmp_path, *SHAPES, f"data.title={quoted(title)}", "train.steps=1", "name=odd")
    assert json.loads((folder.parent.parent / "odd" / "seed0" / "summary.json").read_text())["dataset"]["name"] == title


def test_the_commands_of_a_report_repeat_it(command: Command, tmp_path: Path) -> None:
    """Copied from the page into a shell, each finds its run complete."""
    from resnet_exp.study.report import commands
    from resnet_exp.study.runs import read_study

    for seed in (0, 1):
        words = (*SHAPES, "data.title='Bob\\'s [pets] & größe, null'", f"seed={seed}", "optim.lr=0.05")
        assert command(*words).returncode == 0
    (printed,) = commands(read_study(tmp_path / "outputs")[0])
    spoken = subprocess.run(["bash", "-c", f"printf '%s\\n' {printed}"], capture_output=True, text=True, check=True)
    program, *words = spoken.stdout.splitlines()
    assert program == "resnet-exp"
    assert shlex.split(printed) == [program, *words]
    done = command(*words, "threads=1")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("already completed") == 2


LONG = (*SHAPES, "train.steps=3000", "train.eval_every=20", "train.save_every=1000")


def test_a_closed_terminal_saves_the_run(tmp_path: Path) -> None:
    process = start(tmp_path, *LONG)
    wait_until(row_written(run_folder(tmp_path), 20), "the first row", process=process)
    process.send_signal(signal.SIGHUP)
    code, out, err = finish(process)
    assert (code, err) == (129, "stopped\n")
    assert "stopped: the same command goes on from step" in out
    assert statuses(tmp_path / "outputs" / "default") == ["interrupted"]


NOHUP = """
import signal
signal.signal(signal.SIGHUP, signal.SIG_IGN)
from resnet_exp.cli.start import main
main()
"""


def test_under_nohup_a_run_outlives_its_terminal(tmp_path: Path) -> None:
    process = start(tmp_path, *LONG, "train.steps=300", code=NOHUP)
    wait_until(row_written(run_folder(tmp_path), 20), "the first row", process=process)
    process.send_signal(signal.SIGHUP)
    assert finish(process)[0] == 0
    assert statuses(tmp_path / "outputs" / "default") == ["completed"]


def test_a_closed_terminal_saves_every_run_of_a_sweep(tmp_path: Path) -> None:
    sweep = ("-m", "hydra/launcher=parallel", "hydra.launcher.n_jobs=2", *LONG, "model=plain,resnet")
    process = start(tmp_path, *sweep, start_new_session=True)
    folders = [run_folder(tmp_path, name) for name in ("plain8", "resnet8")]
    for folder in folders:
        wait_until(row_written(folder, 20), "the first row", process=process)
    assert len({holder(folder / ".lock") for folder in folders}) == 2
    os.killpg(process.pid, signal.SIGHUP)
    code, _, err = finish(process)
    assert code == 129
    assert err == "stopped\n"
    assert statuses(tmp_path / "outputs" / "default") == ["interrupted"] * 2


def test_a_sweep_writes_into_a_file(tmp_path: Path) -> None:
    words = ("-m", "hydra/launcher=parallel", "hydra.launcher.n_jobs=2", *SHAPES, "model=plain,resnet")
    with (tmp_path / "log").open("w") as log:
        log.write("before\n")
        log.flush()
        command = [sys.executable, "-m", "resnet_exp", *words]
        assert subprocess.run(command, cwd=tmp_path, stdout=log, stderr=log).returncode == 0
    lines = (tmp_path / "log").read_text().splitlines()
    assert lines[0] == "before"
    for name in ("plain8", "resnet8"):
        assert any(line.startswith(f"{name}/seed0: step 4/4") for line in lines)


def test_on_a_terminal_a_sweep_is_one_table_that_is_redrawn(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
    words = ("-m", "hydra/launcher=parallel", "hydra.launcher.n_jobs=2", *SHAPES, "model=plain,resnet")
    process = subprocess.Popen(
        [sys.executable, "-m", "resnet_exp", *words],
        cwd=tmp_path, stdin=theirs, stdout=theirs, stderr=theirs, env=os.environ | {"TERM": "xterm"},
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    with suppress(OSError):  # the terminal's other side is closed at the end
        while chunk := os.read(ours, 2**16):
            shown += chunk
    os.close(ours)
    assert process.wait() == 0, shown.decode()
    text = shown.decode().replace("\r\n", "\n")
    first, *tables = text.split("\x1b[4A\x1b[J")  # a line of names, two runs, and their count
    assert "2 waiting\n" in first
    assert tables
    last = tables[-1].splitlines()
    assert last[0].split() == ["net", "seed", "status", "step", "train", "%", "test", "%", "images/s", "left"]
    assert [line.split()[0] for line in last[1:3]] == ["plain8", "resnet8"]
    assert all("\x1b[32mcompleted\x1b[0m" in line and "4/4" in line for line in last[1:3])
    assert last[3] == "2 completed"
    assert "plain8/seed0: step 2/4" not in text  # it is in the run's own log
    assert "step 2/4" in (run_folder(tmp_path, "plain8") / "run.log").read_text()


@pytest.mark.parametrize(
    ("arguments", "messages"),
    [
        (["lr=0.1"], ["lr: no such setting; did you mean optim.lr?"]),
        (["steps=5"], ["steps: no such setting; did you mean train.steps?"]),
        (["data.title=a (b"], ["data.title=a (b: not of the form key=value", "'key=\"value\"'"]),
        (["--config-name", "nope"], ["--config-name nope: no such file"]),
        (["--config-dir", "mine", "experiment=bare"], ["experiment/bare", "# @package _global_"]),
    ],
    ids=lambda value: " ".join(value)[:30],
)
def test_what_is_wrong_is_said_with_what_is_right(
    command: Command, tmp_path: Path, arguments: list[str], messages: list[str]
) -> None:
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    (tmp_path / "mine" / "experiment" / "bare.yaml").write_text("study: tiny\ndepth: 14\n")
    failed = command(*arguments)
    assert_one_message(failed.returncode, failed.stderr, *messages)
    assert not (tmp_path / "outputs").exists()


def test_values_are_written_as_users_write_them(command: Command, tmp_path: Path) -> None:
    complete(tmp_path, *SHAPES)
    failed = command(*SHAPES, "data.train_limit=null", "data.augment=false", "optim.milestones=[2,3]")
    assert_one_message(
        failed.returncode, failed.stderr,
        "data.train_limit: 64 -> null", "data.augment: true -> false", "optim.milestones: [3] -> [2,3]",
    )  # fmt: skip


def test_the_version_is_ours(command: Command) -> None:
    import resnet_exp

    assert command("--version").stdout == f"resnet-exp {resnet_exp.__version__}\n"


def test_a_failing_job_is_told_once_and_in_our_words(command: Command) -> None:
    failed = command("-m", *SHAPES, "data.train_limit=64,20000")
    assert failed.returncode == 1
    assert len(failed.stderr.splitlines()) == 2
    assert "Error executing job" not in failed.stdout + failed.stderr


def test_warnings_of_libraries_do_not_reach_the_screen(tmp_path: Path) -> None:
    warn = "import warnings\nwarnings.warn('old', DeprecationWarning)\nwarnings.warn('odd', UserWarning)\n"
    begin = "from resnet_exp.cli import main\njob = main.run\n"
    code = f"{begin}def loud(*a, **k):\n    {warn.replace(chr(10), chr(10) + '    ')}\n    return job(*a, **k)\n"
    code += "main.run = loud\nfrom resnet_exp.cli.start import main as begin\nbegin()\n"
    code_, out, err = finish(start(tmp_path, *SHAPES, code=code, strict=False))
    assert (code_, err) == (0, "")
    assert "old" not in out


@pytest.mark.parametrize("logging", ["disabled", "none", "default"])
def test_another_logging_of_hydras_is_no_trouble(command: Command, tmp_path: Path, logging: str) -> None:
    done = command(*SHAPES, f"hydra/job_logging={logging}")
    assert (done.returncode, done.stderr) == (0, "")
    assert statuses(tmp_path / "outputs" / "default") == ["completed"]


def test_a_home_that_is_not_to_be_had_only_costs_time(tmp_path: Path) -> None:
    """No HOME, and a user whom the system does not know."""
    code = "import os\nfrom pathlib import Path\nfrom resnet_exp.data.image_folder import cache_file\n"
    code += "os.environ.pop('HOME', None)\nos.environ.pop('XDG_CACHE_HOME', None)\nos.setuid(54321)\n"
    code += "print(cache_file(Path('pictures'), image_size=8))"
    if os.getuid() != 0:
        pytest.skip("only root may become another user")
    code_, out, err = finish(start(tmp_path, code=code))
    assert (code_, err) == (0, "")
    assert out.startswith(os.devnull)


@pytest.mark.parametrize(
    ("environment", "threads"),
    [({}, None), ({"OMP_NUM_THREADS": "1"}, 1), ({"OMP_NUM_THREADS": "3,2"}, 3), ({"SLURM_CPUS_PER_TASK": "5"}, 5)],
    ids=str,
)
def test_openmps_and_a_schedulers_word_decide_the_threads(
    tmp_path: Path, environment: dict[str, str], threads: int | None
) -> None:
    clean = {k: v for k, v in os.environ.items() if k not in ("OMP_NUM_THREADS", "SLURM_CPUS_PER_TASK")}
    words = [word for word in SHAPES if word != "threads=1"]
    assert finish(start(tmp_path, *words, "train.steps=1", env=clean | environment))[0] == 0
    found = json.loads((run_folder(tmp_path) / "summary.json").read_text())["environment"]["threads"]
    assert found == threads if threads else 1 <= found <= len(os.sched_getaffinity(0))


def test_a_report_takes_several_folders_links_and_other_programs_files(
    study: Path, tmp_path: Path, command: Command
) -> None:
    other = write_run(tmp_path / "other", "plain", 110, 0, [60.0, 50.0, 40.0]).parents[1]
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "study").symlink_to(study)
    (tmp_path / "links" / "back").symlink_to(tmp_path / "links")
    for name, text in (("wandb", "[]"), ("old", json.dumps({"seed": None, "depth": "20"})), ("torn", "{")):
        (tmp_path / "links" / name).mkdir()
        (tmp_path / "links" / name / "summary.json").write_text(text)
    done = command("links", str(other / "plain110"), "--out", "out", module=REPORT)
    assert (done.returncode, done.stderr) == (0, "")
    for net in ("plain20", "plain56", "resnet20", "plain110"):
        assert f"| {net} " in done.stdout
    assert done.stdout.count("left out: links/") == 3
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count("not the summary of a run") == 3


def test_every_depth_has_a_colour_of_its_own(tmp_path: Path) -> None:
    from resnet_exp.study.figure import colours_of

    for count in range(1, 40):
        colours = colours_of(list(range(20, 20 + count)))
        assert len({*colours.values()}) == count
