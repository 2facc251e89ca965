"""A run is what its settings are: whatever it is called, its study has it once."""

from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf

from resnet_exp.cli.compose import to_config
from resnet_exp.cli.names import named_in, run_name
from resnet_exp.runs.schema import SCHEMA
from tests.helpers import TINY, Settings

Composed = Callable[..., DictConfig]


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / "outputs" / "default"


def store(study: Path, name: str, composed: DictConfig, *, schema: int = SCHEMA) -> None:
    """What a run of these settings keeps of them, in a folder of this name."""
    config = to_config(composed)
    folder = study / name / f"seed{config.seed}"
    folder.mkdir(parents=True)
    values = config.to_dict()
    if schema == 1:
        del values["data"]["border"]
    if schema < 3:
        del values["data"]["crop"]
    text = OmegaConf.to_yaml(OmegaConf.create({"schema": schema} | values | {"name": name}))
    (folder / "config.yaml").write_text(text.removeprefix("schema: 1\n"))


def test_a_sweep_finds_the_run_that_was_trained_alone(study: Path, composed: Composed) -> None:
    alone = composed(*TINY, "optim.lr=0.05", "depth=8")
    assert run_name("optim.lr", root=alone) == "resnet8-lr0.05"
    store(study, "resnet8", alone)
    assert run_name("optim.lr", root=alone) == "resnet8"
    assert run_name("optim.lr", root=composed(*TINY, "optim.lr=0.1", "depth=8")) == "resnet8-lr0.1"


def test_a_run_alone_finds_the_one_of_a_sweep_and_a_wider_sweep_too(study: Path, composed: Composed) -> None:
    swept = composed(*TINY, "optim.lr=0.05", "depth=8")
    store(study, "resnet8-lr0.05", swept)
    assert run_name(root=swept) == "resnet8-lr0.05"
    assert run_name("width", "optim.lr", root=swept) == "resnet8-lr0.05"
    for another in ("seed=1", "width=8", "train.steps=7", "shortcut=B", "study=other"):
        root = composed(*TINY, "optim.lr=0.05", "depth=8", another)
        assert run_name(root=root) in ("resnet8", "resnet8-B"), another


def test_what_only_changes_how_a_run_goes_does_not_make_another(study: Path, composed: Composed) -> None:
    store(study, "mine", composed(*TINY, "depth=8"))
    other_place = composed(*TINY, "depth=8", "threads=2", "data.root=elsewhere", "train.save_every=5", "compile=false")
    assert run_name(root=other_place) == "mine"


def test_a_run_is_found_whatever_precision_it_was_given_by_itself(study: Path, composed: Composed) -> None:
    store(study, "mine", composed(*TINY, "depth=8", "amp=bf16"))  # as `amp=auto` is stored
    assert run_name(root=composed(*TINY, "depth=8")) == "mine"
    assert run_name(root=composed(*TINY, "depth=8", "amp=bf16")) == "mine"
    assert run_name(root=composed(*TINY, "depth=8", "amp=off")) != "mine"


def test_its_own_folder_comes_first_and_a_damaged_one_is_not_taken_for_it(study: Path, composed: Composed) -> None:
    root = composed(*TINY, "depth=8")
    store(study, "a-copy", root)
    store(study, "resnet8", root)
    assert run_name(root=root) == "resnet8"
    (study / "resnet8" / "seed0" / "config.yaml").write_text("{: :")
    assert run_name(root=root) == "a-copy"
    (study / "a-copy" / "seed0" / "config.yaml").write_bytes(b"\xff")
    assert run_name(root=root) == "resnet8"


def test_an_old_run_is_found_by_the_defaults_of_its_time(study: Path, composed: Composed) -> None:
    """It saw black borders: the command that trained it says nothing of them, a sweep over borders does."""
    store(study, "old", composed(*TINY, "depth=8"), schema=1)
    assert run_name(root=composed(*TINY, "depth=8")) == "old"
    assert run_name("data.border", root=composed(*TINY, "depth=8", "data.border=black")) == "old"
    assert run_name("data.border", root=composed(*TINY, "depth=8", "data.border=mean")) == "resnet8-bordermean"


@pytest.mark.parametrize("schema", [1, 2])
def test_a_run_from_before_there_were_two_ways_to_crop_is_a_padded_one(
    study: Path, composed: Composed, schema: int
) -> None:
    store(study, "old", composed(*TINY, "depth=8"), schema=schema)
    assert run_name("data.crop", root=composed(*TINY, "depth=8", "data.crop=padded")) == "old"
    assert run_name("data.crop", root=composed(*TINY, "depth=8", "data.crop=resized")) == "resnet8-cropresized"


@pytest.mark.parametrize(
    ("overrides", "name"),
    [
        (["model=plain56"], "plain56"),
        (["model=plain56", "depth=110"], "plain110"),
        (["model=plain", "depth=56"], "plain56"),
        (["depth=56"], "resnet56"),
        (["depth=56", "shortcut=B"], "resnet56-B"),
        (["depth=56", "shortcut=none"], "plain56"),
        (["depth=56", "block=v2"], "preact56"),
        (["model=plain56", "block=v2"], "plain56-v2"),
        (["model=preact110"], "preact110"),
        (["model=preact164"], "preact_bottleneck164"),
        (["model=preact", "depth=164"], "preact164"),
        (["model=bottleneck"], "bottleneck164"),
        (["model=bottleneck", "shortcut=A"], "bottleneck164-A"),
        (["model=resnet56", "width=8", "optim.lr=0.2"], "resnet56"),
        (["name=mine"], "mine"),
    ],
)
def test_a_run_is_named_after_its_values(settings: Settings, overrides: list[str], name: str) -> None:
    assert settings(*overrides).name == name


def test_what_a_sweep_varies_shows_in_the_name(composed: Callable[..., DictConfig]) -> None:
    root = composed("optim.lr=0.05", "data=synthetic", "optim.milestones=[3,5]")
    assert run_name("optim.lr", root=root) == "resnet20-lr0.05"
    assert run_name("data", "width", root=root) == "resnet20-synthetic-width16"
    assert run_name("optim.milestones", root=root) == "resnet20-milestones_3_5"


def test_the_keys_that_a_user_named() -> None:
    assert named_in(["depth=20", "+sead=3", "++optim.lr=0.1", "~x=1", "data.title='a=b'"]) == {
        *("depth", "sead", "optim.lr", "x", "data.title"),
    }
