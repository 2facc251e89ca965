"""`dry_run=true`: it says what a command would do, and leaves no trace."""

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from resnet_exp.cli import plan
from resnet_exp.cli.plan import COMPLETE, GOES_ON, NEW, RUNNING, Task, shown, summed_up, table, task_of, tasks_of
from resnet_exp.config import Config
from resnet_exp.runs.folder import RunFolder
from resnet_exp.training.forecast import Forecast
from tests.helpers import LINES, ROOT, TINY, Command, Settings, complete, run, run_until

NET = ("model=resnet", "depth=8")
OLD = ROOT / "tests" / "fixtures" / "version-0.1"


def tree(folder: Path) -> dict[str, bytes | None]:
    """Every file below a folder with its content, and every folder."""
    return {str(path): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def folder(config: Config) -> Path:
    return Path("outputs", config.study, config.name, f"seed{config.seed}")


def in_words(tasks: Sequence[Task]) -> list[str]:
    return [f"{task.config.name} {task.config.seed}: {shown(task)}, {task.steps_left}" for task in tasks]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that commands run in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


# What is said of a run.


def test_each_job_is_new_complete_or_goes_on(settings: Settings, here: Path) -> None:
    jobs = [settings(*TINY, *NET, f"seed={seed}") for seed in range(4)]
    run(jobs[0], folder(jobs[0]))
    run_until(jobs[1], folder(jobs[1]), stop_at=4)
    run_until(jobs[2], folder(jobs[2]), stop_at=2)
    before = tree(here)
    found = tasks_of(jobs)
    assert in_words(found) == [
        "resnet8 0: complete, 0",
        "resnet8 1: goes on from step 4, 2",
        "resnet8 2: goes on from step 2, 4",
        "resnet8 3: new, 6",
    ]
    assert found[1].environment["threads"] == 1
    written = [*folder(jobs[1]).glob("checkpoint*.pt")]
    assert len(written) == 2
    assert found[1].written == sum(file.stat().st_size for file in written)
    assert tree(here) == before


def test_a_run_goes_on_from_its_checkpoint_not_from_its_last_row(settings: Settings, here: Path) -> None:
    """As after `kill -9`: the summary says what was so at the last row."""
    job = settings(*TINY, *NET, "train.eval_every=1", "train.save_every=2")
    run_until(job, folder(job), stop_at=4)
    file = folder(job) / "summary.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"step": 5, "status": "running"}))
    assert shown(task_of(job, folder(job))) == "goes on from step 4"
    (folder(job) / "checkpoint.pt").write_bytes(b"damaged")
    before = tree(here)
    assert shown(task_of(job, folder(job))) == "goes on from step 2"
    assert tree(here) == before
    (folder(job) / "checkpoint.prev.pt").write_bytes(b"damaged")
    with pytest.raises(ValueError, match="every checkpoint is damaged"):
        task_of(job, folder(job))


def test_a_run_that_another_process_has_open_is_running(settings: Settings, here: Path) -> None:
    job = settings(*TINY, *NET)
    run_until(job, folder(job), stop_at=4)
    with RunFolder(folder(job)):
        assert task_of(job, folder(job)).state == RUNNING
        assert shown(task_of(job, folder(job))) == "running at step 4"
    assert task_of(job, folder(job)).state == GOES_ON


def test_a_fresh_start_replaces_what_is_there(settings: Settings, here: Path) -> None:
    job, other = (settings(*TINY, *NET, "fresh=true", f"seed={seed}") for seed in (0, 1))
    run(job, folder(job))
    assert in_words(tasks_of([job, other])) == ["resnet8 0: new (replaces a run), 6", "resnet8 1: new, 6"]


def test_a_diverged_run_is_complete(settings: Settings, here: Path) -> None:
    job = settings(*TINY, *NET)
    run(job, folder(job))
    file = folder(job) / "summary.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"status": "diverged"}))
    assert shown(task_of(job, folder(job))) == "complete (diverged)"


def test_runs_of_older_versions_are_told_too(settings: Settings) -> None:
    small = ("data=synthetic", "data.image_size=8", "width=2", "train.steps=8", "optim.milestones=[6]")
    job = settings(*small, "model=resnet", "depth=8")
    assert shown(task_of(job, OLD / "finished" / "resnet8" / "seed0")) == "complete"
    plain = settings(*small, "model=plain", "depth=8")
    assert shown(task_of(plain, OLD / "stopped" / "plain8" / "seed0")) == "goes on from step 5"


def test_the_net_that_another_is_grown_from_is_trained_first(settings: Settings, here: Path) -> None:
    grown = settings(*TINY, "model=resnet", "depth=14", "grow_from=['depth=8']")
    assert in_words(tasks_of([grown])) == ["resnet8 0: new, 6", "resnet14-grown8 0: new, 6"]
    shallow = settings(*TINY, *NET)
    assert in_words(tasks_of([shallow, grown])) == ["resnet8 0: new, 6", "resnet14-grown8 0: new, 6"]


# What is said of all.


def test_the_whole_is_summed_up(settings: Settings) -> None:
    states = [COMPLETE, GOES_ON, NEW, NEW, RUNNING]
    tasks = [Task(settings(*TINY, *NET), state, 2) for state in states]
    due = Forecast(420.0, "measured", 10**9, 1_500_000)
    forecasts = [due if task.is_due else None for task in tasks]
    alone = summed_up(tasks, forecasts, at_once=1, launcher="basic")
    assert re.fullmatch(
        r"5 jobs: 1 complete, 1 running, 1 goes on, 2 new; about 21 min one after another;"
        r" 4\.5 MB of disk, [\d.]+ [MGT]B free",
        alone,
    )
    together = summed_up(tasks, forecasts, at_once=2, launcher="parallel")
    assert "about 21 min one after another, about 14 min two at a time (hydra/launcher=parallel);" in together
    one = summed_up(tasks[2:3], [due], at_once=1, launcher="basic")
    assert one.startswith("1 job: 1 new; about 7 min; 1.5 MB of disk, ")
    assert summed_up(tasks[:1], [None], at_once=1, launcher="basic") == "1 job: 1 complete"


def test_the_table_has_a_row_a_job(settings: Settings) -> None:
    tasks = [Task(settings(*TINY, *NET), COMPLETE, 6), Task(settings(*TINY, *NET, "seed=1"), GOES_ON, 4)]
    assert table(tasks, [None, Forecast(90.0, "probed", 640_000_000, 1)]) == [
        "net      seed  state                steps left   time  memory",
        "resnet8     0  complete                      -      -       -",
        "resnet8     1  goes on from step 4           2  2 min  640 MB",
    ]


def test_it_is_said_where_disk_or_memory_are_too_small(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    due = [Forecast(1.0, "probed", 3 * 10**9, 10**9)] * 3
    job = settings(*TINY, *NET, "device=cpu")
    monkeypatch.setattr("resnet_exp.training.forecast.free_memory", lambda: 5 * 10**9)
    monkeypatch.setattr(plan, "free_disk", lambda: 4 * 10**9)
    assert plan.warnings(job, due, at_once=1) == []
    assert plan.warnings(job, due, at_once=2) == [
        "memory: two at a time need about 6 GB, 5 GB are free; set a smaller train.batch_size or hydra.launcher.n_jobs"
    ]
    monkeypatch.setattr(plan, "free_disk", lambda: 2 * 10**9)
    assert plan.warnings(job, due, at_once=1) == ["disk: 3 GB are needed, 2 GB are free; make room first"]
    monkeypatch.setattr(plan, "free_disk", lambda: 5 * 10**9)
    training = [replace(forecast, passing=2 * 10**9) for forecast in due]
    assert plan.warnings(job, training, at_once=1) == []
    assert plan.warnings(job, training, at_once=2)[0] == "disk: 7 GB are needed, 5 GB are free; make room first"


def test_of_several_gpus_each_holds_its_share_of_the_runs(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    due = [Forecast(1.0, "probed", 3 * 10**9, 1)] * 8
    monkeypatch.setattr("resnet_exp.training.forecast.free_bytes", lambda config: 10 * 10**9)
    monkeypatch.setattr(plan, "count_gpus", lambda: 4)
    job = settings(*TINY, *NET, "device=auto")
    assert plan.warnings(job, due, at_once=8) == []
    assert "four at a time need about 12 GB" in plan.warnings(job, due, at_once=16)[0]
    assert "four at a time need about 12 GB" in plan.warnings(settings("device=cuda:0"), due, at_once=4)[0]


# The command.


def test_one_net_in_an_empty_folder_stays_a_plan(command: Command, tmp_path: Path) -> None:
    done = command(*TINY, *NET, "dry_run=true")
    assert (done.returncode, done.stderr) == (0, "")
    head, row, whole, *_, last = done.stdout.splitlines()
    assert head.split() == ["net", "seed", "state", "steps", "left", "time", "memory"]
    assert row.split()[:4] == ["resnet8", "0", "new", "6"]
    assert whole.startswith("1 job: 1 new; about ")
    assert last.startswith("nothing was trained or written")
    assert not list(tmp_path.iterdir())


def test_a_sweep_in_an_empty_folder_stays_one_in_the_order_of_its_jobs(command: Command, tmp_path: Path) -> None:
    words = ("model=plain,resnet", "depth=8", "seed=2x", "hydra/launcher=parallel", "hydra.launcher.n_jobs=2")
    done = command("-m", *TINY, *words, "dry_run=true")
    assert (done.returncode, done.stderr) == (0, "")
    rows = [line.split()[:2] for line in done.stdout.splitlines()[1:5]]
    assert rows == [["plain8", "0"], ["resnet8", "0"], ["plain8", "1"], ["resnet8", "1"]]
    assert "4 jobs: 4 new; about " in done.stdout
    assert "two at a time (hydra/launcher=parallel)" in done.stdout
    assert not list(tmp_path.iterdir())


def test_a_study_that_is_there_is_left_as_it_is(command: Command, tmp_path: Path) -> None:
    path = complete(tmp_path, *TINY, *NET)
    for file in ("config.yaml", ".hydra/config.yaml"):
        assert "dry_run" not in (path / file).read_text()
    before = tree(tmp_path)
    done = command("-m", *TINY, *NET, "seed=2x", "optim.lr=0.1,0.05", "dry_run=true")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1].split() == ["resnet8", "0", "complete", "-", "-", "-"]
    assert "4 jobs: 1 complete, 3 new" in done.stdout
    assert "time as earlier runs of this machine measured it" in done.stdout
    assert tree(tmp_path) == before
    refused = command(*TINY, *NET, "optim.lr=0.5", "dry_run=true")
    assert refused.stderr == command(*TINY, *NET, "optim.lr=0.5").stderr
    assert "optim.lr: 0.1 -> 0.5" in refused.stderr
    assert tree(tmp_path) == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["dry_run=true", "task=evaluate"], "dry_run=true: goes with task=train"),
        (["-m", "dry_run=true,false"], "dry_run=true: goes for all jobs of a sweep or none"),
        (["dry_run=true", "depth=21"], "depth=21: a CIFAR net of basic blocks has 6n+2 layers"),
    ],
    ids=str,
)
def test_what_cannot_be_done_is_refused(command: Command, tmp_path: Path, words: list[str], message: str) -> None:
    refused = command(*words)
    assert refused.returncode == 1
    assert message in refused.stderr
    assert len(refused.stderr.splitlines()) <= LINES
    assert refused.stdout == ""
    assert not list(tmp_path.iterdir())
