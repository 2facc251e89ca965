"""The command `resnet-exp`: Hydra composes the settings, a task does the rest. Imports torch only for a task."""

import argparse
import hashlib
import logging
import os
import sys
import threading
import traceback
from pathlib import Path
from typing import Any, NoReturn

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, JobStatus
from hydra.types import RunMode
from omegaconf import DictConfig

from resnet_exp import __version__
from resnet_exp.cli import compose, launchers, workers
from resnet_exp.cli.compose import to_config
from resnet_exp.cli.diagnose import diagnose
from resnet_exp.cli.evaluate import evaluate
from resnet_exp.cli.grow import begins, in_turn, trained_first
from resnet_exp.cli.logs import TRACEBACK, kept_failure, kept_log
from resnet_exp.cli.messages import JobFailedError, explain, fail, fail_by
from resnet_exp.cli.names import about, named_in, unresolved
from resnet_exp.cli.signals import StopRequest
from resnet_exp.cli.subject import subject
from resnet_exp.config import Config, conf_dir
from resnet_exp.grammar import at_home, spelled_out
from resnet_exp.runs.checkpoint import keep_weights
from resnet_exp.runs.folder import FINISHED, RunFolder
from resnet_exp.runs.origin import check_settings
from resnet_exp.training.stop import Stopped

log = logging.getLogger(__name__)
compose.register()  # here: the processes of a parallel sweep import this module and call `job`
launchers.register()


def run(config: Config, path: Path, *, given: set[str], in_sweep: bool = False) -> None:
    """Does one task; torch is imported here, after everything that can be refused without it.

    Args:
        path: the run folder.
        given: the settings that the user named; a stored run goes on with the defaults of its time for all others.
        in_sweep: whether it is one of several jobs.
    """
    if config.task == "diagnose":
        return diagnose(config, path, given=given, in_sweep=in_sweep)
    shallower = Path(str(config.from_)).expanduser() if config.task == "grow" else None
    config, path = subject(config, path, given=given)
    folder = RunFolder(path)
    if shallower:
        return train(config, folder, shallower=shallower)
    if config.task == "describe":
        from resnet_exp.cli.describe import describe_net, draw

        size = describe_net(config, given=given)
        return None if in_sweep else draw([size], folder=Path("outputs", config.study))
    if config.weights:  # of no run: there is a folder for each file
        path = Path("outputs", config.study, called_after(Path(config.weights)))
        return evaluate(config, RunFolder(path), given=given, turn=workers.place)
    if config.task == "evaluate":
        return evaluate(config, folder, given=given, turn=workers.place)
    if config.task == "export":
        from resnet_exp.compute.export import export

        return log.info("exported: %s", export(config, path))
    if workers.grows:  # a run of this sweep that is grown from this one may train it just now
        return in_turn(path, lambda: train(config, folder))
    return train(config, folder)


def called_after(weights: Path) -> str:
    """The folder of an evaluation: a file's name, or that of a run and its seed, and a hash of where it lies
    (`resnet20-seed0-1c9f2a`), so that files of one name in two places have two folders."""
    is_ours = weights.is_dir() or weights.name == "model.safetensors"
    parts = [part for part in weights.resolve().parts if part not in ("export", "model.safetensors")]
    readable = "-".join(parts[-2:]) if is_ours else weights.stem
    return f"{readable}-{hashlib.sha256('/'.join(parts).encode()).hexdigest()[:6]}"


def train(config: Config, folder: RunFolder, *, shallower: Path | None = None) -> None:
    """`task=train`: writes nothing before it is certain to begin.

    Args:
        shallower: the run from whose weights the net is grown, if the settings say that it is; without it the study's
            is taken, which is trained if it is not there.
    """
    if not config.fresh and finished(folder, config):
        return
    if config.grow_from is not None and shallower is None and begins(config, folder):
        shallower = trained_first(config, folder.path, train=train)
    with folder, kept_failure(folder, config), kept_log(folder.path, settings=config.to_dict()):
        fresh = config.fresh and not begun_in_earlier_turn(folder)
        if not fresh and finished(folder, config):  # in the meantime, by another process or an earlier turn
            return
        from resnet_exp.training.run import train_run

        earlier = {} if fresh else folder.summary
        with StopRequest() as stop:
            train_run(
                config,
                folder,
                stop=stop,
                turn=workers.place,
                quiet=workers.is_worker(),
                begun_by=earlier.get("begun_by", " ".join(turns())),
                fresh=fresh,
                shallower=shallower,
            )
            if stop.signum is not None:
                stop.leave()
        if folder.summary.get("status") == "completed":
            try:
                keep_weights(folder.path)
            except OSError as error:  # a full disk: the run is complete all the same
                log.warning("%s: keeps what it takes to go on, too: %s", folder.path, error.strerror)


def turns() -> list[str]:
    """What this process is a turn of: a cluster's job, a parallel sweep, or both."""
    names = (os.environ.get("SUBMITIT_LOCAL_JOB_ID"), os.environ.get("SLURM_JOB_ID"), workers.sweep)
    return [name for name in names if name]


def begun_in_earlier_turn(folder: RunFolder) -> bool:
    """Whether what is in the folder was begun by this very job or sweep, before it was put back into the queue or its
    process was killed: then `fresh=true` is done, and it goes on. One job of a cluster may hold several commands."""
    earlier = {*str(folder.summary.get("begun_by", "")).split()} & {*turns()}
    return bool(earlier) and (earlier != {os.environ.get("SLURM_JOB_ID")} or "SLURM_RESTART_COUNT" in os.environ)


def finished(folder: RunFolder, config: Config) -> bool:
    """Whether the folder's run is complete, which is said.

    Raises:
        ValueError: it is another run, which another process has trained in the meantime.
    """
    status, stored = folder.summary.get("status"), folder.config
    if stored is not None and status in FINISHED:
        check_settings(folder.path, stored, config)
        log.info("%s: already %s; fresh=true trains it again", "/".join(folder.path.parts[-3:]), status)
        return True
    return False


def job(composed: DictConfig) -> None:
    """One job under Hydra: says at once what went wrong, in the words of `explain`."""
    path = Path(HydraConfig.get().runtime.output_dir)
    where = about(composed, own=path)
    given = named_in(unresolved(HydraConfig.get().overrides.task))
    in_sweep = HydraConfig.get().mode == RunMode.MULTIRUN
    if workers.failed:
        raise JobFailedError(f"{where}: not begun")
    try:
        if workers.is_worker():
            workers.do(lambda: run(to_config(composed), path, given=given, in_sweep=True))
        else:
            run(to_config(composed), path, given=given, in_sweep=in_sweep)
    except BrokenPipeError:  # `| head` has seen enough
        sys.exit(1)
    except Exception as error:
        fail_by(error, where=where if in_sweep else "")
        if in_sweep:
            workers.failed = bool(composed.get("stop_on_failure"))
            # Hydra keeps the error until the sweep ends, and with it whatever the job had on the GPU.
            traceback.clear_frames(error.__traceback__)
            raise JobFailedError(explain(error)) from error
        sys.exit(1)


def log_thread(failed: threading.ExceptHookArgs) -> None:
    TRACEBACK.error("failed in a thread", exc_info=failed.exc_value)


def refuse(parser: argparse.ArgumentParser, message: str) -> NoReturn:
    raise ValueError(f"{message}\n`resnet-exp --help` shows what can be said")


def result(job: JobReturn) -> Any:
    """What a job returned, or the error that ended it; Hydra's own says it on the screen once more.

    A job of a sweep has said it itself, and the sweep goes on to its end.
    """
    if job.status == JobStatus.COMPLETED:
        return job._return_value
    if isinstance(job._return_value, JobFailedError):
        workers.incomplete = True
        return None
    raise job._return_value


def main() -> None:
    """The command, under `cli.start`. Exit codes: 0 done, 1 failed.

    Raises:
        Stopped: SIGINT or SIGTERM came, and all workers have saved their runs.
    """
    if "--version" in sys.argv[1:]:
        print(f"resnet-exp {__version__}")
        return
    sys.argv[1:] = [spelled_out(at_home(word)) for word in sys.argv[1:]]
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then hands us its errors instead of printing them
    argparse.ArgumentParser.error = refuse  # type: ignore[method-assign, assignment]  # not Hydra's page of usage
    JobReturn.return_value = property(result, JobReturn.return_value.fset)  # type: ignore[assignment, attr-defined]
    logging.raiseExceptions = False  # a log that cannot be written (the disk is full) must not fill the screen,
    threading.excepthook = log_thread  # nor a thread of a library; its caller hears of the failure anyway
    try:
        hydra.main(version_base=compose.HYDRA_AS_OF, config_path=str(conf_dir()), config_name="config")(job)()
    except BrokenPipeError:  # `| head` has seen enough
        sys.exit(1)
    except Exception as error:
        if workers.asked is None:  # else that signal ended a worker that had not begun, and the sweep with it
            fail_by(error)
            sys.exit(1)
    if workers.asked is not None:
        raise Stopped(workers.asked)
    if workers.incomplete:
        fail("not every job of this sweep succeeded; the same command runs only what is missing")
        sys.exit(1)
