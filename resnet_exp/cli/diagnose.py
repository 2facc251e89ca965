"""`task=diagnose`: the runs it is about are asked why they train as they do; then the report of their study says it."""

import logging
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from resnet_exp.cli import workers
from resnet_exp.cli.messages import explain
from resnet_exp.cli.signals import StopRequest
from resnet_exp.cli.subject import subject
from resnet_exp.config import Config
from resnet_exp.runs.find import run_folders, study_of

log = logging.getLogger(__name__)


def runs_of(config: Config, path: Path, *, given: Collection[str]) -> list[tuple[Config, Path]]:
    """The runs that a command is about, with their settings: that of the settings, that of `from=`, or, where `from=`
    names the folder of a study, every one below it.

    Args:
        path: the folder of the run that the settings name.

    Raises:
        ValueError: there is no run, or the user named a setting that makes another run.
    """
    if config.from_ and (below := runs_below(Path(config.from_).expanduser())):
        return [subject(replace(config, from_=str(run)), path, given=given) for run in below]
    return [subject(config, path, given=given)]


def study_named(config: Config) -> Path | None:
    """The study that `from=` names; None if it names a run or nothing."""
    folder = Path(config.from_).expanduser() if config.from_ else None
    return folder if folder and not (folder / "config.yaml").exists() else None


def runs_below(study: Path) -> list[Path]:
    """The run folders below a study's, links followed; none if it is a run's own."""
    if (study / "config.yaml").exists() or not study.is_dir():
        return []
    return [run for run in run_folders(study) if (run / "config.yaml").exists()]


def diagnose(config: Config, path: Path, *, given: Collection[str], in_sweep: bool) -> None:
    """Asks each run what `what` names, and has the study's report say what follows.

    Args:
        path: the folder of the run that the settings name.
        given: the settings that the user named.
        in_sweep: whether it is one of several jobs. A question that does not fit one of them is then passed over, as
            it is where one job asks several runs; and the report is drawn behind them all.

    Raises:
        ValueError: there is no run, its files are damaged, or a question does not fit its net.
        OSError: a folder cannot be written.
    """
    runs = runs_of(config, path, given=given)
    from resnet_exp.diagnostics.diagnose import diagnose_run

    with StopRequest() as stop:

        def check() -> None:
            stop.at_stake = True  # what was measured of a question that is half answered
            stop.check()

        for of_one, folder in runs:
            log.info("%s", folder)
            diagnose_run(
                of_one,
                folder,
                what=config.what,
                pass_over=in_sweep or "all" in config.what or len(runs) > 1,
                check=check,
                turn=workers.place,
                quiet=workers.is_worker(),
            )
    if not in_sweep:
        (of_first, folder), *_ = runs
        explain_study(study_named(config) or study_of(folder, seed=of_first.seed))


def studies_of(jobs: Sequence[Config]) -> list[Path]:
    """The folders whose reports tell of the jobs of a sweep."""
    own = (Path(job.from_ or Path("outputs", job.study, job.name, f"seed{job.seed}")).expanduser() for job in jobs)
    return [study_named(job) or study_of(path, seed=job.seed) for job, path in zip(jobs, own, strict=True)]


def explain_study(study: Path) -> None:
    """Draws the study's report with all that was diagnosed below it, and says it; where there is no run to compare,
    the figures alone."""
    from resnet_exp.why.report import write_report, write_why  # bring matplotlib

    try:
        print(write_report(study, out=study / "report"))
    except ValueError as error:  # runs that have not begun, or cannot be compared
        print(write_why(study, out=study / "report", no_comparison=explain(error).splitlines()[0]))
