"""Makes our launchers known to Hydra.

It takes plugins from a package called `hydra_plugins` alone; ours live with the code that they belong to.
"""

import importlib
import sys
from types import ModuleType
from typing import Any

from hydra.core.plugins import Plugins

from resnet_exp.cli.cluster import SubmitAndLeave
from resnet_exp.cli.parallel import ParallelLauncher

NAME = "hydra_plugins.resnet_exp"  # under which conf/hydra/launcher names them


def register() -> None:
    try:
        package: Any = importlib.import_module("hydra_plugins")
    except ModuleNotFoundError:  # no plugin is installed
        package = sys.modules["hydra_plugins"] = ModuleType("hydra_plugins")
        package.__path__ = []
    package.resnet_exp = sys.modules[__name__]
    for launcher in (ParallelLauncher, SubmitAndLeave):
        launcher.__module__ = NAME
        Plugins.instance().register(launcher)
