"""Which run a command is about: that which its settings name, that of `from=`, or one that grows from it."""

from collections.abc import Collection
from pathlib import Path

from resnet_exp.cli.grow import grown_from
from resnet_exp.cli.settle import check_source, of_run, settled
from resnet_exp.config import Config
from resnet_exp.runs.folder import RunFolder


def subject(config: Config, path: Path, *, given: Collection[str]) -> tuple[Config, Path]:
    """The settings of the run that a command is about, and its folder; as they come where it is about no run.

    Args:
        path: the folder of the run that the settings name.
        given: the settings that the user named; a stored run goes on with the defaults of its time for all others.

    Raises:
        ValueError: there is no such run, or the folder holds one with other settings.
    """
    if config.task == "grow":
        return grown_from(config, given={*given})
    if config.from_:
        return of_run(config, given={*given})
    check_source("weights", config.weights)
    if config.task == "describe" or config.weights:
        return config, path
    return settled(config, RunFolder(path), given={*given}), path
