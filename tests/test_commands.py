"""The commands a report prints repeat the runs it shows."""

import itertools
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf

from resnet_exp.commands import overrides, repeat, settings_of
from resnet_exp.config import conf_dir, differences, to_config

Composed = Callable[..., DictConfig]
FREE = ("data=synthetic",)


def stored(config: DictConfig, path: Path) -> Path:
    """What a run folder keeps of its settings."""
    path.mkdir(parents=True)
    (path / "config.yaml").write_text(OmegaConf.to_yaml(OmegaConf.create(to_config(config).to_dict())))
    return path


def written(composed: Composed, path: Path, *arguments: str) -> dict[str, str]:
    config = composed(*arguments)
    settings = settings_of(stored(config, path))
    assert settings is not None
    return overrides(settings, family=to_config(config).family, conf=conf_dir())


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
    (command,) = repeat([written(composed, tmp_path / "run", *arguments)])
    program, *words = shlex.split(command)
    assert program == "resnet-exp"
    again = to_config(composed(*words))
    assert differences(config.to_dict(), again) == []
    assert (again.study, again.name) == (config.study, config.name)


def test_runs_of_every_combination_are_one_sweep(composed: Composed, tmp_path: Path) -> None:
    combinations = list(itertools.product(("plain", "resnet"), (20, 56), (0, 1)))
    runs = [
        written(
            composed, tmp_path / f"{family}{depth}{seed}", *FREE, f"model={family}", f"depth={depth}", f"seed={seed}"
        )
        for family, depth, seed in combinations
    ]
    assert repeat(runs) == ["resnet-exp -m model=plain,resnet data=synthetic depth=20,56 seed=0,1"]
    assert len(repeat(runs[:-1])) == len(runs) - 1


def test_without_settings_there_is_no_command(tmp_path: Path) -> None:
    assert settings_of(tmp_path) is None
    (tmp_path / "config.yaml").write_text("{: :")
    assert settings_of(tmp_path) is None
    assert repeat([]) == []
