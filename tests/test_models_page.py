"""docs/models.md tells the truth: its numbers are those of the nets, its commands are understood, its example works."""

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from omegaconf import DictConfig

from resnet_exp.cli.compose import to_config
from resnet_exp.config import NetConfig
from resnet_exp.grammar import spelled_out
from resnet_exp.nets.cost import costs_of
from resnet_exp.nets.foreign import NORMALISATIONS
from resnet_exp.nets.table import MODELS, net_spec
from tests.helpers import ROOT, TINY, Command

PAGE = (ROOT / "docs/models.md").read_text()
MINE = ("--config-dir", "mine", "model=wide")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.S)


@pytest.mark.parametrize("model", ["plain20", "resnet56", "resnet110", "resnet1202"])
def test_the_table_gives_the_parameters_of_cifar_nets(model: str) -> None:
    assert f"{params_of(model, image_size=32, num_classes=10):,}" in PAGE


@pytest.mark.parametrize("model", ["plain18", "resnet34", "resnet50", "resnet101", "resnet152", "vgg19"])
def test_the_table_gives_parameters_and_multiply_adds_of_imagenet_nets(model: str) -> None:
    spec = net_spec(NetConfig(**MODELS[model]), image_size=224)
    costs = costs_of(spec, num_classes=1000, image_size=224)
    row = next(line for line in PAGE.splitlines() if line.startswith("| ") and f"`{model}`" in line)
    assert f"{sum(cost.params for cost in costs):,}" in row
    assert f"{sum(cost.macs for cost in costs) / 1e9:.3f} billion" in row


def params_of(model: str, *, image_size: int, num_classes: int) -> int:
    spec = net_spec(NetConfig(**({"width": 16} | MODELS[model])), image_size=image_size)
    return sum(cost.params for cost in costs_of(spec, num_classes=num_classes, image_size=image_size))


def test_every_name_is_in_the_table() -> None:
    """But for those between `plain20 … plain110`."""
    table = PAGE.partition("## What")[2].partition("Parameters and")[0]
    missing = [model for model in MODELS if f"`{model}`" not in table and not re.search(r"(20|32|44|56)$", model)]
    assert {*missing} <= {"plain", "resnet", "preact", "bottleneck", "preact_bottleneck"}  # whose depth is said apart
    layouts = " ".join(PAGE.split()).partition("told apart by what they hold")[2].partition("## What the sources")[0]
    assert all(name in layouts for name in NORMALISATIONS if name != "ours")


def test_every_command_of_the_page_is_understood(
    composed: Callable[..., DictConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for part in ("FOLDER/train/a", "FOLDER/train/b", "FOLDER/test/a", "FOLDER/test/b"):
        Path(part).mkdir(parents=True)
    commands = [line for block in blocks("sh") for line in block.splitlines() if "--config-dir" not in line]
    assert len(commands) >= 7
    for line in commands:
        words = [word for word in shlex.split(line, comments=True) if word != "-m"]
        assert words[0] == "resnet-exp"
        overrides = [spelled_out(word) for word in words[1:]]
        jobs = [overrides]
        for index, word in enumerate(overrides):
            key, _, values = word.partition("=")
            if key == "model" and "," in values:
                jobs = [[*overrides[:index], f"model={value}", *overrides[index + 1 :]] for value in values.split(",")]
        for job in jobs:
            to_config(composed(*job))


def test_a_net_of_ones_own_is_the_few_lines_of_the_page(command: Command, tmp_path: Path) -> None:
    (text,) = blocks("yaml")
    file = tmp_path / "mine/model/wide.yaml"
    assert f"`{file.relative_to(tmp_path)}`" in PAGE
    file.parent.mkdir(parents=True)
    file.write_text(text)
    assert yaml.safe_load(text)["depth"] == 26

    described = command(*MINE, "task=describe", "data=synthetic")
    assert described.returncode == 0, described.stderr
    assert "preact26-4x160.4x320.4x640-B  26 layers" in described.stdout
    assert "36.5" in f"{int(described.stdout.split('26 layers')[1].split()[0].replace(',', '')) / 1e6:.1f}"

    trained = command(*MINE, *TINY, "channels=[8,12,16]", "data.image_size=8")
    assert trained.returncode == 0, trained.stderr
    (folder,) = (tmp_path / "outputs/default").glob("preact26-*/seed0")
    assert folder.parent.name == "preact26-4x8.4x12.4x16-B"
    assert json.loads((folder / "summary.json").read_text())["status"] == "completed"
