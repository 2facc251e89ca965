"""What `summary.json` says before the first step: the net, the data, and every choice the papers leave open."""

import platform
from importlib.metadata import version
from typing import Any

import torch

from resnet_exp import __version__
from resnet_exp.compute.device import Precision, onednn_kernels
from resnet_exp.config import Config
from resnet_exp.data.crops import make_crop
from resnet_exp.data.decode import RECORDED
from resnet_exp.data.sets import Dataset
from resnet_exp.grammar import written
from resnet_exp.nets.cost import costs_of
from resnet_exp.nets.names import family
from resnet_exp.nets.spec import NetSpec
from resnet_exp.runs.origin import Origin
from resnet_exp.runs.schema import SCHEMA, ZEROED


def describe_device(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"cpu ({platform.machine()}, {torch.backends.cpu.get_cpu_capability()}, {torch.get_num_threads()} threads)"


def environment(device: torch.device, precision: Precision, compiled: bool) -> dict[str, Any]:
    """What the last bits of every number depend on, besides settings and images."""
    if device.type == "cuda":
        where = {"device": torch.cuda.get_device_name(device), "cudnn": torch.backends.cudnn.version()}
    else:
        capability = torch.backends.cpu.get_cpu_capability()
        where = {"device": f"cpu ({platform.machine()}, {capability})", "onednn": onednn_kernels()}
        where["threads"] = torch.get_num_threads()
    return {
        "torch": str(torch.__version__),  # names the CUDA build too
        **where,
        "memory_format": "channels_last",
        "compile": compiled,
        "precision": precision.name,
    }


def versions() -> dict[str, str]:
    found = {"resnet-exp": __version__, "python": platform.python_version()}
    found |= {"torch": str(torch.__version__)}  # names the CUDA build too
    found |= {package: version(package) for package in ("torchvision", "numpy", "hydra-core")}
    if torch.cuda.is_available():
        found |= {"cuda": str(torch.version.cuda), "cudnn": str(torch.backends.cudnn.version())}
    return found


def known_before(
    config: Config, spec: NetSpec, dataset: Dataset, *, origin: Origin, warmup_steps: int, initial_weights: str
) -> dict[str, Any]:
    """The fixed part of `summary.json`.

    Args:
        initial_weights: where they are from.
    """
    size = config.data.image_size
    costs = costs_of(spec, num_classes=len(dataset.classes), image_size=size)
    return {
        "schema": SCHEMA,
        "name": config.name,
        "family": family(spec),
        "depth": config.depth,
        "block": config.block,
        "shortcut": config.shortcut,
        "width": config.width,
        "seed": config.seed,
        "params": sum(cost.params for cost in costs),
        "macs": sum(cost.macs for cost in costs),
        "steps": config.train.steps,
        "status": "running",
        "train_error": None,
        "train_error_clean": None,
        "test_error": None,
        "first_bad_step": None,
        "images_per_second": None,
        "n_train": len(dataset.train),
        "n_val": len(dataset.val) if dataset.val else 0,
        "n_test": len(dataset.test),
        "dataset": {
            "name": config.data.shown,
            "fingerprint": dataset.fingerprint,
            "image_size": size,
            "classes": len(dataset.classes),
            "class_names": dataset.classes,
            "mean": config.data.mean or dataset.mean.tolist(),  # as said: float32 rounds
            "std": config.data.std or dataset.std.tolist(),
        },
        "net": spec.to_dict(),
        "choices": choices(config, environment=origin.environment, warmup_steps=warmup_steps)
        | {"initial_weights": initial_weights},
        "environment": origin.environment,
        "environment_changes": origin.changes,
        "versions": versions(),
    }


def choices(config: Config, *, environment: dict[str, Any], warmup_steps: int) -> dict[str, Any]:
    """What makes two runs comparable: the recipe, and what the papers do not say."""
    normalisation = "mean and standard deviation of each channel of the training split"
    if config.data.mean and config.data.std:
        normalisation = f"mean {written(config.data.mean)}, standard deviation {written(config.data.std)}"
    zero_init = f"; {ZEROED}" if config.zero_init else ""
    return {
        "batch_size": config.train.batch_size,
        "batch_norm_images": config.train.batch_size,  # [P1] used two GPUs: 64 images each
        "lr": config.optim.lr,
        "milestones": list(config.optim.milestones),
        "warmup_steps": warmup_steps,
        "momentum": config.optim.momentum,
        "nesterov": False,
        "weight_decay": config.optim.weight_decay,
        "weight_decay_on": config.optim.weight_decay_on,
        "initialisation": "He normal over fan_out; head uniform over fan_in, bias zero" + zero_init,
        "normalisation": normalisation,
        **make_crop(config.data).recorded(augment=config.data.augment),
        **({"decoding": RECORDED} if config.data.name == "image_folder" else {}),
        "sampling": "endless stream of permutations, batches of equal size",
        "option_a": "every second pixel; missing channels zero, appended",
        "v2_shortcut_input": "raw where the shortcut is an identity, activated elsewhere and in the first block",
        "bottleneck_stride": {"1x1": "in the first 1x1 convolution", "3x3": "in the 3x3 convolution"}[
            config.bottleneck_stride
        ],
        "train_error": "running: augmented batches, training-mode BN, mean over the steps since the last row",
        "test": "last weights, single view",
        "precision": environment["precision"],
        "deterministic": config.deterministic,
        "compile": environment["compile"],
        "memory_format": environment["memory_format"],
    }


def headline(summary: dict[str, Any]) -> str:
    """The first line of a run's log, but for how its precision was chosen."""
    data = summary["dataset"]
    size = data["image_size"]
    return (
        f"{summary['name']} seed {summary['seed']}: {summary['params']:,} parameters,"
        f" {summary['macs'] / 1e6:.1f} million multiply-adds"
        f" | {data['name']}, {summary['n_train']:,} images of {size}x{size}"
        f" | {summary['steps']:,} steps | {summary['device']}"
        f" | precision {summary['choices']['precision']}"
    )
