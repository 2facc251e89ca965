"""What a sweep adds to its jobs: all are checked before the first one starts, and the comparison is kept drawn."""

import itertools
import logging
import math
import sys
from pathlib import Path
from typing import Any

from hydra import compose
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, open_dict, read_write

from resnet_exp.cli import workers
from resnet_exp.cli.compose import to_config
from resnet_exp.cli.messages import explain, fail
from resnet_exp.cli.names import NAMED

log = logging.getLogger(__name__)


class StudyCallback(Callback):
    """Hydra calls this around every job; see conf/config.yaml."""

    def on_multirun_start(self, config: DictConfig, config_name: str | None = None, **kwargs: Any) -> None:
        """Ends the sweep before its first job if any of its jobs is impossible."""
        try:
            choices = expand(config)
            swept = [key for key, values in choices.items() if len(values) > 1]
            seed_first(config, swept)
            extra = [key.partition("@")[0] for key in swept if key not in NAMED]
            more = [f"name=${{run_name:{','.join(extra)}}}"] if extra else []
            with read_write(config), open_dict(config):
                more += divide_cores(config, choices)
                config.hydra.overrides.hydra += more
            check_jobs(choices, more=more, config_name=config_name or "config")
        except Exception as error:  # Hydra turns exceptions of callbacks into warnings
            fail(explain(error))
            sys.exit(1)

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        """Redraws the study's comparison, in whichever process the job ran."""
        if config.hydra.mode == RunMode.MULTIRUN and config.task == "train" and workers.asked is None:
            update_report(Path(config.hydra.sweep.dir))

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        study = Path(config.hydra.sweep.dir)
        if config.task != "train" or workers.asked is not None:
            return
        # Once more: of jobs side by side, the last to draw may have looked before the last to end.
        if shown := update_report(study):
            print(shown)


def expand(config: DictConfig) -> dict[str, list[str]]:
    """The values of every override of a sweep, as strings: {"depth": ["20", "56"], "train.steps": ["3"]}.

    An experiment's own sweep comes first; the command line replaces what it names. This is the order of Hydra's basic
    sweeper.
    """
    params = [f"{key}={value}" for key, value in (config.hydra.sweeper.get("params") or {}).items()]
    choices = {}
    for override in OverridesParser.create().parse_overrides([*params, *config.hydra.overrides.task]):
        key = override.get_key_element()
        if override.is_sweep_override():
            choices[key] = list(override.sweep_string_iterator())
        else:
            choices[key] = [override.get_value_element_as_str()]
    return choices


def seed_first(config: DictConfig, swept: list[str]) -> None:
    """Makes the seed the slowest of the swept settings: one seed of every net comes before the second seed of any."""
    tasks = list(config.hydra.overrides.task)
    seeds = [task for task in tasks if task.startswith("seed=")]
    if "seed" in swept and seeds:
        with read_write(config):
            config.hydra.overrides.task = [*seeds, *(task for task in tasks if task not in seeds)]


def divide_cores(config: DictConfig, choices: dict[str, list[str]]) -> list[str]:
    """Of jobs side by side each gets its share of the cores, unless `threads` says otherwise: what to add to them."""
    if "n_jobs" not in config.hydra.launcher:  # they come one after another, or where cores are not ours to count
        return []
    jobs = math.prod(map(len, choices.values()))
    config.hydra.launcher.n_jobs, threads = workers.share_cores(at_once=config.hydra.launcher.n_jobs, jobs=jobs)
    return [] if "threads" in choices else [f"threads={threads}"]


def check_jobs(choices: dict[str, list[str]], *, more: list[str], config_name: str) -> None:
    """Composes and checks every job.

    Args:
        more: overrides for all of them.

    Raises:
        ValueError: a job's settings are impossible, or two jobs would share a run folder.
    """
    folders: dict[tuple[str, int], str] = {}
    for values in itertools.product(*choices.values()):
        overrides = [f"{key}={value}" for key, value in zip(choices, values, strict=True)]
        job = to_config(compose(config_name, overrides=[*more, *overrides]))
        this = " ".join(overrides)
        other = folders.setdefault((f"{job.study}/{job.name}", job.seed), this)
        if other != this:
            raise ValueError(f"two jobs of this sweep are the same run, {job.name} seed {job.seed}:\n{other}\n{this}")


def update_report(study: Path) -> str:
    """Draws the comparison; what to show of it, nothing if it failed, which must not fail the job."""
    from resnet_exp.study.report import write_report  # brings matplotlib

    try:
        return write_report(study, out=study / "report")
    except (ValueError, OSError) as error:
        log.warning("the comparison of %s could not be drawn: %s", study, explain(error))
        return ""
