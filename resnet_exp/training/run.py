"""One run, its parts in the order of the flow: device, images, net, optimizer, steps; then the loop, then the end."""

import functools
import logging
import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resnet_exp.compute.evaluate import recompute_batch_norm, training_batches
from resnet_exp.compute.grown import grow_into
from resnet_exp.compute.parts import Parts, prepare, take_up, weights_named
from resnet_exp.compute.speed import choose_compile, compile_blocks
from resnet_exp.compute.totals import Totals
from resnet_exp.compute.weights import load_into, read
from resnet_exp.config import Config
from resnet_exp.data.stream import BatchStream
from resnet_exp.nets.table import paper_warmup
from resnet_exp.runs.checkpoint import repair
from resnet_exp.runs.folder import RunFolder
from resnet_exp.runs.liveness import this_host
from resnet_exp.runs.origin import Origin
from resnet_exp.runs.schema import DRAWN
from resnet_exp.runs.snapshots import snapshot_steps
from resnet_exp.settings import flatten
from resnet_exp.training.facts import describe_device, environment, headline, known_before
from resnet_exp.training.loop import Saver, columns, train
from resnet_exp.training.optim import build_optimizer, lr_at
from resnet_exp.training.progress import Progress
from resnet_exp.training.step import State, TrainStep
from resnet_exp.training.stop import Stop, Stopped

log = logging.getLogger(__name__)


def train_run(
    config: Config,
    folder: RunFolder,
    *,
    stop: Stop,
    turn: int = 0,
    quiet: bool = False,
    begun_by: str = "",
    fresh: bool = False,
    shallower: Path | None = None,
) -> None:
    """`task=train`: trains one net and leaves its run folder complete, or ready to go on.

    Args:
        stop: who looks at it knows when to end; the state is then saved.
        turn: which of several runs side by side this is.
        quiet: no bar.
        begun_by: what the run was begun by, to be recorded.
        fresh: whether it begins whatever the folder holds, which then goes, once nothing can be refused any more.
        shallower: the run folder from whose weights the net is grown, if the settings say that it is and it begins.

    Raises:
        ValueError: the folder's checkpoint is damaged, or of a run with other settings or images.
    """
    earlier, checkpoint = (None, None) if fresh else take_up(config, folder)
    if not fresh and not earlier:
        check_nothing_lost(folder)
    before = None if fresh else folder.summary.get("environment")
    parts = prepare(config, earlier=earlier, before=before, turn=turn)
    config = config.updated({"amp": parts.precision.name})  # the record says what `auto` was
    compiled = choose_compile(config.compile, parts.device)
    if compiled:
        compile_blocks(parts.model.blocks)
    where = environment(parts.device, parts.precision, compiled)
    origin = Origin.now(folder.path, config, parts.dataset.fingerprint, where)
    optimizer = build_optimizer(parts.model, config.optim)
    state, metrics = State(parts.model, optimizer, parts.precision.scaler(), Totals(parts.device)), ""
    if earlier and checkpoint:
        begun = as_it_began(folder, config)
        origin, metrics = go_on(state, checkpoint, folder, config=config, origin=origin, earlier=earlier)
    else:
        begun = begin(parts, config, folder, shallower=shallower, check=stop.check)
        if fresh:
            folder.clear()

    warmup_steps = paper_warmup(parts.model.spec) if config.optim.warmup_steps == "auto" else config.optim.warmup_steps
    facts = known_before(
        config,
        parts.model.spec,
        parts.dataset,
        origin=origin,
        warmup_steps=warmup_steps,
        initial_weights=begun.weights,
    )
    facts |= {"device": describe_device(parts.device), "precision_reason": parts.precision.reason, "begun_by": begun_by}
    facts |= {"host": this_host(), "step": state.step}  # for whoever looks from outside
    facts |= begun.facts
    folder.config = {"schema": origin.settings["schema"]} | config.to_dict()
    folder.summary = facts
    log.info("%s (%s)", headline(facts), parts.precision.reason)
    if config.optim.warmup_steps == "auto":
        say_long_warm_up(warmup_steps, steps=config.train.steps)
    with closing_summary(folder, facts, state) as results:
        schedule = functools.partial(lr_at, config=config.optim, warmup_steps=warmup_steps)
        saver = open_records(state, parts, folder, origin=origin, metrics=metrics)
        results |= train_and_measure(config, parts, saver, lr_at=schedule, quiet=quiet, stop=stop)
    log.info("%s: %s", results["status"], folder.path)


def check_nothing_lost(folder: RunFolder) -> None:
    """Raises ValueError if there is no checkpoint though the run got further than its first one: to begin again would
    drop its rows."""
    done, stored = folder.summary.get("step") or 0, flatten(folder.config or {})
    if done > stored.get("train.save_every", math.inf):
        raise ValueError(
            f"{folder.path}: its checkpoints are gone; it was at step {done:,}\nfresh=true starts it again from step 0"
        )
    if done:
        log.warning("no checkpoint yet: beginning again at step 0")


def say_long_warm_up(warmup_steps: int, *, steps: int) -> None:
    """Says where the paper's warm-up, which nobody asked for, would be more than a quarter of a run."""
    if warmup_steps > steps / 4:
        part = "all" if warmup_steps >= steps else f"{warmup_steps:,}"
        log.warning(
            "optim.warmup_steps: %s of these %d steps are the paper's warm-up, at lr/10; 0 leaves it out", part, steps
        )


@dataclass(frozen=True)
class Begun:
    """What only the beginning of a run can say.

    Args:
        weights: where the first ones were from.
        facts: for `summary.json`.
    """

    weights: str
    facts: dict[str, Any]


def begin(
    parts: Parts, config: Config, folder: RunFolder, *, shallower: Path | None, check: Callable[[], None]
) -> Begun:
    """Fills a net with the weights that training begins from, unless they are the drawn ones that it has.

    Raises:
        ValueError: there are none, or they are another net's.
    """
    if config.grow_from is not None:
        if shallower is None:
            raise ValueError(f"{folder.path}: its checkpoint is gone; the same command begins anew")
        grown = grow_into(parts, config, shallower, check=check)
        grown["from"] = os.path.relpath(shallower, folder.path)  # a study that is moved as a whole keeps it true
        return Begun(weights_named(config), {"grown": grown})
    if config.init_from is None:
        return Begun(DRAWN, {})
    path = Path(config.init_from)
    weights = read(path)
    fitted = load_into(parts.model, weights, new_head=True)
    log.info("beginning from %s (%s)", path, fitted.layout)
    return Begun(f"{path} ({weights.digest})", {})


def as_it_began(folder: RunFolder, config: Config) -> Begun:
    """What the summary of a run that goes on says of its beginning, and of its pace so far."""
    known = folder.summary
    kept = ("precision_reason", "images_per_second", "seconds_per_step", "grown")
    weights = known.get("choices", {}).get("initial_weights", weights_named(config))
    return Begun(str(weights), {key: known[key] for key in kept if key in known})


def go_on(
    state: State, checkpoint: dict[str, Any], folder: RunFolder, *, config: Config, origin: Origin, earlier: Origin
) -> tuple[Origin, str]:
    """Puts a run where its checkpoint was: returns its origin with what has changed since, and its `metrics.csv`."""
    repair(folder.path)
    state.load_state_dict(checkpoint["state"])
    known = snapshot_steps(folder.path)
    if missed := [step for step in config.train.snapshots if step < state.step and step not in known]:
        log.warning("train.snapshots: the weights of %s are gone; fresh=true trains from the start", missed)
    return origin.after(earlier, step=state.step), checkpoint["metrics"]


def open_records(state: State, parts: Parts, folder: RunFolder, *, origin: Origin, metrics: str) -> Saver:
    """Opens the run's records behind the state; what was written after it is dropped."""
    if state.step:
        log.info("resuming at step %d", state.step)
    folder.open(columns=columns(parts.held_out), kept=metrics, step=state.step)
    return Saver(state, origin=origin.to_dict(), folder=folder)


def train_and_measure(
    config: Config, parts: Parts, saver: Saver, *, lr_at: Callable[[int], float], quiet: bool, stop: Stop
) -> dict[str, Any]:
    """Trains, then measures the final errors: what there is to add to `summary.json`."""
    length, images, state = config.train, parts.dataset.train, saver.state
    stream = parts.stream(config)
    progress = Progress(
        name=config.name, steps=length.steps, step=state.step, batch_size=length.batch_size, quiet=quiet
    )
    evaluations = {split: parts.evaluation(split) for split in parts.held_out}
    parts.model.train()
    update = TrainStep(state, images, stream=stream, preprocess=parts.preprocess, precision=parts.precision)
    trained = train(
        state, update, length=length, lr_at=lr_at, evaluations=evaluations, saver=saver, progress=progress, stop=stop
    )
    found = {key: value for key, value in trained.items() if value is not None}
    try:
        stop.check()
        errors = final_errors(parts, stream=stream, steps=length.steps, stop=stop)
    except Stopped:  # all is saved: the same command begins with these errors
        return found | {"status": "interrupted"}
    saver.folder.add_hparams(flatten(config.to_dict()), saver.folder.last_errors(), step=length.steps)
    return found | errors


@contextmanager
def closing_summary(folder: RunFolder, facts: dict[str, Any], state: State) -> Iterator[dict[str, Any]]:
    """Yields what is to be added to the facts; however the run ends, `summary.json` says how."""
    results: dict[str, Any] = {"status": "interrupted"}
    try:
        yield results
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".strip().splitlines()[0]
        results |= {"status": "failed", "reason": reason}
        raise
    finally:
        folder.summary = facts | folder.last_errors() | {"step": state.step} | results


def final_errors(parts: Parts, *, stream: BatchStream, steps: int, stop: Stop) -> dict[str, float]:
    """Errors (%) of the last weights: training set without augmentation, and test set with BN statistics recomputed.

    Changes the net's BN statistics: to those of the batches that would follow the `steps` of training.
    """
    images = parts.dataset.train
    log.info("measuring the final errors on all %s training images", f"{len(images):,}")
    _, clean = parts.evaluation("train")(check=stop.check)
    batches = training_batches(images, stream, first=steps, preprocess=parts.preprocess)
    recompute_batch_norm(parts.model, batches, precision=parts.precision, check=stop.check)
    _, recomputed = parts.evaluation("test")(check=stop.check)
    return {"train_error_clean": clean, "test_error_recomputed_bn": recomputed}
