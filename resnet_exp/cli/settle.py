"""Whether a command goes with the run that is in its folder, and the settings of the run that `from=` names."""

from pathlib import Path

from resnet_exp.config import Config
from resnet_exp.runs.folder import RunFolder
from resnet_exp.runs.origin import check_settings
from resnet_exp.runs.schema import kept_defaults
from resnet_exp.settings import OF_COMMAND, flatten

GROUPS = ("model", "data", "experiment", "arm")  # what a run that exists has chosen already


def settled(config: Config, folder: RunFolder, *, given: set[str]) -> Config:
    """The settings, with the defaults of its time where the folder holds an older run.

    Raises:
        ValueError: the folder holds a run with other settings, or none that could be evaluated.
    """
    stored = None if config.fresh and config.task == "train" else folder.config
    if stored is None:
        check_source("init_from", config.init_from)
        if config.task in ("evaluate", "export") and not folder.path.is_dir():
            raise ValueError(
                f"{folder.path}: no checkpoint to {config.task}\ntask=train makes one; from=RUN takes another"
            )
        return config
    config = config.updated(kept_defaults(stored, config.to_dict(), given=given))
    check_settings(folder.path, stored, config)
    return config


def check_source(key: str, path: str | None) -> None:
    """Raises ValueError unless there is something at the path from which weights are to be taken."""
    if path is not None and not Path(path).expanduser().exists():
        raise ValueError(f"{key}={path}: no such file or folder")


def of_run(config: Config, *, given: set[str]) -> tuple[Config, Path]:
    """The settings of the run that `from=` names, with what the user named of the rest; and its folder.

    Raises:
        ValueError: there is no such run, or the user named a setting that makes another run.
    """
    path = Path(str(config.from_)).expanduser()
    stored = RunFolder(path).config
    if stored is None:
        raise ValueError(f"from={config.from_}: no run folder (it holds no config.yaml)")
    if groups := [group for group in GROUPS if group in given]:
        raise ValueError(
            f"{groups[0]}=: from={config.from_} has its own net and images; data.root= says where they lie now"
        )
    kept = {key: value for key, value in flatten(stored).items() if key not in {*OF_COMMAND, *given}}
    config = config.updated(kept)
    check_settings(path, stored, config)
    return config, path
