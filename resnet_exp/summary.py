"""What `summary.json` says before the first step: the net, the data, and every choice the papers leave open."""

from typing import Any

import torch

from resnet_exp.batches import padding_of
from resnet_exp.config import Config
from resnet_exp.data import Dataset
from resnet_exp.machine import Precision, describe_device, versions
from resnet_exp.models import LayerCost
from resnet_exp.origin import Origin


def known_before(
    config: Config,
    dataset: Dataset,
    *,
    origin: Origin,
    costs: list[LayerCost],
    precision: Precision,
    device: torch.device,
) -> dict[str, Any]:
    """The fixed part of `summary.json`."""
    return {
        "name": config.name,
        "family": config.family,
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
        "device": describe_device(device),
        "n_train": len(dataset.train),
        "n_val": len(dataset.val) if dataset.val else 0,
        "n_test": len(dataset.test),
        "dataset": {
            "name": config.data.title or config.data.name,
            "fingerprint": dataset.fingerprint,
            "image_size": config.data.image_size,
            "classes": len(dataset.classes),
        },
        "choices": choices(config, precision=precision, compiled=origin.environment["compile"]),
        "environment": origin.environment,
        "environment_changes": origin.changes,
        "versions": versions(),
    }


def choices(config: Config, *, precision: Precision, compiled: bool) -> dict[str, Any]:
    """What makes two runs comparable: the recipe, and what the papers do not say."""
    return {
        "batch_size": config.train.batch_size,
        "batch_norm_images": config.train.batch_size,  # [P1] used two GPUs: 64 images each
        "lr": config.optim.lr,
        "milestones": list(config.optim.milestones),
        "warmup_steps": config.warmup_steps,
        "momentum": config.optim.momentum,
        "nesterov": False,
        "weight_decay": config.optim.weight_decay,
        "weight_decay_on": config.optim.weight_decay_on,
        "initialisation": "He normal over fan_out; head uniform over fan_in, bias zero",
        "normalisation": "mean and standard deviation of each channel of the training split",
        "padding": f"{padding_of(config.data.image_size)} black pixels a side, then normalised",
        "augmentation": "random crop of the padded image and random flip, per image" if config.data.augment else "none",
        "sampling": "endless stream of permutations, batches of equal size",
        "option_a": "every second pixel; missing channels zero, appended",
        "v2_shortcut_input": "raw where the shortcut is an identity, activated elsewhere and in the first block",
        "bottleneck_stride": "in the first 1x1 convolution",
        "train_error": "running: augmented batches, training-mode BN, mean over the steps since the last row",
        "test": "last weights, single view",
        "precision": precision.name,
        "deterministic": config.deterministic,
        "compile": compiled,
        "memory_format": "channels_last",
    }


def headline(summary: dict[str, Any]) -> str:
    """The first line of a run's log."""
    data = summary["dataset"]
    size = data["image_size"]
    return (
        f"{summary['name']} seed {summary['seed']}: {summary['params']:,} parameters,"
        f" {summary['macs'] / 1e6:.1f} million multiply-adds"
        f" | {data['name']}, {summary['n_train']:,} images of {size}x{size}"
        f" | {summary['steps']:,} steps | {summary['device']}, precision {summary['choices']['precision']}"
    )
