"""What `task=` can be; each lists its parts in the order of the flow."""

import functools
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from resnet_exp import workers
from resnet_exp.batches import BatchStream, padding_of
from resnet_exp.checkpoint import load_checkpoint
from resnet_exp.compiling import choose_compile, compile_blocks
from resnet_exp.config import Config, flatten
from resnet_exp.data import Dataset, load_dataset
from resnet_exp.evaluate import Evaluation, recompute_batch_norm, training_batches
from resnet_exp.machine import Precision, choose_device, choose_precision, choose_threads, environment, set_up
from resnet_exp.models import CifarNet, LayerCost, describe, initialise
from resnet_exp.optim import build_optimizer, lr_at
from resnet_exp.origin import Origin, check_settings
from resnet_exp.records import RunFolder
from resnet_exp.signals import Stopped, StopRequest
from resnet_exp.step import State, Totals
from resnet_exp.summary import headline, known_before
from resnet_exp.train import train

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Parts:
    """What training and evaluating both need."""

    device: torch.device
    precision: Precision
    compiled: bool
    dataset: Dataset
    model: CifarNet


def prepare(config: Config, *, threads_before: int | None = None) -> Parts:
    """Device, data and net; the net initialised from the seed.

    Args:
        threads_before: CPU threads the run began with, if it goes on.

    Raises:
        ValueError: no such device, or the data are missing or damaged.
    """
    device = choose_device(config.device, turn=workers.number())
    threads = choose_threads(config.threads, before=threads_before)
    set_up(device, threads=threads, deterministic=config.deterministic)
    dataset = load_dataset(
        config.data.name,
        root=Path(config.data.root),
        download=config.data.download,
        image_size=config.data.image_size,
        train_limit=config.data.train_limit,
        test_limit=config.data.test_limit,
        val_size=config.data.val_size,
    ).to(device)
    model = build(config, num_classes=len(dataset.classes))
    initialise(model, seed=config.seed)
    model = model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    compiled = config.task == "train" and choose_compile(config.compile, device)
    if compiled:
        compile_blocks(model.blocks)
    return Parts(device, choose_precision(config.amp, device), compiled, dataset, model)


def build(config: Config, *, num_classes: int) -> CifarNet:
    return CifarNet(
        depth=config.depth,
        block=config.block,
        shortcut=config.shortcut,
        bottleneck=config.bottleneck,
        width=config.width,
        num_classes=num_classes,
    )


def costs_of(config: Config, *, num_classes: int) -> list[LayerCost]:
    """What each layer of the net costs for one image; computes nothing."""
    with torch.device("meta"):
        model = build(config, num_classes=num_classes)
    return describe(model, image_size=config.data.image_size)


def take_up(config: Config, folder: RunFolder) -> tuple[Parts, Origin, dict[str, Any] | None]:
    """The parts of a run, what it was begun with, and the checkpoint it goes on from, if there is one.

    Raises:
        ValueError: the folder's checkpoint is damaged, or of a run with other settings or images.
    """
    checkpoint = load_checkpoint(folder.path)
    earlier = Origin(**checkpoint["origin"]) if checkpoint else None
    if earlier:
        check_settings(folder.path, earlier.settings, config)
    parts = prepare(config, threads_before=earlier.environment.get("threads") if earlier else None)
    origin = Origin(
        settings=config.to_dict(),
        images=parts.dataset.fingerprint,
        environment=environment(parts.device, precision=parts.precision, compiled=parts.compiled),
    )
    if checkpoint and earlier:
        origin = origin.after(earlier, path=folder.path, step=checkpoint["state"]["step"])
    return parts, origin, checkpoint


def train_run(config: Config, folder: RunFolder) -> None:
    """`task=train`: trains one net and leaves its run folder complete, or ready to go on.

    Raises:
        Stopped: SIGINT or SIGTERM came; the state is saved.
        ValueError: the folder's checkpoint is damaged, or of a run with other settings or images.
    """
    parts, origin, checkpoint = take_up(config, folder)
    optim, length = config.optim, config.train
    optimizer = build_optimizer(
        parts.model,
        lr=optim.lr,
        momentum=optim.momentum,
        weight_decay=optim.weight_decay,
        weight_decay_on=optim.weight_decay_on,
    )
    state = State(parts.model, optimizer, parts.precision.scaler(), Totals(parts.device))
    stream = BatchStream(
        num_images=len(parts.dataset.train),
        batch_size=length.batch_size,
        padding=padding_of(config.data.image_size),
        augment=config.data.augment,
        seed=config.seed,
    )
    schedule = functools.partial(lr_at, lr=optim.lr, milestones=optim.milestones, warmup_steps=config.warmup_steps)
    costs = costs_of(config, num_classes=len(parts.dataset.classes))
    before = known_before(
        config, parts.dataset, origin=origin, costs=costs, precision=parts.precision, device=parts.device
    )
    folder.config = config.to_dict()
    folder.summary = before | {"status": "running"}
    log.info("%s", headline(before))
    result: dict[str, Any] = {"status": "interrupted"}
    try:
        with StopRequest() as stop:
            trained = train(
                state,
                checkpoint=checkpoint,
                origin=origin.to_dict(),
                lr_at=schedule,
                stream=stream,
                dataset=parts.dataset,
                precision=parts.precision,
                folder=folder,
                steps=length.steps,
                eval_every=length.eval_every,
                save_every=length.save_every,
                stop=stop,
            )
            with suppress(Stopped):  # all is saved: the same command begins with these errors
                stop.check()
                errors = final_errors(parts, stream=stream, steps=length.steps, check=stop.check)
                folder.add_hparams(flatten(config.to_dict()), folder.last_errors(), step=length.steps)
                result = trained | errors
    finally:
        folder.summary = before | folder.last_errors() | result
    if stop.signum is not None:
        stop.leave()
    log.info("%s: %s", result["status"], folder.path)


def final_errors(parts: Parts, *, stream: BatchStream, steps: int, check: Callable[[], None]) -> dict[str, float]:
    """Errors (%) of the last weights: training set without augmentation, and test set with BN statistics recomputed.

    Changes the net's BN statistics: to those of the batches that would follow the `steps` of training.
    """
    dataset = parts.dataset
    log.info("measuring the final errors on all %s training images", f"{len(dataset.train):,}")
    how: Any = {"mean": dataset.mean, "std": dataset.std, "precision": parts.precision}
    clean = Evaluation(parts.model, dataset.train, **how)(check=check)
    batches = training_batches(dataset.train, stream, first=steps, mean=dataset.mean, std=dataset.std)
    recompute_batch_norm(parts.model, batches, precision=parts.precision, check=check)
    recomputed = Evaluation(parts.model, dataset.test, **how)(check=check)
    return {"train_error_clean": clean[1], "test_error_recomputed_bn": recomputed[1]}


def evaluate_run(config: Config, folder: RunFolder) -> None:
    """`task=evaluate`: the errors of a run's newest checkpoint on every split, without augmentation.

    Raises:
        ValueError: the folder holds no checkpoint, or that of a run with other settings or images.
    """
    if load_checkpoint(folder.path) is None:
        raise ValueError(f"{folder.path}: no checkpoint to evaluate\ntask=train makes one")
    parts, _, checkpoint = take_up(config, folder)
    assert checkpoint is not None
    parts.model.load_state_dict(checkpoint["state"]["model"])
    dataset = parts.dataset
    for name, split in (("training", dataset.train), ("validation", dataset.val), ("test", dataset.test)):
        if split:
            evaluation = Evaluation(parts.model, split, mean=dataset.mean, std=dataset.std, precision=parts.precision)
            loss, error = evaluation()
            step = checkpoint["state"]["step"]
            log.info("step %d  %s images %d  loss %.4g  error %.2f %%", step, name, len(split), loss, error)


def describe_net(config: Config) -> None:
    """`task=describe`: a table of the net's layers, for one image; computes nothing."""
    costs = costs_of(config, num_classes=100 if config.data.name == "cifar100" else 10)
    rows = [(c.path, c.kind, "x".join(map(str, c.shape)), f"{c.params:,}", f"{c.macs:,}") for c in costs]
    params, macs = sum(c.params for c in costs), sum(c.macs for c in costs)
    head = ("layer", "kind", "output", "parameters", "multiply-adds")
    foot = (config.name, f"{config.depth} layers", "", f"{params:,}", f"{macs:,}")
    widths = [max(map(len, column)) for column in zip(head, *rows, foot, strict=True)]
    for row in (head, *rows, foot):
        left = "  ".join(text.ljust(width) for text, width in zip(row[:3], widths, strict=False))
        right = "  ".join(text.rjust(width) for text, width in zip(row[3:], widths[3:], strict=True))
        print(f"{left}  {right}")
