from collections.abc import Callable
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from resnet_exp.cli.main import conf_dir
from resnet_exp.config import Config, all_keys, differences, run_name

Settings = Callable[..., Config]
YAMLS = sorted(file.relative_to(conf_dir()) for file in conf_dir().rglob("*.yaml") if file.name != "config.yaml")


@pytest.mark.parametrize("file", YAMLS, ids=str)
def test_every_yaml_composes(file: Path, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESNET_EXP_DATA", str(tmp_path))
    for part in ("train", "test"):
        (tmp_path / part).mkdir()
    config = settings(f"{file.parent.as_posix()}={file.stem}")
    if file.parent.name == "model":
        digits = "".join(filter(str.isdigit, file.stem))
        assert str(config.depth) == (digits or {"bottleneck": "164", "preact_bottleneck": "164"}.get(file.stem, "20"))
        assert config.family.startswith(file.stem.removesuffix(digits)) or config.bottleneck
    elif file.parent.name == "data":
        assert config.data.name == file.stem
    elif file.parent.name == "experiment":
        assert config.study == file.stem


def test_a_slurm_job_is_warned_in_time_and_comes_back(composed: Callable[..., DictConfig]) -> None:
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        launcher = compose("config", overrides=["hydra/launcher=slurm"], return_hydra_config=True).hydra.launcher
    assert "SlurmLauncher" in launcher._target_
    assert 60 * launcher.timeout_min > launcher.signal_delay_s >= 60
    assert launcher.max_num_timeout > 100, "submitit's 0 would end a run at its first time limit"


def test_defaults_are_the_papers_recipe(settings: Settings) -> None:
    config = settings()
    assert (config.name, config.study, config.data.name, config.seed) == ("resnet20", "default", "cifar10", 0)
    assert (config.train.steps, config.train.batch_size) == (64_000, 128)
    assert (config.train.eval_every, config.train.save_every) == (500, 2000)
    optim = config.optim
    assert (optim.lr, optim.momentum, optim.weight_decay, optim.weight_decay_on) == (0.1, 0.9, 1e-4, "all")
    assert optim.milestones == [32_000, 48_000]
    assert (config.data.root, config.data.download, config.data.val_size, config.data.image_size) == (
        "data",
        True,
        0,
        32,
    )
    assert (config.device, config.amp, config.compile, config.deterministic) == ("auto", "auto", "auto", False)


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


@pytest.mark.parametrize(
    ("depth", "warmup", "steps"), [(56, "auto", 0), (110, "auto", 400), (110, "0", 0), (20, "7", 7)]
)
def test_warmup_is_a_fixed_number_of_steps(settings: Settings, depth: int, warmup: str, steps: int) -> None:
    assert settings(f"depth={depth}", f"optim.warmup_steps={warmup}").warmup_steps == steps


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("depth=21", "6n+2 layers; near are 20 and 26"),
        ("depth=1", "near are 8"),
        ("depth=7", "near are 8"),
        ("block=v3", "block=v3: choose v1, v2"),
        ("shortcut=D", "choose none, A, B, C"),
        ("width=0", "width=0: must be at least 1"),
        ("seed=-1", "seed=-1"),
        ("study=../x", "study=../x: must be a folder name"),
        ("device=gpu", "device=gpu: choose auto, cpu, cuda or cuda:N"),
        ("amp=fp8", "choose auto, off, bf16, fp16"),
        ("compile=maybe", "choose auto, true, false"),
        ("threads=0", "threads=0"),
        ("task=play", "choose train, describe, evaluate"),
        ("optim.lr=-1", "optim.lr=-1.0"),
        ("optim.lr=nan", "optim.lr=nan"),
        ("optim.milestones=[5,3]", "must be rising steps"),
        ("optim.warmup_steps=soon", "must be auto or a number of steps"),
        ("optim.weight_decay_on=biases", "choose all, weights"),
        ("train.steps=0", "train.steps=0"),
        ("train.batch_size=1", "train.batch_size=1"),
        ("data.train_limit=0", "data.train_limit=0"),
        ("data.val_size=-1", "data.val_size=-1"),
        ("data.image_size=2", "data.image_size=2"),
        ("+sead=3", "sead: no such setting; did you mean seed?"),
        ("+optim.rl=3", "optim.rl: no such setting; did you mean optim.lr?"),
    ],
)
def test_impossible_values_are_refused_with_the_choices(settings: Settings, override: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (the message is the point, as text, not as a pattern)
        settings(override)
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 3


def test_a_bottleneck_depth_is_9n_plus_2(settings: Settings) -> None:
    assert settings("model=bottleneck", "depth=29").depth == 29
    with pytest.raises(ValueError, match=r"9n\+2 layers; near are 56 and 65"):
        settings("model=bottleneck", "depth=57")


def test_only_what_changes_the_numbers_counts_as_a_difference(settings: Settings) -> None:
    stored = settings("model=plain56").to_dict()
    free = ("device=cpu", "threads=1", "data.root=/x", "train.save_every=7", "study=s", "compile=false", "fresh=true")
    assert differences(stored, settings("model=plain56", *free)) == []
    assert differences(stored, settings("model=plain56", "optim.lr=0.2", "seed=3")) == [
        "optim.lr: 0.1 -> 0.2",
        "seed: 0 -> 3",
    ]


def test_every_setting_has_its_comment_in_the_yaml() -> None:
    text = "\n".join(file.read_text() for file in (conf_dir() / "config.yaml", conf_dir() / "data" / "cifar10.yaml"))
    for key in all_keys():
        leaf = key.rpartition(".")[2]
        lines = [line for line in text.splitlines() if line.strip().startswith(f"{leaf}:")]
        assert lines, key
        plain = {"name", "lr", "momentum", "weight_decay", "bottleneck"}
        assert leaf in plain or any("#" in line for line in lines), key
