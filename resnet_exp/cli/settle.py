"""Whether a command goes with the run that is in its folder."""

from resnet_exp.config import Config
from resnet_exp.runs.folder import RunFolder
from resnet_exp.runs.origin import check_settings
from resnet_exp.runs.schema import kept_defaults


def settled(config: Config, folder: RunFolder, *, given: set[str]) -> Config:
    """The settings, with the defaults of its time where the folder holds an older run.

    Raises:
        ValueError: the folder holds a run with other settings, or none that could be evaluated.
    """
    if config.fresh and config.task == "train":
        return config
    stored = folder.config
    if stored is None:
        if config.task == "evaluate" and not folder.path.is_dir():
            raise ValueError(f"{folder.path}: no checkpoint to evaluate\ntask=train makes one")
        return config
    config = config.updated(kept_defaults(stored, config.to_dict(), given=given))
    check_settings(folder.path, stored, config)
    return config
