"""What one run is: the typed settings, their checks, and what follows from them. Knows no torch.

The defaults stand in conf/, each with its comment; here stand the types.
"""

import difflib
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf

DEEP = 110  # from this depth on, [P1] 4.2 warms up
PAPER_WARMUP_STEPS = 400
DATASETS = ("cifar10", "cifar100", "image_folder", "synthetic")
TASKS = ("train", "describe", "evaluate")

# Settings that change where or how fast a run goes, not what it computes: free to differ on resume.
FREE = (
    *("study", "name", "device", "threads", "compile", "fresh", "task"),
    *("data.title", "data.root", "data.download", "train.save_every"),
)


def choose(key: str, value: object, choices: tuple[object, ...]) -> None:
    """Raises ValueError, naming the choices, unless `value` is one of them."""
    if value not in choices:
        raise ValueError(
            f"{key}={value}: choose {', '.join(str(c).lower() if isinstance(c, bool) else str(c) for c in choices)}"
        )


def at_least(key: str, value: float | None, minimum: float) -> None:
    """Raises ValueError if `value` is given and below `minimum`."""
    if value is not None and not value >= minimum:
        raise ValueError(f"{key}={value}: must be at least {minimum}")


@dataclass
class DataConfig:
    """Which images; see conf/data/cifar10.yaml."""

    name: str
    title: str | None
    root: str
    download: bool
    train_limit: int | None
    test_limit: int | None
    val_size: int
    image_size: int
    augment: bool

    def __post_init__(self) -> None:
        choose("data", self.name, DATASETS)
        at_least("data.train_limit", self.train_limit, 1)
        at_least("data.test_limit", self.test_limit, 1)
        at_least("data.val_size", self.val_size, 0)
        at_least("data.image_size", self.image_size, 4)
        if self.name == "image_folder":
            missing = [part for part in ("train", "test") if not (Path(self.root) / part).is_dir()]
            if missing:
                where = Path(self.root).absolute()
                raise ValueError(
                    f"data.root={self.root}: no folder {' and no folder '.join(missing)} in {where}"
                    "\ndata=image_folder reads train/<class>/<image> and test/<class>/<image>; set data.root=FOLDER"
                    "\ndata=synthetic needs no files"
                )
            self.title = self.title or Path(self.root).absolute().name


@dataclass
class OptimConfig:
    """How the weights move; see conf/config.yaml."""

    lr: float
    momentum: float
    weight_decay: float
    weight_decay_on: str
    milestones: list[int]
    warmup_steps: Any  # int or "auto"; OmegaConf cannot nest a union

    def __post_init__(self) -> None:
        at_least("optim.lr", self.lr, 0)
        at_least("optim.momentum", self.momentum, 0)
        at_least("optim.weight_decay", self.weight_decay, 0)
        choose("optim.weight_decay_on", self.weight_decay_on, ("all", "weights"))
        if self.milestones != sorted(self.milestones) or any(m < 0 for m in self.milestones):
            raise ValueError(f"optim.milestones={self.milestones}: must be rising steps, like [32000,48000]")
        if self.warmup_steps != "auto":
            if not isinstance(self.warmup_steps, int):
                raise ValueError(f"optim.warmup_steps={self.warmup_steps}: must be auto or a number of steps")
            at_least("optim.warmup_steps", self.warmup_steps, 0)


@dataclass
class TrainConfig:
    """How long, and what is kept; see conf/config.yaml."""

    steps: int
    batch_size: int
    eval_every: int
    save_every: int

    def __post_init__(self) -> None:
        at_least("train.steps", self.steps, 1)
        at_least("train.batch_size", self.batch_size, 2)  # BN needs more than one value a channel
        at_least("train.eval_every", self.eval_every, 1)
        at_least("train.save_every", self.save_every, 1)


@dataclass
class Config:
    """One run. Built once by `to_config` from what Hydra composed; nobody changes it afterwards.

    Raises:
        ValueError: a value is impossible; the message names it and the choices.
    """

    depth: int
    block: str
    shortcut: str
    bottleneck: bool
    width: int
    seed: int
    study: str
    name: str
    data: DataConfig
    optim: OptimConfig
    train: TrainConfig
    device: str
    amp: str
    compile: bool | str
    deterministic: bool
    threads: int | None
    fresh: bool
    task: str

    def __post_init__(self) -> None:
        check_depth(self.depth, bottleneck=self.bottleneck)
        choose("block", self.block, ("v1", "v2"))
        choose("shortcut", self.shortcut, ("none", "A", "B", "C"))
        at_least("width", self.width, 1)
        at_least("seed", self.seed, 0)
        for key in ("study", "name"):
            if not re.fullmatch(r"[\w][\w.+-]*", getattr(self, key)):
                raise ValueError(f"{key}={getattr(self, key)}: must be a folder name of letters, digits, '.', '_', '-'")
        if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", self.device):
            raise ValueError(f"device={self.device}: choose auto, cpu, cuda or cuda:N")
        choose("amp", self.amp, ("auto", "off", "bf16", "fp16"))
        choose("compile", self.compile, ("auto", True, False))
        at_least("threads", self.threads, 1)
        choose("task", self.task, TASKS)

    @property
    def family(self) -> str:
        return family(block=self.block, shortcut=self.shortcut, bottleneck=self.bottleneck)

    @property
    def warmup_steps(self) -> int:
        """First steps at lr/10. `auto`: a fixed 400 at depth >= 110, since a plain net may never reach [P1]'s 80 %."""
        if isinstance(self.optim.warmup_steps, int):
            return self.optim.warmup_steps
        return PAPER_WARMUP_STEPS if self.depth >= DEEP else 0

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def check_depth(depth: int, *, bottleneck: bool) -> None:
    """Raises ValueError, naming the nearest depths, unless a net of that depth exists."""
    period, kind = (9, "bottleneck") if bottleneck else (6, "basic")
    if depth < period + 2 or (depth - 2) % period:
        below = depth - (depth - 2) % period
        near = [d for d in (below, below + period) if d >= period + 2] or [period + 2]
        raise ValueError(
            f"depth={depth}: a net of {kind} blocks has {period}n+2 layers; near are {' and '.join(map(str, near))}"
        )


def family(*, block: str, shortcut: str, bottleneck: bool) -> str:
    """The `model=` of a net: plain, resnet, preact, bottleneck, preact_bottleneck (or plain_bottleneck)."""
    if shortcut == "none":
        return "plain_bottleneck" if bottleneck else "plain"
    if bottleneck:
        return "bottleneck" if block == "v1" else "preact_bottleneck"
    return "resnet" if block == "v1" else "preact"


# What the name of a run shows anyway, or its folder does.
NAMED = ("model", "depth", "block", "shortcut", "bottleneck", "seed", "study", "name", "experiment")


def run_name(*swept: str, root: DictConfig) -> str:
    """Names a run after its net, and after the settings in `swept`: `plain56`, `resnet56-B`, `resnet20-lr0.05`."""
    net = {key: root[key] for key in ("block", "shortcut", "bottleneck")}
    name = f"{family(**net)}{root.depth}"
    usual = "B" if root.bottleneck else "A"
    if root.shortcut == "none" and root.block == "v2":
        name += "-v2"
    if root.shortcut not in ("none", usual):
        name += f"-{root.shortcut}"
    for key in swept:
        value = root.data.name if key == "data" else OmegaConf.select(root, key)
        label = "" if key == "data" else key.rpartition(".")[2]
        name += "-" + re.sub(r"[^\w.+-]+", "_", f"{label}{value}").strip("_")
    return name


def study_dir(*, root: DictConfig) -> str:
    """The folder that holds the runs of one study. `describe` trains nothing and stays out of the studies."""
    return "outputs/describe" if root.task == "describe" else f"outputs/{root.study}"


def conf_dir() -> Path:
    """Where conf/ lies: inside the package in a wheel, beside it in a checkout."""
    here = Path(__file__).resolve().parent
    return next(folder for folder in (here / "conf", here.parent / "conf") if (folder / "config.yaml").is_file())


def register() -> None:
    """Makes the schema and the names of run folders known to Hydra."""
    ConfigStore.instance().store(name="schema", node=Config)
    OmegaConf.register_new_resolver("run_name", lambda *swept, _root_: run_name(*swept, root=_root_), replace=True)
    OmegaConf.register_new_resolver("study_dir", lambda _root_: study_dir(root=_root_), replace=True)


def to_config(composed: DictConfig) -> Config:
    """The typed settings behind what Hydra composed.

    Raises:
        ValueError: a value is impossible, or a key is unknown (`+key=` gets past Hydra's own check).
    """
    values: Any = OmegaConf.to_container(composed, resolve=True)
    for key in flatten(values):
        if key not in all_keys():
            raise ValueError(f"{key}: no such setting{suggest(key)}\n`resnet-exp --help` lists them all")
    config = OmegaConf.to_object(composed)
    assert isinstance(config, Config)
    return config


def all_keys() -> list[str]:
    """Every key that can be set, with dots."""
    keys = []
    for field in fields(Config):
        nested = fields(field.type) if is_dataclass(field.type) else []
        keys += [f"{field.name}.{sub.name}" for sub in nested] or [field.name]
    return keys


def suggest(word: str, choices: Sequence[str] = ()) -> str:
    """`; did you mean X?` with the choice (by default: the setting) most like `word`, or nothing."""
    close = difflib.get_close_matches(word, choices or [*all_keys(), "model", "data", "experiment"], n=1)
    return f"; did you mean {close[0]}?" if close else ""


def flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested to dotted: {"optim": {"lr": 0.1}} -> {"optim.lr": 0.1}."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def differences(stored: dict[str, Any], config: Config) -> list[str]:
    """The settings in which a stored run is another experiment than `config`, as `key: stored -> now`."""
    then, now = flatten(stored), flatten(config.to_dict())
    return [
        f"{key}: {then.get(key)} -> {now.get(key)}"
        for key in sorted({*then, *now} - {*FREE})
        if then.get(key) != now.get(key)
    ]
