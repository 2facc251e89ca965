"""What a sweep adds to its jobs: all are checked before the first one starts, and the comparison is kept drawn."""

import copy
import itertools
import logging
import math
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from hydra import compose
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from resnet_exp.cli import plan, workers
from resnet_exp.cli.compose import to_config
from resnet_exp.cli.diagnose import explain_study, runs_below, runs_of, studies_of
from resnet_exp.cli.messages import explain, fail_by
from resnet_exp.cli.names import NAMED, named_in, study_dir, unresolved
from resnet_exp.cli.subject import subject
from resnet_exp.config import Config, conf_dir
from resnet_exp.cores import count_gpus
from resnet_exp.data.classes import check_folder
from resnet_exp.grammar import quoted
from resnet_exp.nets.cost import costs_of
from resnet_exp.nets.table import net_spec
from resnet_exp.runs.folder import check_place
from resnet_exp.runs.jobs import Job, add_jobs
from resnet_exp.settings import fingerprint

LOCAL = ("BasicLauncher", "ParallelLauncher", "JoblibLauncher")  # whose jobs end with the sweep; a cluster's do not

log = logging.getLogger(__name__)


class StudyCallback(Callback):
    """Hydra calls this around every command and every job; see conf/config.yaml."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Ends a command that cannot be done before Hydra makes its folder, and one that is to say what it would do."""
        with refusals():
            job, _ = check(without_hydra(config), given=named_in(config.hydra.overrides.task))
            if job.dry_run:
                plan.dry_run([job])
                sys.exit(0)

    def on_multirun_start(self, config: DictConfig, config_name: str | None = None, **kwargs: Any) -> None:
        """Ends the sweep before its first job if any of its jobs is impossible, or if it is to say what it would do."""
        with refusals():
            words = seed_first(each_run_a_job(unresolved(config.hydra.overrides.task), config))
            choices = expand(words, config)
            refuse_swept_sweeps(choices)
            more = naming([key for key, values in choices.items() if len(values) > 1])
            with read_write(config), open_dict(config):
                config.hydra.overrides.task = words
                config.hydra.overrides.hydra += more
                divide_cores(config, jobs=math.prod(map(len, choices.values())))
            self.given = {key.lstrip("+~") for key in choices}
            self.folders = check_jobs(choices, given=self.given, more=more, config_name=config_name or "config")
            self.jobs = [*self.folders.values()]
            if any(job.dry_run for job in self.jobs):
                say_only(config, self.jobs)
                sys.exit(0)
        if config.task == "train":
            list_jobs(self.jobs, ours=str(config.hydra.launcher.get("_target_")).endswith(LOCAL))

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        """Redraws the study's comparison, in whichever process the job ran."""
        if config.hydra.mode == RunMode.MULTIRUN and config.task == "train" and workers.asked is None:
            update_report(Path(config.hydra.sweep.dir))

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Draws what the jobs are about, once more or at last, and shows it."""
        if workers.asked is None and not workers.left:
            with refusals():
                self.conclude(config)

    def conclude(self, config: DictConfig) -> None:
        if config.task == "describe":
            from resnet_exp.cli.describe import compare_nets  # brings scipy

            compare_nets(self.jobs, given=self.given, folder=Path("outputs", config.study))
        if config.task == "diagnose":
            for folder in dict.fromkeys(studies_of(self.jobs)):
                explain_study(folder)
        if config.task not in ("train", "grow"):
            return
        for study in dict.fromkeys(folder.parent.parent for folder in self.folders):
            # Once more: of jobs side by side, the last to draw may have looked before the last to end.
            if shown := update_report(study):
                print(shown)


@contextmanager
def refusals() -> Iterator[None]:
    """Says what is wrong and ends the command: Hydra would turn an exception of a callback into a warning."""
    try:
        yield
    except BrokenPipeError:  # `| head` has seen enough
        sys.exit(1)
    except Exception as error:
        fail_by(error)
        sys.exit(1)


def without_hydra(config: DictConfig) -> DictConfig:
    """The settings alone, as a job gets them."""
    settings = copy.deepcopy(config)
    with read_write(settings), open_dict(settings):
        del settings["hydra"]
    return settings


def check(composed: DictConfig, *, given: set[str]) -> tuple[Config, Path]:
    """The typed settings of one job, if it can be done, and the folder of the run that it is about.

    Raises:
        ValueError: a value is impossible, the run folder holds a run with other settings, or the images are missing.
    """
    config = to_config(composed)
    named = Path(study_dir(root=composed), config.name, f"seed{config.seed}")
    about = runs_of(config, named, given=given)[0] if config.task == "diagnose" else subject(config, named, given=given)
    config, folder = about
    if config.task != "export":  # the one task that needs none
        check_folder(config.data)
    if config.task == "train":
        check_place(folder)
    return config, folder


def expand(words: Sequence[str], config: DictConfig) -> dict[str, list[str]]:
    """The values of every override of a sweep, as strings: {"depth": ["20", "56"], "train.steps": ["3"]}.

    What a value takes from another, `${depth}`, stays as it is: it is not the same in every job.

    An experiment's own sweep comes first; the command line replaces what it names. This is the order of Hydra's basic
    sweeper.
    """
    params = [f"{key}={value}" for key, value in (config.hydra.sweeper.get("params") or {}).items()]
    parser = OverridesParser.create(GlobalHydra.instance().config_loader())  # which knows what glob(...) matches
    choices = {}
    for override in parser.parse_overrides([*params, *words]):
        key = override.get_key_element()
        if override.is_sweep_override():
            choices[key] = list(override.sweep_string_iterator())
        else:
            choices[key] = [override.get_value_element_as_str()]
    return choices


def refuse_swept_sweeps(choices: dict[str, list[str]]) -> None:
    """Raises ValueError if one value of `experiment` is a sweep of its own: Hydra would drop that sweep."""
    experiments = choices.get("experiment", [])
    if len(experiments) > 1:
        for name in experiments:
            file = conf_dir() / "experiment" / f"{name}.yaml"
            own = OmegaConf.select(OmegaConf.load(file), "hydra.sweeper.params") if file.exists() else None
            if own:
                raise ValueError(
                    f"experiment={','.join(experiments)}: {name} is a sweep of its own, which cannot be swept over"
                    "\ngive each experiment a command of its own"
                )


def each_run_a_job(words: list[str], config: DictConfig) -> list[str]:
    """Of a study that is diagnosed each run becomes a job, so that a launcher can ask several at once."""
    study = OmegaConf.select(config, "from_")
    if config.task != "diagnose" or not study or not (runs := runs_below(Path(study).expanduser())):
        return words
    each = ",".join(quoted(str(run)) for run in runs)
    return [f"from_={each}" if named_in([word]) == {"from_"} else word for word in words]


def seed_first(words: list[str]) -> list[str]:
    """Makes the seed the slowest of what a command sweeps: one seed of every net comes before the second of any."""
    return sorted(words, key=lambda word: not word.startswith("seed="))


def naming(swept: Sequence[str]) -> list[str]:
    """The override by which the runs are named after what a sweep varies, if their names do not show it anyway."""
    extra = [key for word in swept if (key := word.partition("@")[0].lstrip("+")) not in NAMED]
    return [f"name=${{run_name:{','.join(extra)}}}"] if extra else []


def divide_cores(config: DictConfig, *, jobs: int) -> None:
    """Of jobs side by side each gets its share of the cores, unless `threads` or a run that goes on says otherwise."""
    if "n_jobs" not in config.hydra.launcher:  # they come one after another, or where cores are not ours to count
        return
    launcher = config.hydra.launcher
    gpus = 0 if config.device == "cpu" else count_gpus()
    per_gpu = launcher.get("runs_per_gpu", 1)
    launcher.n_jobs, threads = workers.share_cores(at_once=launcher.n_jobs, jobs=jobs, gpus=gpus, runs_per_gpu=per_gpu)
    os.environ["OMP_NUM_THREADS"] = str(threads)


def check_jobs(
    choices: dict[str, list[str]], *, given: set[str], more: list[str], config_name: str
) -> dict[Path, Config]:
    """Composes and checks every job: their settings by the folders of the runs that they are about.

    Args:
        given: the settings that the user or the experiment named.
        more: overrides for all of them.

    Raises:
        ValueError: a job's settings are impossible, or two jobs would share a run folder.
    """
    words: dict[Path, str] = {}
    jobs = {}
    for values in itertools.product(*choices.values()):
        overrides = [f"{key}={value}" for key, value in zip(choices, values, strict=True)]
        composed = compose(config_name, overrides=[*more, *overrides])
        job, folder = check(composed, given=given)
        jobs[folder] = job
        this = " ".join(overrides)
        other = words.setdefault(folder.resolve(), this)
        if other != this:
            raise ValueError(f"two jobs of this sweep are the same run, {job.name} seed {job.seed}:\n{other}\n{this}")
    return jobs


def list_jobs(jobs: Sequence[Config], *, ours: bool) -> None:
    """Has each study know what is to be trained in it, before the first job begins.

    Args:
        ours: this process begins them.
    """
    for study in dict.fromkeys(job.study for job in jobs):
        listed = []
        for job in jobs:
            if job.study == study:
                spec = net_spec(job.net, image_size=job.data.image_size)
                macs = sum(cost.macs for cost in costs_of(spec, num_classes=1, image_size=job.data.image_size))
                work, which = macs * job.train.batch_size, fingerprint(job.to_dict())
                listed.append(Job(job.name, job.seed, job.train.steps, work, which))
        with suppress(OSError):  # a folder that cannot be written: the first job says it
            add_jobs(Path("outputs", study), listed, ours=ours)


def say_only(config: DictConfig, jobs: Sequence[Config]) -> None:
    """Says what a sweep would do.

    Raises:
        ValueError: one of its jobs cannot be done, or not all are to be said only.
    """
    if not all(job.dry_run for job in jobs):
        raise ValueError("dry_run=true: goes for all jobs of a sweep or none")
    launcher = str(config.hydra.runtime.choices.get("hydra/launcher"))
    plan.dry_run(jobs, at_once=config.hydra.launcher.get("n_jobs", 1), launcher=launcher)


def update_report(study: Path) -> str:
    """Draws the comparison; what to show of it, nothing if it failed, which must not fail the job."""
    from resnet_exp.why.report import write_report  # brings matplotlib

    try:
        return write_report(study, out=study / "report")
    except (ValueError, OSError) as error:
        log.warning("the comparison of %s could not be drawn: %s", study, explain(error))
        return ""
