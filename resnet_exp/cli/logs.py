"""What a run keeps beside its records: `run.log`, and `.hydra/` with the command behind it.

Hydra would write both before anybody has looked at the command; here they are written once a run is certain to begin.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from resnet_exp.cli.messages import explain
from resnet_exp.config import Config
from resnet_exp.files import replace_text
from resnet_exp.runs.folder import RunFolder

TRACEBACK = logging.getLogger("resnet_exp.traceback")  # the full story of a failure: in the file, not on the screen
TRACEBACK.propagate = False
LINE = "%(asctime)s %(levelname)s %(message)s"


@contextmanager
def kept_log(path: Path, *, settings: dict[str, Any]) -> Iterator[None]:
    """While it is open, everything that is logged goes to `run.log`, too, and so does the traceback of what ends it."""
    keep_command(path, settings=settings)
    handler = logging.FileHandler(path / "run.log")
    handler.setFormatter(logging.Formatter(LINE))
    loggers = (logging.getLogger(), TRACEBACK)
    for logger in loggers:
        logger.addHandler(handler)
    try:
        yield
    except Exception:
        TRACEBACK.exception("failed")
        raise
    finally:
        for logger in loggers:
            logger.removeHandler(handler)
        with suppress(OSError):  # a full disk, of which more is said elsewhere
            handler.close()


@contextmanager
def kept_failure(folder: RunFolder, config: Config) -> Iterator[None]:
    """Has the run say that it failed and why, in the words of the message, if an exception ends it."""
    try:
        yield
    except Exception as error:
        identity = {"name": config.name, "seed": config.seed, "steps": config.train.steps}
        folder.note_failure((explain(error) or type(error).__name__).splitlines()[0], identity=identity)
        raise


def keep_command(path: Path, *, settings: dict[str, Any]) -> None:
    """`.hydra/`, as Hydra writes it: the overrides of the command, its settings, and Hydra's own."""
    hydra: Any = HydraConfig.instance().cfg
    if hydra is None:  # not called through Hydra
        return
    folder = path / ".hydra"
    folder.mkdir(exist_ok=True)
    replace_text(folder / "overrides.yaml", OmegaConf.to_yaml(hydra.hydra.overrides.task))
    replace_text(folder / "hydra.yaml", OmegaConf.to_yaml(hydra))
    replace_text(folder / "config.yaml", OmegaConf.to_yaml(OmegaConf.create(settings)))
