"""`dry_run=true`: what a command would train, in which order, for how long, with which memory and disk.

Trains nothing and writes nothing.
"""

import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resnet_exp.cli.grow import begins, shallower_in
from resnet_exp.config import Config
from resnet_exp.cores import count_gpus
from resnet_exp.runs.checkpoint import load_checkpoint
from resnet_exp.runs.folder import FINISHED, RunFolder
from resnet_exp.runs.known import number, what_is_known
from resnet_exp.runs.snapshots import FOLDER as SNAPSHOTS
from resnet_exp.text import aligned, duration, size

if TYPE_CHECKING:
    from resnet_exp.training.forecast import Forecast

HEAD = ("net", "seed", "state", "steps left", "time", "memory")
WORDS = (0, 2)  # columns of them
NEW, GOES_ON, COMPLETE, RUNNING = "new", "goes on", "complete", "running"
SOURCES = {
    "measured": "as earlier runs of this machine measured it",
    "probed": "from small nets of the same kind, timed for {spent:.0f} s",
}


@dataclass(frozen=True)
class Task:
    """A run that a command is about, as it is now.

    Args:
        state: one of NEW, GOES_ON, COMPLETE, RUNNING (in another process).
        step: updates done.
        environment: in which a run that goes on began.
        written: bytes of its checkpoints and snapshots.
        note: what else is to be said of its state.
    """

    config: Config
    state: str
    step: int = 0
    environment: dict[str, Any] = field(default_factory=dict)
    written: int = 0
    note: str = ""

    @property
    def is_due(self) -> bool:
        return self.state in (NEW, GOES_ON)

    @property
    def steps_left(self) -> int:
        return self.config.train.steps - self.step


def folder_of(config: Config) -> Path:
    return Path("outputs", config.study, config.name, f"seed{config.seed}")


def task_of(config: Config, path: Path) -> Task:
    """The run of these settings, as its folder has it.

    Raises:
        ValueError: its files are damaged.
    """
    folder, steps = RunFolder(path), config.train.steps
    known: Any = {}
    try:
        known, status, _ = what_is_known(path)
    except ValueError:  # there is no run
        status = ""
    if status == "running":
        return Task(config, RUNNING, min(steps, int(number(known, "step") or 0)))
    if not config.fresh and folder.config is not None and status in FINISHED:
        return Task(config, COMPLETE, steps, note="" if status == "completed" else status)
    if config.fresh:
        return Task(config, NEW, note="replaces a run" if known else "")
    checkpoint = load_checkpoint(path)
    if checkpoint is None:
        return Task(config, NEW)
    files = [*path.glob("checkpoint*.pt"), *(path / SNAPSHOTS).glob("*.pt")]
    written = sum(file.stat().st_size for file in files)
    return Task(config, GOES_ON, checkpoint["state"]["step"], checkpoint["origin"]["environment"], written)


def tasks_of(jobs: Sequence[Config]) -> list[Task]:
    """The runs of a command in the order in which they are trained; with those that others of them are grown from, if
    no job trains them before.

    Raises:
        ValueError: a run folder's files are damaged, or it holds another run.
    """
    found: dict[Path, Task] = {}
    for job in jobs:
        path = folder_of(job)
        if job.grow_from is not None and begins(job, RunFolder(path)):
            shallow, below = shallower_in(path.parent.parent, job)
            if below not in found:
                found[below] = task_of(shallow, below)
        found[path] = task_of(job, path)
    return list(found.values())


def dry_run(jobs: Sequence[Config], *, at_once: int = 1, launcher: str = "basic") -> None:
    """Says what a command would do.

    Args:
        jobs: in the order in which it would do them.
        at_once: how many of them side by side.
        launcher: what `hydra/launcher` names.

    Raises:
        ValueError: one of them cannot be done.
    """
    tasks = tasks_of(jobs)
    forecasts, spent = forecast_all(tasks)
    for line in table(tasks, forecasts):
        print(line)
    print(summed_up(tasks, forecasts, at_once=at_once, launcher=launcher))
    due = [forecast for forecast in forecasts if forecast]
    for source in dict.fromkeys(forecast.source for forecast in due):
        print(f"time {SOURCES[source].format(spent=spent)}")
    if launcher.startswith(("slurm", "submitit")):
        print("all of it on this machine; those of the cluster may be faster or slower")
    if due:
        for line in warnings(jobs[0], due, at_once=at_once):
            print(line)
    print("nothing was trained or written; the same command without dry_run=true begins")


def forecast_all(tasks: Sequence[Task]) -> tuple["list[Forecast | None]", float]:
    """What each takes, None if it is not due; and the seconds that were spent on a probe."""
    if not any(task.is_due for task in tasks):
        return [None] * len(tasks), 0.0
    from resnet_exp.training.forecast import Ahead, forecasts  # bring torch

    due = [Ahead(task.config, task.step, task.environment, task.written) for task in tasks if task.is_due]
    found, spent = forecasts(due, outputs=Path("outputs"))
    rest = iter(found)
    return [next(rest) if task.is_due else None for task in tasks], spent


def table(tasks: Sequence[Task], forecasts: "Sequence[Forecast | None]") -> list[str]:
    """A line of names, then a line a run."""
    studies = {task.config.study for task in tasks}
    rows = [HEAD]
    for task, forecast in zip(tasks, forecasts, strict=True):
        name = f"{task.config.study}/{task.config.name}" if len(studies) > 1 else task.config.name
        steps = "-" if task.state == COMPLETE else str(task.steps_left)
        takes = (duration(forecast.seconds), size(forecast.memory)) if forecast else ("-", "-")
        rows.append((name, str(task.config.seed), shown(task), steps, *takes))
    return aligned(rows, words=WORDS)


def shown(task: Task) -> str:
    """`new`, `complete`, `goes on from step 200`, `running at step 300`."""
    where = {GOES_ON: f" from step {task.step}", RUNNING: f" at step {task.step}"}.get(task.state, "")
    return f"{task.state}{where}" + (f" ({task.note})" if task.note else "")


def summed_up(tasks: Sequence[Task], forecasts: "Sequence[Forecast | None]", *, at_once: int, launcher: str) -> str:
    """`12 jobs: 3 complete, 1 goes on, 8 new; about 14 min one after another, about 7 min two at a time
    (hydra/launcher=parallel); 3 MB of disk, 200 GB free`"""
    counts = {state: sum(task.state == state for task in tasks) for state in (COMPLETE, RUNNING, GOES_ON, NEW)}
    counted = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    head = f"{len(tasks)} job{'s' if len(tasks) > 1 else ''}: {counted}"
    due = [forecast for forecast in forecasts if forecast]
    if not due:
        return head
    from resnet_exp.training.estimate import seconds_side_by_side

    times = [forecast.seconds for forecast in due]
    time = f"about {duration(sum(times))}"
    if len(due) > 1:
        time += " one after another"
        if (places := min(at_once, len(due))) > 1:
            together = duration(seconds_side_by_side(times, at_once=places))
            time += f", about {together} {in_words(places)} at a time (hydra/launcher={launcher})"
    disk = f"{size(sum(forecast.disk for forecast in due))} of disk, {size(free_disk())} free"
    return f"{head}; {time}; {disk}"


def warnings(config: Config, due: "Sequence[Forecast]", *, at_once: int) -> list[str]:
    """What there is too little of: disk, memory."""
    from resnet_exp.training.forecast import free_bytes

    disk, free = sum(forecast.disk for forecast in due), free_disk()
    disk += sum(sorted(forecast.passing for forecast in due)[-at_once:])
    lines = [f"disk: {size(disk)} are needed, {size(free)} are free; make room first"] if disk > free else []
    on_one = math.ceil(at_once / max(1, count_gpus())) if config.device == "auto" else at_once  # they take GPUs in turn
    memory = sum(sorted(forecast.memory for forecast in due)[-on_one:])
    room = free_bytes(config)
    if room is not None and memory > room:
        many = f"{in_words(on_one)} at a time need " if on_one > 1 else "it needs "
        lines.append(
            f"memory: {many}about {size(memory)}, {size(room)} are free; set a smaller train.batch_size"
            + (" or hydra.launcher.n_jobs" if on_one > 1 else "")
        )
    return lines


def in_words(count: int) -> str:
    return {2: "two", 3: "three", 4: "four", 5: "five", 6: "six"}.get(count, str(count))


def free_disk() -> int:
    """Bytes where `outputs/` lies or would."""
    outputs = Path("outputs")
    return shutil.disk_usage(outputs if outputs.exists() else ".").free
