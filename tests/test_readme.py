"""The README is true: every setting is in its table, every command of it is one that exists."""

import re
import shlex
from collections.abc import Callable

import pytest
from omegaconf import DictConfig

from resnet_exp.cli.compose import to_config
from resnet_exp.config import all_keys, conf_dir
from resnet_exp.grammar import spelled_out
from resnet_exp.nets.table import MODELS
from resnet_exp.settings import flatten
from tests.helpers import ROOT, Settings, commands_of

README = (ROOT / "README.md").read_text()
COMMANDS = commands_of(README)
ON_MACHINES = commands_of((ROOT / "docs/scale.md").read_text())
TABLE = README.partition("## Settings")[2].partition("## The run folder")[0]


def test_every_setting_is_in_the_table_and_nothing_else() -> None:
    named = set(re.findall(r"`([a-z_./]+)=`", TABLE))
    groups = {file.parent.relative_to(conf_dir()).as_posix() for file in conf_dir().rglob("*/*.yaml")}
    settings = {key.removesuffix("_") for key in all_keys()}  # `from` cannot be a name in Python
    assert named == settings | groups | {"model"}


def test_every_choice_is_in_the_table() -> None:
    for choice in [*MODELS, *(file.stem for file in conf_dir().rglob("*/*.yaml"))]:
        family, digits = re.fullmatch(r"([a-z_]+?)(\d*)", choice).groups()
        if digits:
            assert re.search(rf"`{family}[\d/]*\b{digits}\b|`{family}{digits}\b", TABLE), choice
        else:
            assert f"`{choice}`" in TABLE, choice


def test_the_defaults_in_the_table_are_the_defaults(settings: Settings) -> None:
    values = flatten(settings().to_dict())
    for key, default in {
        **{"width": "16", "seed": "0", "study": "`default`", "data": "`cifar10`", "model": "`resnet20`"},
        **{"data.val_size": "0", "data.image_size": "32", "optim.weight_decay_on": "`all`", "task": "`train`"},
    }.items():
        (row,) = (row for row in TABLE.splitlines() if row.startswith(f"| `{key}=`"))
        assert row.split("|")[3].strip() == default
        if key in values:
            assert str(values[key]) == default.strip("`")


@pytest.mark.parametrize("command", [c for c in (*COMMANDS, *ON_MACHINES) if "resnet-exp " in c])
def test_every_resnet_exp_command_composes(command: str, composed: Callable[..., DictConfig]) -> None:
    words = shlex.split(command.partition("resnet-exp ")[2])
    overrides = [spelled_out(word) for word in words if word != "-m"]
    first_of_each = [f"{key}={value.split(',')[0]}" for key, value in (word.split("=") for word in overrides)]
    to_config(composed(*first_of_each))
    assert ("-m" in words or "experiment=" in command) == ("," in "".join(overrides) or "experiment=" in command)


def test_other_commands_are_the_known_ones() -> None:
    others = {command for command in COMMANDS if not command.startswith("resnet-exp ")}
    assert others == {
        *(
            "pip install -e .",
            "resnet-exp-report outputs/quick",
            "resnet-exp-status outputs --watch",
            "tensorboard --logdir outputs",
        )
    }


def test_every_make_is_a_target() -> None:
    named = set(re.findall(r"`make ([a-z]+)`", README))
    assert {"quick", "test"} <= named <= set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
