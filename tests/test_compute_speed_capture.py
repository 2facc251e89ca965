"""That steps and evaluations can be captured, checked without a GPU: operations are recorded once, then replayed.

As a CUDA graph does, a replay repeats the recorded operations on the recorded tensors and runs none of our Python.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from resnet_exp.compute import evaluate
from resnet_exp.compute.device import Precision
from resnet_exp.compute.evaluate import Evaluation
from resnet_exp.compute.totals import Totals
from resnet_exp.data.crops import Crop, PaddedCrop, ResizedCrop
from resnet_exp.data.preprocess import Preprocess
from resnet_exp.data.sets import Split
from resnet_exp.data.stream import BatchStream, Feed
from resnet_exp.training import step
from resnet_exp.training.optim import build_optimizer
from resnet_exp.training.step import State, TrainStep
from tests.helpers import TINY, Settings, make_net, optim_config, run, run_until, same

WAITS = {torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default, torch.ops.aten.equal.default}


class Recording(TorchDispatchMode):
    """Every operation below autograd, with the tensors it read and wrote; refuses what would wait for a GPU."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, tuple[Any, ...], dict[str, Any], Any]] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        assert func not in WAITS, f"{func} waits for the device"
        out = func(*args, **(kwargs or {}))
        self.calls.append((func, args, kwargs or {}, out))
        return out

    @torch.no_grad()
    def replay(self) -> None:
        for func, args, kwargs, out in self.calls:
            for old, new in zip(tree_leaves(out), tree_leaves(func(*args, **kwargs)), strict=True):
                if isinstance(old, torch.Tensor) and old.data_ptr() != new.data_ptr():
                    old.copy_(new)


def refuse(tensor: torch.Tensor) -> None:
    raise AssertionError("tolist waits for the device")


captures: list[Recording] = []


def record(
    work: Callable[[], None], *, device: torch.device, remember: Callable[[], Callable[[], None]]
) -> Callable[[], None]:
    """In place of `capture`."""
    restore = remember()
    work()
    recording = Recording()
    with recording, pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.Tensor, "tolist", refuse)  # on a CPU it reads without an operation
        work()
    restore()
    captures.append(recording)
    return recording.replay


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Call it, and from then on steps and evaluations are recorded and replayed."""

    def switch_on() -> None:
        captures.clear()
        monkeypatch.setattr(step, "capture", record)
        monkeypatch.setattr(evaluate, "capture", record)

    return switch_on


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("data.train_limit=10",),  # several epochs in a batch
        ("data.crop=resized",),
        ("amp=bf16", "model=preact56"),
        ("amp=fp16", "model=bottleneck", "depth=11"),
        ("optim.weight_decay_on=weights", "optim.momentum=0", "shortcut=C"),
    ],
    ids=" ".join,
)
def test_replayed_steps_are_steps(
    settings: Settings, tmp_path: Path, recorded: Callable[[], None], arguments: tuple[str, ...]
) -> None:
    """Over the ends of epochs, a warm-up, a milestone, evaluations, and a stop with its resume."""
    lengths = ("train.steps=20", "train.eval_every=7", "optim.warmup_steps=2", "optim.milestones=[12]")
    config = settings(*TINY, *lengths, "data.val_size=20", *arguments)
    run(config, tmp_path / "eager")
    recorded()
    run_until(config, tmp_path / "replayed", stop_at=9)
    run(config, tmp_path / "replayed")
    assert len(captures) == 2 * 3 + 2, "a step, test and validation images, twice; then the final errors"
    assert all(recording.calls for recording in captures)
    assert same(tmp_path / "replayed", tmp_path / "eager")


def test_a_number_of_python_in_a_step_is_noticed(
    settings: Settings, tmp_path: Path, recorded: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = settings(*TINY)
    run(config, tmp_path / "eager")
    recorded()
    monkeypatch.setattr(Feed, "batch", lambda feed, number: feed.stream.batches(0))
    run(config, tmp_path / "replayed")
    assert not same(tmp_path / "replayed", tmp_path / "eager")


@pytest.mark.parametrize("look", [Totals.read, lambda totals: int(totals.images)], ids=["tolist", "item"])
def test_a_wait_in_a_step_is_noticed(
    settings: Settings,
    tmp_path: Path,
    recorded: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
    look: Callable[[Totals], object],
) -> None:
    update = TrainStep.update

    def update_and_look(step: TrainStep) -> None:
        update(step)
        look(step.state.totals)

    recorded()
    monkeypatch.setattr(TrainStep, "update", update_and_look)
    with pytest.raises(AssertionError, match="waits for the device"):
        run(settings(*TINY), tmp_path)


CROPS = [PaddedCrop(8, padding=1, border="mean"), ResizedCrop(7)]  # of images of 8x8 pixels
ELSEWHERE = torch.device("meta")  # a device without memory: shapes and places are real, numbers are not


class OnOneDevice(TorchDispatchMode):
    """Refuses operations that read or write a tensor of the CPU: a graph would take its number for a constant."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        tensors = [leaf for leaf in tree_leaves((args, kwargs, out)) if isinstance(leaf, torch.Tensor)]
        assert all(tensor.device == ELSEWHERE for tensor in tensors), f"{func} uses a tensor of the CPU"
        return out


def step_and_evaluation(
    monkeypatch: pytest.MonkeyPatch, *, precision: str, crop: Crop = CROPS[0], **net: Any
) -> tuple[TrainStep, Evaluation]:
    """Those of a net on the device without memory, nothing captured."""
    monkeypatch.setattr(step, "capture", lambda work, **_: work)
    monkeypatch.setitem(evaluate.BATCH, ELSEWHERE.type, 1000)
    with ELSEWHERE:
        model = make_net(**net).train()
        split = Split(torch.zeros(200, 8, 8, 3, dtype=torch.uint8), torch.zeros(200, dtype=torch.int64))
        preprocess = Preprocess(torch.zeros(3), torch.ones(3), crop=crop)
    optimizer = build_optimizer(model, optim_config(weight_decay_on="weights"))
    monkeypatch.setattr(optimizer, "step", lambda **_: None)  # fused SGD knows real devices alone
    chosen = Precision(precision, "cpu")
    update = TrainStep(
        State(model, optimizer, chosen.scaler(), Totals(ELSEWHERE)),
        split,
        stream=BatchStream(num_images=200, batch_size=16, crop=crop, augment=True, seed=0),
        preprocess=preprocess,
        precision=chosen,
    )
    return update, Evaluation(model, split, preprocess=preprocess, precision=chosen)


@pytest.mark.parametrize("precision", ["off", "bf16", "fp16"])
@pytest.mark.parametrize(
    "how", [{}, {"block": "v2", "shortcut": "B"}, {"shortcut": "none"}, {"crop": CROPS[1]}], ids=str
)
def test_a_step_and_an_evaluation_stay_on_their_device(
    monkeypatch: pytest.MonkeyPatch, precision: str, how: dict[str, Any]
) -> None:
    update, evaluation = step_and_evaluation(monkeypatch, precision=precision, depth=8, **how)
    with OnOneDevice():
        update.update()
        evaluation.add_batch()
    update.number = torch.zeros((), dtype=torch.int64)
    with pytest.raises(AssertionError, match="uses a tensor of the CPU"), OnOneDevice():
        update.update()


@pytest.mark.parametrize("precision", ["off", "bf16", "fp16"])
def test_nothing_is_launched_between_two_steps(monkeypatch: pytest.MonkeyPatch, precision: str) -> None:
    """But for a new learning rate, and the draws of an epoch."""
    update, _ = step_and_evaluation(monkeypatch, precision=precision, depth=8)
    update(lr=0.1)
    monkeypatch.setattr(update, "replay", lambda: None)

    def launched(steps: int, *, lr: float) -> list[str]:
        recording = Recording()
        with recording:
            for _ in range(steps):
                update(lr=lr)
        return [
            func.overloadpacket.__name__
            for func, read, *_ in recording.calls
            if any(isinstance(leaf, torch.Tensor) and leaf.device == ELSEWHERE for leaf in tree_leaves(read))
        ]

    assert launched(11, lr=0.1) == []
    assert launched(1, lr=0.1) == ["copy_"] * 3, "step 12 begins an epoch"
    assert launched(1, lr=0.01) == ["fill_"]
