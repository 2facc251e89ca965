"""From conf/ and the command line to settings: every file and name composes, and what is impossible is refused."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from resnet_exp.config import conf_dir
from resnet_exp.nets.names import family
from resnet_exp.nets.table import FAMILIES, MODELS, net_spec
from tests.helpers import Settings

YAMLS = sorted(file.relative_to(conf_dir()) for file in conf_dir().rglob("*.yaml") if file.name != "config.yaml")


@pytest.mark.parametrize("file", YAMLS, ids=str)
def test_every_yaml_composes(file: Path, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESNET_EXP_DATA", str(tmp_path))
    for part in ("train", "test"):
        (tmp_path / part).mkdir()
    config = settings(f"{file.parent.as_posix()}={file.stem}")
    if file.parent.name == "data":
        assert config.data.name == file.stem
    elif file.parent.name == "experiment":
        assert config.study == file.stem


def test_nets_of_all_depths_have_one_learning_rate_where_a_warm_up_would_be_the_whole_run(settings: Settings) -> None:
    for depth in (8, 110):
        config = settings("experiment=depths", "model=resnet", f"depth={depth}")
        assert (config.train.steps, config.optim.warmup_steps) == (400, 0)


@pytest.mark.parametrize("model", MODELS)
def test_every_model_composes(model: str, settings: Settings) -> None:
    config = settings(f"model={model}")
    digits = "".join(filter(str.isdigit, model))
    assert str(config.depth) == (digits or str(FAMILIES[model]["depth"]))
    spec = net_spec(config.net)
    assert spec.depth == config.depth
    assert family(spec).removeprefix("imagenet-").startswith(model.removesuffix(digits)) or config.bottleneck


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
    assert (config.data.augment, config.data.crop, config.data.border) == (True, "padded", "mean")
    assert optim.warmup_steps == "auto"
    assert (config.device, config.amp, config.compile, config.deterministic) == ("auto", "auto", "auto", False)


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
        ("data.crop=random", "data.crop=random: choose padded, resized"),
        ("data.border=grey", "data.border=grey: choose mean, black"),
        ("+sead=3", "sead: no such setting; did you mean seed?"),
        ("+optim.rl=3", "optim.rl: no such setting; did you mean optim.lr?"),
    ],
)
def test_impossible_values_are_refused_with_the_choices(settings: Settings, override: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (the message is the point, as text, not as a pattern)
        settings(override)
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 3


def test_a_net_whose_first_numbers_would_overflow_is_refused(settings: Settings) -> None:
    with pytest.raises(ValueError, match=r"10\^90 times, more than float32 holds\nzero_init=true starts"):
        settings("model=resnet1202", "norm=none")
    with pytest.raises(ValueError, match="more than fp16 holds"):
        settings("model=resnet110", "norm=none", "amp=fp16")
    for allowed in (("zero_init=true",), ("shortcut=none",), ("norm=batch",), ("depth=200",)):
        settings("model=resnet1202", "norm=none", *allowed)


def test_off_without_quotes_in_a_file_is_off(settings: Settings) -> None:
    assert settings("amp=false").amp == settings("amp=off").amp == "off"


def test_a_bottleneck_depth_is_9n_plus_2(settings: Settings) -> None:
    assert settings("model=bottleneck", "depth=29").depth == 29
    with pytest.raises(ValueError, match=r"9n\+2 layers; near are 56 and 65"):
        settings("model=bottleneck", "depth=57")
