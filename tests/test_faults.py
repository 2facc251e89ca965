"""Every fault of a long run, really done to the real command: killed, stopped, full disk, damaged files, two at once.

docs/reliability.md says what is promised and shows what these tests printed.
"""

import json
import os
import pickle
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from resnet_exp.config import Config
from resnet_exp.files import read_sealed
from resnet_exp.runs.checkpoint import NAME, SPARE, load_checkpoint
from tests.helpers import (
    TINY,
    Bomb,
    assert_one_message,
    assert_same,
    complete,
    finish,
    holder,
    row_written,
    rows,
    run_folder,
    start,
    start_fresh,
    statuses,
    wait_until,
)

RUN = (*TINY, "depth=8", "train.steps=150", "train.eval_every=5", "train.save_every=7", "optim.milestones=[100]")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of an undisturbed run."""
    return complete(tmp_path_factory.mktemp("whole"), *RUN)


def kill_and_go_on(tmp_path: Path, whole: Path, *, kills: int, seed: int) -> None:
    """Kills the command at random moments, until it ends before its killer comes; then the next run, till `kills`."""
    rng = random.Random(seed)
    begun, killed, in_loop, runs = time.monotonic(), 0, 0, 0
    complete(tmp_path / "pace", *RUN)
    duration = time.monotonic() - begun
    while killed < kills:
        runs += 1
        cwd = tmp_path / f"parts{runs}"
        while killed < kills:
            process = start(cwd, *RUN)
            try:
                process.communicate(timeout=rng.uniform(0.0, duration))
                break  # it was faster
            except subprocess.TimeoutExpired:
                before = rows(run_folder(cwd)) if (run_folder(cwd) / "metrics.csv").exists() else []
                process.kill()
                process.communicate()
                killed += 1
                in_loop += 0 < len(before) < len(rows(whole))
        complete(cwd, *RUN)
        assert_same(run_folder(cwd), whole)
    print(f"\n{killed} kills in {runs} runs, {in_loop} of them with some but not all rows written")


def test_a_run_killed_again_and_again_ends_with_the_same_bytes(tmp_path: Path, whole: Path) -> None:
    kill_and_go_on(tmp_path, whole, kills=6, seed=0)


@pytest.mark.slow
def test_a_hundred_kills(tmp_path: Path, whole: Path) -> None:
    kill_and_go_on(tmp_path, whole, kills=100, seed=1)


# Forks a fresh process for every file operation of a short run, and kills it right before that operation.
KILL_BEFORE_EVERY_FILE_OPERATION = """
import io, os, pathlib, pickle, signal, sys
import torch
from torch.utils.tensorboard import SummaryWriter
from resnet_exp.runs.folder import RunFolder
from resnet_exp.training.run import train_run
from resnet_exp.training.stop import Stop

torch.set_num_threads(1)
config = pickle.loads(pathlib.Path("config").read_bytes())
NAMES = {"open", "write", "truncate", "fsync", "replace", "rename", "unlink", "mkdir", "close"}

def operate(folder, last):
    count = 0
    def profile(frame, event, function):
        nonlocal count
        owner = getattr(function, "__self__", None)
        if event == "c_call" and function.__name__ in NAMES and (
            isinstance(owner, io.IOBase) or getattr(owner, "__name__", None) in ("posix", "_io", "io")
        ):
            count += 1
            if count == last:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.setprofile(profile)
    with RunFolder(pathlib.Path(folder)) as run:
        train_run(config, run, stop=Stop())
    sys.setprofile(None)

def child(folder, last):
    process = os.fork()
    if process == 0:
        operate(folder, last)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])

last = 0
while True:
    last += int(sys.argv[1])
    code = child(f"run{last}", last)
    assert code in (0, -signal.SIGKILL), code
    assert child(f"run{last}", 0) == 0
    if code == 0:
        break
print(last)
"""


@pytest.mark.parametrize("every", [31, pytest.param(1, marks=pytest.mark.slow)])
def test_a_kill_before_any_file_operation_changes_nothing(
    settings: Callable[..., Config], tmp_path: Path, every: int
) -> None:
    config = settings(*TINY, "width=2", "depth=8", "train.steps=6", "train.eval_every=2", "train.save_every=3")
    (tmp_path / "config").write_bytes(pickle.dumps(config))
    code, out, err = finish(start(tmp_path, str(every), code=KILL_BEFORE_EVERY_FILE_OPERATION))
    assert code == 0, err
    *killed, whole = sorted(tmp_path.glob("run*"), key=lambda folder: int(folder.name[3:]))
    assert whole.name == f"run{int(out.splitlines()[-1])}"
    assert len(killed) > 5
    for parts in killed:
        assert_same(parts, whole)
    print(f"\nkilled before {len(killed)} file operations")


FRAGILE = """
import os, signal
try:
    os.kill(os.getpid(), signal.SIGTERM)
except BaseException as error:
    raise ImportError("a module written in C failed to import") from error
"""


def test_a_stop_is_no_exception_that_a_library_could_take_for_its_own(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text(FRAGILE)  # stands before the real one
    code, _, err = finish(start_fresh(tmp_path, *RUN))
    assert (code, err) == (143, "stopped\n")


# The command, which sends itself a signal when it calls FUNCTION (module:name) for the NUMBER-th time.
SIGNAL_IN = """
import builtins, os, sys
from importlib import import_module
module, name = sys.argv.pop(1).split(":")
number, signum = int(sys.argv.pop(1)), int(sys.argv.pop(1))
owner = import_module(module)
for part in name.split(".")[:-1]:
    owner = getattr(owner, part)
name, calls = name.split(".")[-1], 0
function = getattr(owner, name)
def called(*arguments, **named):
    global calls
    if module != "builtins" or arguments[0] == "torch":
        calls += 1
        if calls == number:
            os.kill(os.getpid(), signum)
    return function(*arguments, **named)
setattr(owner, name, called)
from resnet_exp.__main__ import main
main()
"""


def stopped_in(cwd: Path, function: str, number: int, signum: int = signal.SIGTERM) -> tuple[int, str, str]:
    arguments = (function, str(number), str(int(signum)), *RUN)
    if function == "builtins:__import__":  # a fork has nothing left to import
        return finish(start_fresh(cwd, *arguments, program=(sys.executable, "-W", "error", "-c", SIGNAL_IN)))
    return finish(start(cwd, *arguments, code=SIGNAL_IN))


@pytest.mark.parametrize(
    ("function", "number", "saved"),
    [
        ("builtins:__import__", 1, None),  # torch
        ("resnet_exp.data.synthetic:paint_split", 2, None),
        ("resnet_exp.training.step:TrainStep.__call__", 1, None),  # where a net is compiled
        ("resnet_exp.compute.evaluate:Evaluation.__call__", 4, 20),
        ("resnet_exp.compute.evaluate:Evaluation.__call__", 30, 150),  # the last row
        ("resnet_exp.files:os.fsync", 12, None),
        ("resnet_exp.training.loop:save_checkpoint", 4, 29),
        ("resnet_exp.compute.evaluate:Evaluation.__call__", 31, 150),  # the final errors
    ],
)
def test_a_stop_in_any_phase_is_clean(tmp_path: Path, whole: Path, function: str, number: int, saved: int) -> None:
    code, _, err = stopped_in(tmp_path, function, number)
    assert (code, err) == (143, "stopped\n")
    newest = load_checkpoint(run_folder(tmp_path)) if run_folder(tmp_path).exists() else None
    if saved is not None:
        assert newest is not None
        assert newest["state"]["step"] == saved
    if newest is not None:
        assert_same(complete(tmp_path, *RUN), whole)


@pytest.mark.slow
def test_a_killed_job_takes_no_other_job_along(tmp_path: Path) -> None:
    """Each job a process of its own, as on a cluster; the same command then runs only what is missing."""
    small = (*TINY, "train.steps=100", "train.eval_every=10", "width=2", "data.train_limit=40")
    sweep = ("-m", "hydra/launcher=submitit_local", *small, "model=plain", "depth=8", "seed=0,1")
    study = tmp_path / "outputs" / "default"
    process = start(tmp_path, *sweep, strict=False)  # submitit leaves its processes to the collector
    victim = run_folder(tmp_path, "plain8")
    wait_until(row_written(victim, 10), "the first row", process=process)
    killed = holder(victim / ".lock")
    assert killed is not None
    os.kill(killed, signal.SIGKILL)
    code, _, err = finish(process)
    assert_one_message(code, err, "a job of this sweep ended before its time", "runs only what is missing")
    wait_until(lambda: statuses(study).count("completed") == 1, "the end of the other jobs")
    assert statuses(study) == ["completed", "running"]
    before = {file: file.stat().st_mtime_ns for file in study.glob("*/seed*/checkpoint.pt")}

    code, _, err = finish(start(tmp_path, *sweep))
    assert (code, err) == (0, "")
    assert statuses(study) == ["completed"] * 2
    after = {file: file.stat().st_mtime_ns for file in study.glob("*/seed*/checkpoint.pt")}
    assert {file for file in after if after[file] != before.get(file)} == {victim / "checkpoint.pt"}


@pytest.mark.slow
@pytest.mark.parametrize("timeout", [False, True])
def test_a_job_that_submitit_takes_back_goes_on_in_its_next_turn(tmp_path: Path, timeout: bool) -> None:
    """Its SIGUSR2: sent by hand, as at a preemption, or by submitit itself, 30 s before a time limit of a minute."""
    steps = 8000 if timeout else 300
    many = (*TINY, f"train.steps={steps}", "train.eval_every=50", f"train.save_every={steps // 2}")
    process = start(tmp_path / "parts", "-m", "hydra/launcher=submitit_local", "hydra.launcher.timeout_min=1", *many)
    parts = run_folder(tmp_path / "parts", "resnet20")
    if not timeout:
        wait_until(row_written(parts, 50), "the first row", process=process)
        worker = holder(parts / ".lock")
        assert worker is not None
        os.kill(worker, signal.SIGUSR2)
    code, _, err = finish(process)
    assert (code, err) == (0, "")
    log = (parts / "run.log").read_text()
    assert log.count("stopped: the same command goes on from step") == log.count("resuming at step") >= 1
    assert "Requeued job" in log
    complete(tmp_path / "whole", *many)
    assert_same(parts, run_folder(tmp_path / "whole", "resnet20"))
    print("\n" + "\n".join(line for line in log.splitlines() if "stopped" in line or "resuming" in line))


@pytest.mark.slow
def test_twenty_stops_spread_over_a_run(tmp_path: Path, whole: Path) -> None:
    begun = time.monotonic()
    complete(tmp_path / "pace", *RUN)
    duration = time.monotonic() - begun
    print()
    for index in range(20):
        cwd = tmp_path / str(index)
        process = start(cwd, *RUN)
        wait = 0.1 + (duration - 0.6) * index / 20  # Python itself needs a moment before it can be asked
        time.sleep(wait)
        asked = time.monotonic()
        process.send_signal(signal.SIGTERM)
        code, _, err = finish(process)
        took = time.monotonic() - asked
        assert (code, err) == (143, "stopped\n")
        newest = load_checkpoint(run_folder(cwd)) if run_folder(cwd).exists() else None
        saved = newest["state"]["step"] if newest else 0
        table = rows(run_folder(cwd)) if (run_folder(cwd) / "metrics.csv").exists() else []
        seen = int(table[-1]["step"]) if table else 0
        print(f"after {wait:.1f} s: ended in {took:.2f} s, saved at step {saved}")
        assert saved >= seen - 1
        assert_same(complete(cwd, *RUN), whole)


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    cwd = tmp_path_factory.mktemp("stopped")
    assert stopped_in(cwd, "resnet_exp.training.step:TrainStep.__call__", 33)[0] == 143
    return cwd


@pytest.fixture
def begun(stopped: Path, tmp_path: Path) -> Path:
    """The run folder of a run stopped at step 33, with the checkpoint of step 28 as a spare."""
    shutil.copytree(stopped, tmp_path, dirs_exist_ok=True)
    folder = run_folder(tmp_path)
    assert [read_sealed(folder / name)["state"]["step"] for name in (NAME, SPARE)] == [33, 28]
    return folder


def zero_tail(data: bytearray) -> bytes:
    return data[:-5000] + bytes(5000)


def flip(data: bytearray) -> bytes:
    data[len(data) // 3] ^= 16
    return data


def malice(data: bytearray) -> bytes:
    return pickle.dumps(Bomb())


@pytest.mark.parametrize("damage", [zero_tail, malice])
def test_a_damaged_checkpoint_is_passed_over_loudly(
    begun: Path, tmp_path: Path, whole: Path, damage: Callable[[bytearray], bytes]
) -> None:
    (begun / NAME).write_bytes(damage(bytearray((begun / NAME).read_bytes())))
    code, out, err = finish(start(tmp_path, *RUN))
    assert (code, err) == (0, "")
    assert f"{NAME}: damaged or not written by resnet-exp; trying the one before" in out
    assert "resuming at step 28" in out
    assert_same(begun, whole)
    assert not list(tmp_path.rglob("exploded"))


def test_with_every_checkpoint_damaged_nothing_is_begun_anew(begun: Path, tmp_path: Path) -> None:
    for name in (NAME, SPARE):
        (begun / name).write_bytes(flip(bytearray((begun / name).read_bytes())))
    said = ("run.log", "summary.json")
    before = {file: file.read_bytes() for file in begun.glob("[a-z]*") if file.name not in said}
    code, _, err = finish(start(tmp_path, *RUN))
    assert_one_message(code, err, "every checkpoint is damaged", "fresh=true starts this run again from step 0")
    assert {file: file.read_bytes() for file in begun.glob("[a-z]*") if file.name not in said} == before
    summary = json.loads((begun / "summary.json").read_text())
    assert summary["status"] == "failed"
    assert "every checkpoint is damaged" in summary["reason"]


def test_no_flipped_bit_and_no_cut_is_ever_loaded(begun: Path) -> None:
    newest, spare = begun / NAME, load_checkpoint(begun)
    good = newest.read_bytes()
    rng = random.Random(0)
    damaged = [good[: len(good) * percent // 100] for percent in range(100)]
    for _ in range(1000):
        data = bytearray(good)
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        damaged.append(bytes(data))
    (begun / SPARE).unlink()
    for data in damaged:
        newest.write_bytes(data)
        with pytest.raises(ValueError, match="every checkpoint is damaged"):
            load_checkpoint(begun)
    newest.write_bytes(good)
    assert repr(load_checkpoint(begun)) == repr(spare)


def test_a_torn_event_file_costs_no_row(begun: Path, tmp_path: Path, whole: Path) -> None:
    (events,) = begun.glob("*tfevents*")
    events.write_bytes(events.read_bytes()[:-9])
    assert complete(tmp_path, *RUN) == begun
    assert (begun / "metrics.csv").read_bytes() == (whole / "metrics.csv").read_bytes()
    steps = [event.step for event in EventAccumulator(str(begun)).Reload().Scalars("test/error")]
    assert steps == sorted(set(steps))
    assert len(steps) >= len(rows(whole)) - 1


def test_other_settings_are_refused_even_without_their_file(begun: Path, tmp_path: Path) -> None:
    for remove in ((), ("config.yaml", "summary.json")):
        for name in remove:
            (begun / name).unlink()
        code, _, err = finish(start(tmp_path, *RUN, "optim.lr=0.5", "train.save_every=9"))
        assert_one_message(code, err, "optim.lr: 0.1 -> 0.5\n", "study=ANOTHER", "fresh=true")


def test_a_complete_run_says_the_same_again_where_its_summary_is_damaged(tmp_path: Path) -> None:
    """From its weights alone: it keeps nothing else."""
    path = complete(tmp_path, *RUN)
    assert sorted(file.name for file in path.glob("*.pt")) == [NAME]
    before, rows = json.loads((path / "summary.json").read_text()), (path / "metrics.csv").read_bytes()
    (path / "summary.json").write_text("{")
    assert complete(tmp_path, *RUN) == path
    after = json.loads((path / "summary.json").read_text())
    for key in ("status", "step", "train_error", "train_error_clean", "test_error", "test_error_recomputed_bn"):
        assert after[key] == before[key], key
    assert (path / "metrics.csv").read_bytes() == rows


@pytest.mark.parametrize("name", ["config.yaml", "summary.json"])
def test_a_damaged_text_file_is_named(begun: Path, tmp_path: Path, whole: Path, name: str) -> None:
    (begun / name).write_bytes(b"\0" * 100)
    code, out, err = finish(start(tmp_path, *RUN))
    if name == "config.yaml":
        assert_one_message(code, err, "config.yaml: damaged", "fresh=true")
    else:
        assert (code, err) == (0, "")
        assert "summary.json: damaged" in out
        assert_same(begun, whole)


def test_of_two_processes_the_second_ends_at_once(tmp_path: Path, whole: Path) -> None:
    first = start(tmp_path, *RUN)
    wait_until(row_written(run_folder(tmp_path), 5), "the first row", process=first)
    first.send_signal(signal.SIGSTOP)  # lest it ends before the second has looked
    code, _, err = finish(start(tmp_path, *RUN))
    first.send_signal(signal.SIGCONT)
    assert_one_message(code, err, "another process is training this run")
    assert finish(first)[0] == 0
    assert_same(run_folder(tmp_path), whole)


@pytest.mark.parametrize(("share", "where"), [(0.0, ".hydra/hydra.yaml"), (0.08, NAME), (0.7, NAME)])
def test_a_full_disk_keeps_what_was_saved(begun: Path, tmp_path: Path, whole: Path, share: float, where: str) -> None:
    """Files may not grow beyond a share of a checkpoint: too little for Hydra, for TensorBoard too, for it alone."""
    before = {name: (begun / name).read_bytes() for name in (NAME, SPARE)}
    size = 600 + int(share * len(before[NAME]))
    code, out, err = finish(start(tmp_path, *RUN, "train.save_every=150", largest_file=size))
    assert_one_message(code, err, where, "File too large", "what was saved before is kept")
    if share:
        summary = json.loads((begun / "summary.json").read_text())
        assert (summary["status"], summary["step"]) == ("failed", 150)
        assert summary["reason"].endswith(": File too large")
    assert ("metrics.csv goes on without them" in out) == (share == 0.08)
    assert {name: (begun / name).read_bytes() for name in (NAME, SPARE)} == before
    assert not [file.name for file in begun.iterdir() if file.name.endswith((".tmp", ".new"))]
    assert (begun / "metrics.csv").read_text().endswith("\n")
    assert_same(complete(tmp_path, *RUN), whole)


def test_too_little_memory_is_one_message(tmp_path: Path) -> None:
    code, _, err = finish(start(tmp_path, *TINY, "width=4000000", "depth=8"))
    assert_one_message(code, err, "out of memory", "train.batch_size")


def test_a_diverging_run_is_a_result_and_the_sweep_goes_on(tmp_path: Path) -> None:
    sweep = ("-m", *TINY, "depth=8", "optim.lr=100,0.1", "train.steps=40", "train.save_every=1")
    code, out, err = finish(start(tmp_path, *sweep))
    assert (code, err) == (0, "")
    folder = run_folder(tmp_path, "resnet8-lr100.0")
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["status"] == "diverged"
    assert 0 < summary["first_bad_step"] < 40
    newest = load_checkpoint(folder)
    assert newest is not None
    assert all(tensor.isfinite().all() for tensor in newest["state"]["model"].values())
    assert "| 1 diverged " in out
    assert "| 1 completed |" in out
    assert "diverged" in (tmp_path / "outputs" / "default" / "report" / "summary.csv").read_text()
    again = finish(start(tmp_path, *sweep))
    assert again[1].count("already") == 2


FROM_A_SLOW_SERVER = """
import sys
from torchvision import datasets
datasets.CIFAR10.url = sys.argv.pop(1)
from resnet_exp.__main__ import main
main()
"""


def test_a_stop_in_a_download_is_clean_and_what_came_is_not_trusted(tmp_path: Path) -> None:
    with socket.create_server(("localhost", 0)) as server:
        url = f"http://localhost:{server.getsockname()[1]}/cifar-10-python.tar.gz"
        process = start(tmp_path, url, "data.root=here", code=FROM_A_SLOW_SERVER)
        head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\nConnection: close\r\n\r\n"
        with server.accept()[0] as connection:  # torchvision asks for redirections
            connection.recv(1000)
            connection.sendall(head)
        with server.accept()[0] as connection:
            connection.recv(1000)
            connection.sendall(head + bytes(50_000))
            wait_until(lambda: list((tmp_path / "here").glob("*.gz")), "the first bytes", process=process)
            process.send_signal(signal.SIGTERM)
            code, _, err = finish(process)
    assert code == 143
    assert err.splitlines()[-1] == "stopped"
    assert "Traceback" not in err
    code, _, err = finish(start(tmp_path, "data.root=here", "data.download=false"))
    assert_one_message(code, err, "cifar10: missing or damaged", "MD5")


@pytest.mark.parametrize("word", ["device=cuda:99", "init_from=weights.pt", "data.test_limit=100000"])
def test_a_run_that_was_to_be_replaced_stays_if_the_other_cannot_begin(whole: Path, tmp_path: Path, word: str) -> None:
    shutil.copytree(whole, run_folder(tmp_path))
    (tmp_path / "weights.pt").write_bytes(b"none")
    code, _, err = finish(start(tmp_path, *RUN, "fresh=true", word))
    assert code == 1, err
    assert_same(run_folder(tmp_path), whole)
    assert json.loads((run_folder(tmp_path) / "summary.json").read_text())["status"] == "completed"


def test_each_command_of_a_clusters_job_begins_afresh(tmp_path: Path) -> None:
    words = ("-m", "hydra/launcher=parallel", *TINY, "depth=8", "fresh=true")
    for _ in range(2):
        code, out, err = finish(start(tmp_path, *words, env=os.environ | {"SLURM_JOB_ID": "7"}))
        assert (code, err) == (0, "")
        assert "already completed" not in out


def test_a_requeued_job_goes_on_with_what_it_began_afresh(begun: Path, tmp_path: Path) -> None:
    first, again = {"SLURM_JOB_ID": "7"}, {"SLURM_JOB_ID": "7", "SLURM_RESTART_COUNT": "1"}
    another, local = again | {"SLURM_JOB_ID": "8"}, {"SUBMITIT_LOCAL_JOB_ID": "9"}
    for job, resumes in (
        (again, False),
        (again, True),
        (first, False),
        (another, False),
        (local, False),
        (local, True),
    ):
        command = start(tmp_path, *RUN, "fresh=true", "train.steps=20", env=os.environ | job)
        code, out, err = finish(command)
        assert (code, err) == (0, "")
        assert ("already completed" in out) == resumes, job
    assert [row["step"] for row in rows(begun)] == [5, 10, 15, 20]


def test_a_lost_journal_is_written_again(begun: Path, tmp_path: Path, whole: Path) -> None:
    (begun / "metrics.csv").unlink()
    code, out, err = finish(start(tmp_path, *RUN))
    assert (code, err) == (0, "")
    assert "metrics.csv: lost or changed since the checkpoint was written" in out
    assert_same(begun, whole)
