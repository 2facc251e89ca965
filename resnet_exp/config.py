"""What one run is: the typed settings and their checks. Knows no Hydra.

The defaults stand in conf/, each with its comment; here stand the types.
"""

import math
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

from resnet_exp.grammar import settings_in, written
from resnet_exp.settings import FREE

LAYOUT_NAMES = ("cifar", "imagenet", "vgg", "mlp")
DATASETS = ("cifar10", "cifar100", "image_folder", "synthetic")
TASKS = ("train", "describe", "evaluate", "diagnose", "export", "grow")
QUESTIONS = ("responses", "gradients", "branches", "lesion", "information", "surface")  # of task=diagnose
MOST_SEEDS = 2**64  # what torch's generators take


def choose(key: str, value: object, choices: tuple[object, ...]) -> None:
    """Raises ValueError, naming the choices, unless `value` is one of them."""
    if value not in choices:
        raise ValueError(
            f"{key}={value}: choose {', '.join(str(c).lower() if isinstance(c, bool) else str(c) for c in choices)}"
        )


def at_least(key: str, value: float | None, minimum: float) -> None:
    """Raises ValueError if `value` is given and below `minimum`, or no finite number."""
    if value is not None and not value >= minimum:
        raise ValueError(f"{key}={value}: must be at least {minimum}")
    if value == math.inf:
        raise ValueError(f"{key}={value}: must be a finite number")


@dataclass(frozen=True)
class NetConfig:
    """Which net; what it means is said in `nets.table`."""

    depth: int
    block: str
    shortcut: str
    bottleneck: bool
    width: int
    layout: str = "cifar"
    norm: str = "batch"
    bottleneck_stride: str = "1x1"
    blocks: tuple[int, ...] | None = None
    channels: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        choose("layout", self.layout, LAYOUT_NAMES)
        choose("block", self.block, ("v1", "v2"))
        choose("shortcut", self.shortcut, ("none", "A", "B", "C"))
        choose("norm", self.norm, ("batch", "none"))
        choose("bottleneck_stride", self.bottleneck_stride, ("1x1", "3x3"))
        at_least("width", self.width, 1)
        for key in ("blocks", "channels"):
            numbers = getattr(self, key)
            if numbers is not None and (not numbers or min(numbers) < 1):
                raise ValueError(
                    f"{key}={written(list(numbers))}: must be a positive number for each stage, like [3,4]"
                )


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
    crop: str
    border: str
    mean: list[float] | None
    std: list[float] | None

    def __post_init__(self) -> None:
        choose("data", self.name, DATASETS)
        with suppress(RuntimeError):  # of a user who does not exist: the folder is missing, which is said
            self.root = str(Path(self.root).expanduser())
        at_least("data.train_limit", self.train_limit, 1)
        at_least("data.test_limit", self.test_limit, 1)
        at_least("data.val_size", self.val_size, 0)
        at_least("data.image_size", self.image_size, 4)
        choose("data.crop", self.crop, ("padded", "resized"))
        choose("data.border", self.border, ("mean", "black"))
        for key, lowest in (("mean", 0.0), ("std", 1e-3)):
            values = getattr(self, key)
            if values is not None and not (len(values) == 3 and all(lowest <= value <= 1 for value in values)):
                above = "above 0 and up to 1" if key == "std" else "of 0 to 1"
                raise ValueError(f"data.{key}={written(values)}: must be three numbers {above}: red, green, blue")
        if (self.mean is None) != (self.std is None):
            raise ValueError("data.mean and data.std: give both, or neither to take those of the training images")
        if self.name == "image_folder":
            self.title = self.title or Path(self.root).absolute().name

    @property
    def shown(self) -> str:
        """How figures and tables call the images."""
        return self.title or self.name


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
    snapshots: list[int]

    def __post_init__(self) -> None:
        at_least("train.steps", self.steps, 1)
        at_least("train.batch_size", self.batch_size, 2)  # BN needs more than one value a channel
        at_least("train.eval_every", self.eval_every, 1)
        at_least("train.save_every", self.save_every, 1)
        if self.snapshots != sorted({*self.snapshots}) or min(self.snapshots, default=0) < 0:
            raise ValueError(f"train.snapshots={written(self.snapshots)}: must be rising steps, like [0,1000]")


@dataclass
class Config:
    """One run. Built once by `cli.compose.to_config` from what Hydra composed; nobody changes it afterwards.

    Raises:
        ValueError: a value is impossible; the message names it and the choices.
    """

    layout: str
    depth: int
    block: str
    shortcut: str
    bottleneck: bool
    bottleneck_stride: str
    width: int
    blocks: list[int] | None
    channels: list[int] | None
    norm: str
    zero_init: bool
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
    stop_on_failure: bool
    dry_run: bool
    init_from: str | None
    grow_from: list[str] | None
    task: str
    from_: str | None
    weights: str | None
    what: list[str]
    onnx: bool

    def __post_init__(self) -> None:
        _ = self.net  # its checks
        at_least("seed", self.seed, 0)
        if self.seed >= MOST_SEEDS:
            raise ValueError(f"seed={self.seed}: must be below 2**64")
        for key in ("study", "name"):
            if not re.fullmatch(r"[\w][\w.+-]*", getattr(self, key)):
                raise ValueError(f"{key}={getattr(self, key)}: must be a folder name of letters, digits, '.', '_', '-'")
        if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", self.device):
            raise ValueError(f"device={self.device}: choose auto, cpu, cuda or cuda:N")
        if str(self.amp) == "False":  # how YAML reads `amp: off`
            self.amp = "off"
        choose("amp", self.amp, ("auto", "off", "bf16", "fp16"))
        choose("compile", self.compile, ("auto", True, False))
        at_least("threads", self.threads, 1)
        choose("task", self.task, TASKS)
        if self.dry_run and self.task != "train":
            raise ValueError("dry_run=true: goes with task=train")
        if self.grow_from is not None:
            check_grow_from(self)
        if self.task == "grow" and not self.from_:
            raise ValueError("task=grow: say from=RUN, the run folder of the shallower net, and depth=")
        if self.from_ and self.task == "train":
            raise ValueError(
                f"from={self.from_}: goes with {', '.join(TASKS[1:])}; init_from= is what a training begins from"
            )
        if self.weights and self.task != "evaluate":
            raise ValueError(
                f"weights={self.weights}: goes with task=evaluate; init_from= is what a training begins from"
            )
        if self.weights and self.from_:
            raise ValueError("from= and weights=: give the run or the file, not both")
        for word in self.what:
            choose("what", word, (*QUESTIONS, "all"))
        if self.what != ["all"] and self.task != "diagnose":
            raise ValueError(f"what={written(self.what)}: goes with task=diagnose")
        if self.onnx and self.task != "export":
            raise ValueError("onnx=true: goes with task=export")

    @property
    def net(self) -> NetConfig:
        return net_config(vars(self))

    def to_dict(self) -> dict[str, Any]:
        """As a run records it: all but `dry_run`, of which there is no run."""
        return {key: value for key, value in asdict(self).items() if key != "dry_run"}

    @property
    def shallower(self) -> "Config":
        """The run from whose weights this one grows: as this one but for what `grow_from` says.

        Raises:
            ValueError: a value is impossible.
        """
        assert self.grow_from is not None
        return self.updated({"grow_from": None, "fresh": False} | settings_in(self.grow_from))

    def updated(self, values: dict[str, Any]) -> "Config":
        """The same with other values, by keys with dots; they are checked together."""
        whole: dict[str, Any] = {}
        parts: dict[str, dict[str, Any]] = {}
        for key, value in values.items():
            section, _, leaf = key.rpartition(".")
            (parts.setdefault(section, {}) if section else whole)[leaf] = value
        sections = {section: replace(getattr(self, section), **of_one) for section, of_one in parts.items()}
        return replace(self, **whole, **sections)


def check_grow_from(config: Config) -> None:
    """Raises ValueError unless `grow_from` says how the shallower run differs from this one."""
    words = written(config.grow_from)
    if config.init_from is not None:
        raise ValueError("init_from= and grow_from=: give one; a net begins from one set of weights")
    for key in settings_in(config.grow_from or []):
        if key not in all_keys() or key in FREE:
            raise ValueError(f"grow_from={words}: {key} is no setting that makes another run")
    try:
        layers = config.shallower.depth
        less = config.depth < layers
    except TypeError as error:  # a word for a number
        raise ValueError(f"grow_from={words}: a value of the wrong kind ({error})") from error
    if less:
        raise ValueError(f"depth={config.depth}: less than the {layers} layers that it grows from ({words})")


def net_config(settings: Mapping[str, Any]) -> NetConfig:
    """Those of all settings of a run that say which net.

    Raises:
        ValueError: a value is impossible.
    """
    values: dict[str, Any] = {}
    for key in NetConfig.__dataclass_fields__:
        value = settings[key]
        values[key] = tuple(value) if isinstance(value, list) else value
    return NetConfig(**values)


def all_keys() -> list[str]:
    """Every key that can be set, with dots."""
    keys = []
    for field in fields(Config):
        nested = fields(field.type) if is_dataclass(field.type) else []
        keys += [f"{field.name}.{sub.name}" for sub in nested] or [field.name]
    return keys


def conf_dir() -> Path:
    """Where conf/ lies: inside the package in a wheel, beside it in a checkout."""
    here = Path(__file__).resolve().parent
    return next(folder for folder in (here / "conf", here.parent / "conf") if (folder / "config.yaml").is_file())
