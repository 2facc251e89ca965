"""Fixtures of several test modules: composed settings, a tiny data set, written runs, the real command in a folder."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from resnet_exp.cli.compose import register, to_config
from resnet_exp.config import Config, conf_dir
from resnet_exp.data.sets import Dataset, load_dataset
from tests.forkserver import MAIN, servers
from tests.helpers import Command, finish, start, start_fresh, write_run


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


@pytest.fixture(scope="session", autouse=True)
def fork_server(own_cache: None) -> Iterator[None]:
    """The server that `server()` begins when a test first asks for it ends with the tests of this process."""
    yield
    for begun in servers:
        begun.close()


@pytest.fixture(autouse=True)
def nobody_left() -> Iterator[None]:
    """Whatever fails, no command of a test goes on after it."""
    yield
    for begun in servers:
        begun.end_started()


@pytest.fixture
def command(tmp_path: Path) -> Command:
    """Runs the command in an empty folder, warnings as errors: a fork, or, with `fresh`, a new interpreter.

    `module` is `resnet_exp` or, for the report, `resnet_exp.cli.report`.
    """

    def run(
        *arguments: str, module: str = MAIN, cwd: Path = tmp_path, fresh: bool = False
    ) -> subprocess.CompletedProcess[str]:
        if fresh:
            process = start_fresh(cwd, *arguments, program=(sys.executable, "-W", "error", "-m", module))
        else:
            process = start(cwd, *arguments, module=module)
        code, out, err = finish(process)
        return subprocess.CompletedProcess(arguments, code, out, err)

    return run


@pytest.fixture
def unsaved(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are drawn, but no file is made of them, which takes seconds: for tests of what a report says."""
    for module in ("resnet_exp.study.report", "resnet_exp.why.report"):
        monkeypatch.setattr(f"{module}.save", lambda figure, stem: '<svg xmlns="http://www.w3.org/2000/svg"/>')


@pytest.fixture(scope="session")
def shapes(composed: Callable[..., DictConfig]) -> Dataset:
    """A hundred synthetic images of 8x8."""
    small = ("data=synthetic", "data.image_size=8", "data.train_limit=100", "data.test_limit=50")
    return load_dataset(to_config(composed(*small)).data)


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A study of plain and residual nets of 20 and 56 layers, two seeds of each, written by hand."""
    folder = tmp_path / "study"
    for seed, shift in ((0, 0.0), (1, 2.0)):
        write_run(folder, "plain", 20, seed, [60 + shift, 40, 30 + shift])
        write_run(folder, "plain", 56, seed, [70, 60, 50 + shift])
        write_run(folder, "resnet", 20, seed, [60, 40, 28])
        write_run(folder, "resnet", 56, seed, [60, 35, 25])
    return folder
