"""What several test modules need: composed settings, a tiny data set, and the real command in a folder of its own."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from resnet_exp.cli.main import conf_dir
from resnet_exp.config import Config, register, to_config
from resnet_exp.data.sets import Dataset, load_dataset

ROOT = Path(__file__).resolve().parents[1]
TINY = (
    *("data=synthetic", "data.train_limit=100", "data.test_limit=50", "data.image_size=8", "width=4"),
    *("train.batch_size=16", "train.steps=6", "train.eval_every=3", "train.save_every=3", "threads=1"),
)

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Bits may depend on the number of threads."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test touches the user's caches or data."""
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))
    os.environ.pop("RESNET_EXP_DATA", None)


@pytest.fixture(scope="session")
def composed() -> Callable[..., DictConfig]:
    register()

    def compose_it(*overrides: str) -> DictConfig:
        with initialize_config_dir(str(conf_dir()), version_base="1.3"):
            return compose("config", overrides=list(overrides))

    return compose_it


@pytest.fixture(scope="session")
def settings(composed: Callable[..., DictConfig]) -> Callable[..., Config]:
    """`settings("model=plain56")`: what the command line would make of it."""
    return lambda *overrides: to_config(composed(*overrides))


@pytest.fixture
def command(tmp_path: Path) -> Command:
    """Runs `python -m resnet_exp ARGUMENTS` in an empty folder, warnings as errors."""

    def run(*arguments: str, module: str = "resnet_exp", cwd: Path = tmp_path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-W", "error", "-m", module, *arguments],
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=300,
        )

    return run


@pytest.fixture(scope="session")
def shapes() -> Dataset:
    """A hundred synthetic images of 8x8."""
    return load_dataset("synthetic", root=Path(), download=False, image_size=8, train_limit=100, test_limit=50)
