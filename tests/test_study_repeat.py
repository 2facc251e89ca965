"""The commands a report prints repeat the runs it shows."""

import itertools
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from resnet_exp.cli.compose import to_config
from resnet_exp.config import conf_dir
from resnet_exp.runs.schema import SCHEMA
from resnet_exp.settings import differences
from resnet_exp.study.repeat import repeat, settings_of

Composed = Callable[..., DictConfig]
FREE = ("data=synthetic",)


def stored(config: DictConfig, path: Path) -> Path:
    """What a run folder keeps of its settings."""
    path.mkdir(parents=True)
    (path / "config.yaml").write_text(
        OmegaConf.to_yaml(OmegaConf.create({"schema": SCHEMA} | to_config(config).to_dict()))
    )
    return path


def run(composed: Composed, path: Path, *arguments: str) -> dict[str, Any]:
    config = composed(*arguments)
    settings = settings_of(stored(config, path))
    assert settings is not None
    return settings


@pytest.mark.parametrize(
    "arguments",
    [
        ("model=plain56",),
        ("model=resnet56", "shortcut=B", "block=v1", "seed=3"),
        ("model=plain", "block=v2"),
        ("model=preact164", "data=cifar100"),
        ("model=bottleneck", "shortcut=none"),
        (*FREE, "optim.milestones=[3,4]", "optim.lr=0.05", "train.steps=9", "data.augment=false", "data.train_limit=7"),
        (*FREE, "data.title='a name, with (odd) signs'", "study=mine", "optim.warmup_steps=4", "amp=bf16"),
        ("experiment=quick",),
    ],
    ids=" ".join,
)
def test_a_printed_command_composes_to_the_same_run(
    composed: Composed, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    config = to_config(composed(*arguments))
    (command,) = repeat([run(composed, tmp_path / "run", *arguments)], conf=conf_dir())
    program, *words = shlex.split(command)
    assert program == "resnet-exp"
    again = to_config(composed(*words))
    assert differences(config.to_dict(), again.to_dict()) == []
    assert (again.study, again.name) == (config.study, config.name)


def test_runs_of_every_combination_are_one_sweep(composed: Composed, tmp_path: Path) -> None:
    combinations = list(itertools.product(("plain", "resnet"), (20, 56), (0, 1)))
    runs = [
        run(composed, tmp_path / f"{family}{depth}{seed}", *FREE, f"model={family}", f"depth={depth}", f"seed={seed}")
        for family, depth, seed in combinations
    ]
    assert repeat(runs, conf=conf_dir()) == ["resnet-exp -m model=plain,resnet data=synthetic depth=20,56 seed=0,1"]
    assert len(repeat(runs[:-1], conf=conf_dir())) == len(runs) - 1


def test_more_seeds_of_some_depths_are_a_sweep_for_each_number_of_seeds(composed: Composed, tmp_path: Path) -> None:
    runs = [
        run(composed, tmp_path / f"{family}{depth}{seed}", *FREE, f"model={family}", f"depth={depth}", f"seed={seed}")
        for family, depth, seeds in itertools.product(("plain", "resnet"), (20, 56), ((0, 1), (2,)))
        for seed in (seeds if depth == 20 else seeds[:1])
        if depth == 20 or seed == 0
    ]
    words = "resnet-exp -m model=plain,resnet data=synthetic"
    assert repeat(runs, conf=conf_dir()) == [f"{words} depth=20 seed=0,1,2", f"{words} depth=56 seed=0"]


def test_what_a_sweep_varied_is_varied_again_its_default_included(composed: Composed, tmp_path: Path) -> None:
    runs = [run(composed, tmp_path / lr, *FREE, f"optim.lr={lr}", f"name=resnet20-lr{lr}") for lr in ("0.1", "0.05")]
    assert repeat(runs, conf=conf_dir()) == ["resnet-exp -m model=resnet data=synthetic depth=20 optim.lr=0.1,0.05"]
    odd = run(composed, tmp_path / "odd", *FREE, "optim.lr=0.2", "train.steps=9", "name=resnet20-lr0.2-steps9")
    alone = repeat([*runs, odd], conf=conf_dir())
    assert len(alone) == 3
    assert alone[0].endswith("optim.lr=0.1 train.steps=64000 name=resnet20-lr0.1")


@pytest.mark.parametrize("text", ["depth: 20\n", "- 1\n", "{: :", ""])
def test_a_foreign_file_gives_no_command(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.yaml").write_text(text)
    assert settings_of(tmp_path) is None


def test_without_settings_there_is_no_command(tmp_path: Path) -> None:
    assert settings_of(tmp_path) is None
    (tmp_path / "config.yaml").write_text("{: :")
    assert settings_of(tmp_path) is None
    assert repeat([], conf=conf_dir()) == []
