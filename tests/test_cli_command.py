"""The commands a user types, in processes of their own."""

import functools
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest
from omegaconf import OmegaConf

from tests.forkserver import REPORT, ForkedProcess
from tests.helpers import (
    LINES,
    ROOT,
    TINY,
    Command,
    assert_one_message,
    finish,
    row_written,
    run_folder,
    start,
    start_fresh,
    wait_until,
)

Begin = Callable[..., ForkedProcess | subprocess.Popen[str]]
SCRIPTS = Path(sys.executable).parent  # where an installation puts its commands


@pytest.mark.parametrize(
    ("arguments", "messages"),
    [
        (["model=plian56"], ["model=plian56: no such choice; did you mean plain56?", "resnet1202"]),
        (["dept=20"], ["dept: no such setting; did you mean depth?"]),
        (["optim.rl=1"], ["optim.rl: no such setting; did you mean optim.lr?"]),
        (["+sead=3"], ["sead: no such setting; did you mean seed?"]),
        (["depth=twenty"], ["depth=twenty", "could not be converted to Integer"]),
        (["optim.milestones=3"], ["optim.milestones=3"]),
        (["depth=21"], ["depth=21: a CIFAR net of basic blocks has 6n+2 layers; near are 20 and 26"]),
        (["model=bottleneck", "depth=57"], ["9n+2 layers; near are 56 and 65"]),
        (["data=image_folder", "data.root=/no/such"], ["data.root=/no/such: no folder train", "data=synthetic"]),
        (["seed"], ["seed: not of the form key=value"]),
        (["depth=20,56"], ["depth=20,56", "-m"]),
        (["--wrong"], ["--wrong"]),
        (["-m", "depth=20,21,56"], ["depth=21: a CIFAR net of basic blocks"]),
        (["-m", "depth=20,56", "data=image_folder", "data.root=/no/such"], ["no folder train"]),
        (["-m", "model=plain20,plain", "depth=20"], ["two jobs of this sweep are the same run, plain20 seed 0"]),
        (["-m", "+sead=1,2"], ["sead: no such setting"]),
    ],
    ids=" ".join,
)
def test_a_wrong_word_is_answered_in_three_lines_without_torch(
    command: Command, tmp_path: Path, arguments: list[str], messages: list[str]
) -> None:
    (tmp_path / "torch.py").write_text("raise SystemExit('torch was imported')\n")
    failed = command(*arguments, fresh=True)
    assert failed.returncode == 1, failed.stderr
    assert failed.stdout == ""
    assert failed.stderr.startswith("error: ")
    for message in messages:
        assert message in failed.stderr
    assert "Traceback" not in failed.stderr
    assert len(failed.stderr.splitlines()) <= LINES
    assert not list(tmp_path.rglob("metrics.csv"))


@pytest.mark.parametrize(
    ("arguments", "messages"),
    [
        (["data=synthetic", "device=cuda:99"], ["device=cuda:99: no such GPU", "device=cpu"]),
        (
            ["data=cifar10", "data.download=false", "data.root=here"],
            ["cifar10: missing or damaged", "here/cifar-10-batches-py", "data=synthetic needs no download"],
        ),
        (
            ["data=synthetic", "data.train_limit=20000"],
            ["data.train_limit=20000: that takes 20000 training images; synthetic has 10000"],
        ),
        (["task=evaluate"], ["no checkpoint to evaluate"]),
    ],
    ids=lambda value: " ".join(value)[:40],
)
def test_what_only_torch_can_tell_is_one_message_too(
    command: Command, arguments: list[str], messages: list[str]
) -> None:
    failed = command(*arguments)
    assert failed.returncode == 1
    assert failed.stderr.startswith("error: ")
    for message in messages:
        assert message in failed.stderr
    assert "Traceback" not in failed.stderr
    assert len(failed.stderr.splitlines()) <= LINES


def test_an_output_folder_that_cannot_be_written_is_one_message(command: Command, tmp_path: Path) -> None:
    (tmp_path / "outputs").write_text("a file")
    failed = command(*TINY)
    assert failed.returncode == 1
    assert len(failed.stderr.splitlines()) <= LINES
    assert "Not a directory" in failed.stderr


def test_help_lists_the_choices(command: Command) -> None:
    done = command("--help")
    assert done.returncode == 0
    for word in (
        "resnet-exp experiment=quick",
        "preact164",
        "image_folder",
        "degradation",
        "milestones",
        "--config-dir",
    ):
        assert word in done.stdout


def test_one_command_trains_one_net_and_says_one_line_per_evaluation(command: Command, tmp_path: Path) -> None:
    done = command(*TINY, "model=plain56")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    start, *evaluations, final, end = done.stdout.splitlines()
    assert final == "measuring the final errors on all 100 training images"
    assert start.startswith("plain56 seed 0: ")
    assert [line.split("  ")[0] for line in evaluations] == ["step 3/6", "step 6/6"]
    assert all("train loss" in line and "test loss" in line and "images/s" in line for line in evaluations)
    assert end.startswith("completed")
    folder = tmp_path / "outputs" / "default" / "plain56" / "seed0"
    names = {re.sub(r"events\..*", "events", file.name) for file in folder.iterdir()}
    wanted = {"config.yaml", "metrics.csv", "summary.json", "checkpoint.pt", "events", "run.log"}
    assert wanted | {".hydra"} <= names
    assert "step 6/6" in (folder / "run.log").read_text()

    again = command(*TINY, "model=plain56")
    assert again.returncode == 0
    assert again.stdout == "default/plain56/seed0: already completed; fresh=true trains it again\n"

    refused = command(*TINY, "model=plain56", "optim.lr=0.5")
    assert refused.returncode == 1
    assert "optim.lr: 0.1 -> 0.5" in refused.stderr
    assert "fresh=true" in refused.stderr
    assert "study=" in refused.stderr
    assert len(refused.stderr.splitlines()) <= LINES

    evaluated = command(*TINY, "model=plain56", "task=evaluate")
    error = json.loads((folder / "summary.json").read_text())["test_error"]
    assert re.search(rf"^step 6  test images 50  loss \S+  error {error:.2f} %$", evaluated.stdout, re.MULTILINE)

    other = command(*TINY, "model=plain56", "task=evaluate", "data.train_limit=20")
    assert other.returncode == 1
    assert "data.train_limit: 100 -> 20" in other.stderr

    before = (folder / "metrics.csv").read_text()
    fresh = command(*TINY, "model=plain56", "optim.lr=0.5", "fresh=true")
    assert fresh.returncode == 0
    assert (folder / "metrics.csv").read_text() != before


@pytest.mark.slow
def test_1202_layers_through_the_command(command: Command, tmp_path: Path) -> None:
    done = command(*TINY, "model=resnet1202", "train.steps=1", "train.batch_size=2", "width=2", "data.train_limit=4")
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "outputs" / "default" / "resnet1202" / "seed0"
    assert json.loads((folder / "summary.json").read_text())["status"] == "completed"
    described = command("task=describe", "model=resnet1202").stdout.splitlines()
    assert next(line for line in described if line.startswith("resnet1202 ")).split()[3] == "19,421,274"


LONG = (*TINY, "train.steps=200", "train.eval_every=20", "train.save_every=1000")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`metrics.csv` of a run that was left alone."""
    cwd = tmp_path_factory.mktemp("whole")
    code, _, err = finish(start(cwd, *LONG))
    assert (code, err) == (0, "")
    return run_folder(cwd, "resnet20") / "metrics.csv"


def assert_stopped_and_resumed(
    cwd: Path, whole: Path, *, begin: Begin, resume: Begin, signum: signal.Signals, code: int
) -> None:
    """Stops a run by a signal and goes on with it; it ends with the bytes of one that was left alone."""
    process = begin(cwd, *LONG, "study=parts")
    folder = cwd / "outputs" / "parts" / "resnet20" / "seed0"
    wait_until(row_written(folder, 60), "the third row", process=process)
    process.send_signal(signum)
    returned, out, err = finish(process)
    assert returned == code
    assert err == "stopped\n"
    assert "stopped: the same command goes on from step" in out
    assert json.loads((folder / "summary.json").read_text())["status"] == "interrupted"
    returned, out, err = finish(resume(cwd, *LONG, "study=parts"))
    assert (returned, err) == (0, "")
    assert "resuming at step" in out
    assert (folder / "metrics.csv").read_bytes() == whole.read_bytes()


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_run_goes_on_with_the_same_command(
    tmp_path: Path, whole: Path, signum: signal.Signals, code: int
) -> None:
    assert_stopped_and_resumed(tmp_path, whole, begin=start, resume=start, signum=signum, code=code)


def test_the_module_and_the_installed_command_are_the_same(tmp_path: Path, whole: Path) -> None:
    """In fresh interpreters: what one began the other goes on with, and a fork computes the same bytes."""
    script = functools.partial(start_fresh, program=(str(SCRIPTS / "resnet-exp"),))
    assert_stopped_and_resumed(
        tmp_path, whole, begin=start_fresh, resume=script, signum=signal.SIGINT, code=128 + signal.SIGINT
    )


def test_the_report_is_an_installed_command_too(command: Command, study: Path, tmp_path: Path) -> None:
    code, out, err = finish(start_fresh(tmp_path, "study", program=(str(SCRIPTS / "resnet-exp-report"),)))
    assert (code, err) == (0, "")
    assert "| plain56 " in out
    assert out == command("study", module=REPORT).stdout


def test_a_sweep_trains_draws_skips_and_survives_a_failing_job(command: Command, tmp_path: Path) -> None:
    study = tmp_path / "outputs" / "default"
    sweep = ["-m", *TINY, "model=plain,resnet", "depth=8"]
    done = command(*sweep)
    assert done.returncode == 0, done.stderr
    for name in ("plain8", "resnet8"):
        assert json.loads((study / name / "seed0" / "summary.json").read_text())["status"] == "completed"
        assert f"| {name} " in done.stdout
    figure = study / "report" / "curves.png"
    drawn = figure.stat().st_mtime_ns

    (study / "plain8" / "seed0" / "summary.json").unlink()  # as if killed before its end
    again = command(*sweep)
    assert again.returncode == 0
    assert again.stdout.count("already completed") == 1
    assert "resuming at step 6" in again.stdout
    assert json.loads((study / "plain8" / "seed0" / "summary.json").read_text())["status"] == "completed"
    assert figure.stat().st_mtime_ns > drawn

    mixed = command("-m", *TINY, "study=mixed", "data.train_limit=50,20000", "seed=0,1")
    assert mixed.returncode == 1
    assert mixed.stderr.count("error in resnet20-train_limit20000/seed") == 2
    assert "not every job of this sweep succeeded" in mixed.stderr
    assert "Traceback" not in mixed.stderr
    finished = sorted(file.parent.parent.name for file in (tmp_path / "outputs" / "mixed").rglob("summary.json"))
    assert finished == ["resnet20-train_limit50"] * 2
    assert re.findall(r"#\d : .*(seed=\d)", mixed.stdout) == ["seed=0"] * 2 + ["seed=1"] * 2
    assert "comparison: outputs/mixed/report/report.html" in mixed.stdout, "of those that succeeded"


def test_a_run_that_compiles_nothing_imports_no_compiler(tmp_path: Path) -> None:
    """Nor torchvision, which brings it and which generated images do without."""
    process = start_fresh(tmp_path, *TINY, program=(sys.executable, "-X", "importtime", "-m", "resnet_exp"))
    code, _, err = finish(process)
    assert code == 0
    imported = {line.rpartition("|")[2].strip() for line in err.splitlines()}
    assert "torch.optim" in imported
    assert not imported & {"torch._dynamo", "torch._inductor", "torchvision", "sympy"}


def test_an_experiment_is_a_sweep_of_its_own(command: Command, tmp_path: Path) -> None:
    small = ["data.train_limit=64", "data.test_limit=32", "data.image_size=8", "width=2"]
    done = command("experiment=quick", *small, "train.steps=2", "threads=1", "depth=8", "hydra/launcher=basic")
    assert done.returncode == 0, done.stderr
    found = Counter(file.parent.parent.name for file in (tmp_path / "outputs" / "quick").rglob("metrics.csv"))
    assert found == {"plain8": 3, "resnet8": 3}


def test_a_sweep_takes_what_a_setting_takes_from_another_in_each_job(command: Command) -> None:
    words = ("-m", *TINY, "model=plain", "depth=8,14", "seed=0,1", "dry_run=true")
    done = command(*words, "name=net${depth}")
    assert done.returncode == 0, done.stderr
    jobs = [line.split()[:2] for line in done.stdout.splitlines()[1:5]]
    assert sorted(jobs) == [["net14", "0"], ["net14", "1"], ["net8", "0"], ["net8", "1"]]
    done = command("-m", *TINY, "model=plain", "depth=8", "++optim.lr=0.1,0.05", "dry_run=true")
    assert done.returncode == 0, done.stderr
    assert "\nplain8-lr0.05 " in done.stdout


def test_a_sweep_of_which_a_folder_cannot_be_made_does_not_begin(command: Command, tmp_path: Path) -> None:
    (tmp_path / "outputs" / "default").mkdir(parents=True)
    (tmp_path / "outputs" / "default" / "plain14").write_text("a file")
    for launcher in ("basic", "parallel"):
        done = command("-m", f"hydra/launcher={launcher}", *TINY, "model=plain", "depth=8,14")
        assert_one_message(done.returncode, done.stderr, "outputs/default/plain14: Not a directory")
        assert not [*tmp_path.rglob("metrics.csv")]


def test_own_configs_can_be_added(command: Command, tmp_path: Path) -> None:
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    (tmp_path / "mine" / "experiment" / "tiny.yaml").write_text("# @package _global_\nstudy: tiny\ndepth: 14\n")
    done = command("--config-dir", "mine", *TINY, "experiment=tiny")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "outputs" / "tiny" / "resnet14" / "seed0" / "summary.json").exists()


def test_settings_that_belong_together_are_swept_as_files(command: Command, tmp_path: Path) -> None:
    (tmp_path / "mine" / "arm").mkdir(parents=True)
    for name, depth, lr in (("d8", 8, 0.1), ("d14", 14, 0.05)):
        text = f"# @package _global_\ndepth: {depth}\noptim: {{lr: {lr}}}\n"
        (tmp_path / "mine" / "arm" / f"{name}.yaml").write_text(text)
    done = command("--config-dir", "mine", "-m", "arm=d8,d14", "model=plain,resnet", *TINY)
    assert done.returncode == 0, done.stderr
    rates = {
        file.parent.parent.name: OmegaConf.load(file).optim.lr
        for file in (tmp_path / "outputs" / "default").glob("*/seed0/config.yaml")
    }
    assert rates == {"plain8": 0.1, "resnet8": 0.1, "plain14": 0.05, "resnet14": 0.05}


@pytest.fixture
def tensorboard(tmp_path: Path) -> Iterator[str]:
    """A TensorBoard over the outputs in `tmp_path`; yields its address."""
    log = tmp_path / "tensorboard.log"
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "tensorboard.main", "--logdir", "outputs", "--port", "0", "--load_fast", "false"],
            cwd=tmp_path, stdout=file, stderr=file, text=True, env=os.environ | {"PYTHONUNBUFFERED": "1"},
        )  # fmt: skip
    try:
        wait_until(lambda: "http://localhost:" in log.read_text(), "its address", process=process)
        yield re.search(r"http://localhost:\d+", log.read_text())[0]
    finally:
        process.terminate()
        process.wait()


def test_tensorboard_shows_every_run_under_the_same_tags(
    command: Command, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    for model in ("plain8", "resnet8"):
        assert command(*TINY, f"model={model[:-1]}", "depth=8").returncode == 0
    address = request.getfixturevalue("tensorboard")

    def get(path: str) -> object:
        with urlopen(f"{address}/data/plugin/scalars/{path}", timeout=30) as answer:
            return json.load(answer)

    deadline = time.monotonic() + 60
    while len(tags := get("tags")) < 2 and time.monotonic() < deadline:
        time.sleep(0.2)
    assert sorted(tags) == ["default/plain8/seed0", "default/resnet8/seed0"]
    wanted = {"lr", "train/loss", "train/error", "test/loss", "test/error"}
    for run in tags:
        assert wanted <= set(tags[run])
        points = get(f"scalars?run={run}&tag=train/error")
        rows = (tmp_path / "outputs" / run / "metrics.csv").read_text().splitlines()[1:]
        expected = [(int(row.split(",")[0]), pytest.approx(float(row.split(",")[4]), rel=1e-5)) for row in rows]
        assert [(step, value) for _, step, value in points] == expected


def test_an_installed_wheel_works_from_any_folder(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path / "dist"), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    site = tmp_path / "site"
    install = [sys.executable, "-m", "pip", "install", "--no-deps", "--quiet", "--target", str(site), str(wheel)]
    subprocess.run(install, check=True, capture_output=True)
    empty = tmp_path / "empty"
    empty.mkdir()
    where = subprocess.run(
        [sys.executable, "-c", "from resnet_exp.cli.main import conf_dir; print(conf_dir())"],
        cwd=empty, env=os.environ | {"PYTHONPATH": str(site)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert where.stdout.strip() == str(site / "resnet_exp" / "conf")
    done = subprocess.run(
        [sys.executable, "-m", "resnet_exp", "-c", "job", "experiment=quick"],
        cwd=empty, env=os.environ | {"PYTHONPATH": str(site)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "study: quick" in done.stdout


@pytest.mark.parametrize("arguments", ["--help", "task=describe model=resnet110"])
def test_a_reader_that_has_seen_enough_is_no_error(tmp_path: Path, arguments: str) -> None:
    piped = f"{sys.executable} -m resnet_exp {arguments} | head -c 10"
    done = subprocess.run(["bash", "-c", piped], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert (len(done.stdout), done.stderr) == (10, "")


def test_a_launcher_that_is_not_installed_says_how_to_get_it(command: Command, tmp_path: Path) -> None:
    (tmp_path / "hydra_plugins" / "hydra_submitit_launcher").mkdir(parents=True)  # stands before the real one
    (tmp_path / "hydra_plugins" / "hydra_submitit_launcher" / "__init__.py").touch()
    failed = command("-m", "hydra/launcher=slurm", "depth=8,14", fresh=True)
    assert failed.returncode == 1
    assert failed.stderr == "error: hydra/launcher: not installed\npip install hydra-submitit-launcher brings it\n"
