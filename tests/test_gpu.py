"""What only a GPU can show; skipped without one."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from resnet_exp.compute.device import Precision, set_up
from resnet_exp.compute.speed import compile_blocks
from resnet_exp.compute.totals import Totals
from resnet_exp.data.crops import Crop, PaddedCrop, ResizedCrop
from resnet_exp.data.preprocess import Preprocess
from resnet_exp.data.sets import Dataset, Split
from resnet_exp.data.stream import BatchStream
from resnet_exp.runs.checkpoint import load_checkpoint
from resnet_exp.training import step
from resnet_exp.training.optim import build_optimizer
from resnet_exp.training.step import State, TrainStep
from tests.helpers import TINY, Command, Settings, make_net, optim_config, rows, run, run_until

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here"),
    pytest.mark.filterwarnings("default"),  # of torch.compile's own, which as errors would end it
]
GPU = torch.device("cuda", 0)
CROPS = {"padded": PaddedCrop(8, padding=1, border="mean"), "resized": ResizedCrop(7)}  # of images of 8x8 pixels
WAYS = ("eager", "captured", "compiled")


@pytest.mark.parametrize("amp", ["auto", "off", "bf16", "fp16"])
def test_a_gpu_trains_in_every_precision(settings: Settings, tmp_path: Path, amp: str) -> None:
    summary = run(settings(*TINY, "device=cuda", f"amp={amp}", "train.steps=30", "optim.lr=0.05"), tmp_path)
    table = rows(tmp_path)
    assert summary["status"] == "completed"
    assert table[-1]["train_loss"] < table[0]["train_loss"]
    assert summary["environment"]["compile"], "without a compiler it trains too, but that is not what is tested here"
    saved = load_checkpoint(tmp_path)
    assert saved is not None
    assert {t.dtype for t in saved["state"]["model"].values()} == {torch.float32, torch.int64}


@pytest.mark.parametrize("crop", CROPS)
def test_a_gpu_computes_what_a_cpu_computes(settings: Settings, tmp_path: Path, crop: str) -> None:
    for device in ("cpu", "cuda"):
        arguments = ("amp=off", "optim.lr=0.01", "train.steps=5", "train.eval_every=1", "deterministic=true")
        run(settings(*TINY, *arguments, f"device={device}", f"data.crop={crop}"), tmp_path / device)
    for cpu, gpu in zip(rows(tmp_path / "cpu"), rows(tmp_path / "cuda"), strict=True):
        assert gpu["train_loss"] == pytest.approx(cpu["train_loss"], rel=1e-3)


def train_step(
    shapes: Dataset,
    patch: pytest.MonkeyPatch,
    *,
    way: str,
    precision: str = "off",
    depth: int = 20,
    crop: Crop = CROPS["padded"],
) -> TrainStep:
    """The update of a net, eager (nothing captured), captured, or captured with compiled blocks."""
    set_up(GPU, threads=1, deterministic=False)
    if way == "eager":
        patch.setattr(step, "capture", lambda work, **_: work)
    model = make_net(depth=depth, seed=0).to(device=GPU, memory_format=torch.channels_last).train()
    if way == "compiled":
        compile_blocks(model.blocks)
    optimizer = build_optimizer(model, optim_config(lr=0.02))
    chosen, dataset = Precision(precision, "cuda"), shapes.to(GPU)
    return TrainStep(
        State(model, optimizer, chosen.scaler(), Totals(GPU)),
        dataset.train,
        stream=BatchStream(num_images=len(shapes.train), batch_size=32, crop=crop, augment=True, seed=0),
        preprocess=Preprocess(dataset.mean, dataset.std, crop=crop),
        precision=chosen,
    )


def trained(update: TrainStep) -> dict[str, list[torch.Tensor]]:
    """The tensors themselves, by how far rounding alone drives them apart in a step."""
    state = update.state.model.state_dict()
    return {
        "weights": [tensor for name, tensor in state.items() if "running" not in name],
        "statistics": [tensor for name, tensor in state.items() if "running" in name],
        "momentum": [buffer for of_one in update.state.optimizer.state.values() for buffer in of_one.values()],
    }


def loss_of(update: TrainStep) -> float:
    """That of its next step."""
    update.state.totals.clear()
    update(lr=0.02)
    running = update.state.totals.read()
    assert running is not None
    return running[0]


@pytest.mark.parametrize("depth", [20, 56])
@pytest.mark.parametrize("way", WAYS[1:])
def test_the_first_fifty_steps_are_the_same_however_they_are_computed(shapes: Dataset, way: str, depth: int) -> None:
    """In float32, each from where the eager one began.

    Left to themselves they part: fifty steps of these nets multiply a change in the weights' last bits by a million.
    In one step such a change moves the loss by 3e-7 of it, the momentum by 3e-3 (measured on a CPU).
    """
    updates = []
    for how in ("eager", way):
        with pytest.MonkeyPatch.context() as patch:
            updates.append(train_step(shapes, patch, way=how, depth=depth))
    eager, other = updates
    for _ in range(50):
        for kind, from_eager in trained(eager).items():
            for mine, theirs in zip(trained(other)[kind], from_eager, strict=True):
                mine.copy_(theirs)
        assert loss_of(other) == pytest.approx(loss_of(eager), rel=1e-3)
        for kind, most in {"weights": 1e-3, "statistics": 1e-3, "momentum": 0.1}.items():
            mine, theirs = (torch.cat([t.flatten() for t in trained(update)[kind]]).double() for update in updates)
            assert (theirs - mine).norm() <= most * mine.norm(), kind


@pytest.mark.slow
def test_short_runs_end_alike_captured_or_not(settings: Settings, tmp_path: Path) -> None:
    """Over five seeds the means differ by less than three standard errors."""
    long = ("train.steps=300", "train.eval_every=300", "data.train_limit=2000", "width=8", "optim.lr=0.05")
    errors: dict[str, list[float]] = {way: [] for way in WAYS}
    for way in WAYS:
        for seed in range(5):
            with pytest.MonkeyPatch.context() as patch:
                if way == "eager":
                    patch.setattr(step, "capture", lambda work, **_: work)
                compiled = "true" if way == "compiled" else "false"
                config = settings(*TINY, *long, "device=cuda", f"seed={seed}", f"compile={compiled}")
                summary = run(config, tmp_path / way / str(seed))
                assert summary["environment"]["compile"] == (way == "compiled")
                errors[way].append(summary["train_error"])
    mean = {way: torch.tensor(values).mean() for way, values in errors.items()}
    spread = {way: torch.tensor(values).var() / len(values) for way, values in errors.items()}
    for way in WAYS[1:]:
        assert abs(mean[way] - mean["eager"]) < 3 * (spread[way] + spread["eager"]).sqrt() + 0.5, errors


@pytest.mark.parametrize("precision", ["off", "bf16", "fp16"])
def test_capturing_leaves_no_trace(shapes: Dataset, monkeypatch: pytest.MonkeyPatch, precision: str) -> None:
    """Weights, BN statistics, momentum, sums, scaler and step are as if no warm-up had been."""
    before: dict[str, Any] = {}

    def noting(work: Callable[[], None], *, device: torch.device, remember: Callable[[], Any]) -> Callable[[], None]:
        before.update(copied(update_state()))
        return original(work, device=device, remember=remember)

    def copied(state: dict[str, Any]) -> dict[str, Any]:
        return {name: tensor.clone() for name, tensor in state.items()}

    def update_state() -> dict[str, Any]:
        (state,) = states
        tensors = {f"model {k}": v for k, v in state.model.state_dict().items()}
        tensors |= {f"totals {k}": v for k, v in state.totals.state_dict().items()}
        for index, buffers in enumerate(state.optimizer.state.values()):
            tensors |= {f"momentum {index} {k}": v for k, v in buffers.items()}
        return tensors

    states: list[State] = []
    original = step.capture
    monkeypatch.setattr(step, "capture", noting)
    init = TrainStep.__init__

    def watched(self: TrainStep, state: State, split: Split, **how: Any) -> None:
        states.append(state)
        init(self, state, split, **how)

    monkeypatch.setattr(TrainStep, "__init__", watched)
    update = train_step(shapes, monkeypatch, way="captured", precision=precision)
    after = update_state()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert int(update.number) == 0
    assert update.state.scaler.state_dict() == Precision(precision, "cuda").scaler().state_dict()


@pytest.mark.parametrize("crop", CROPS)
@pytest.mark.parametrize("way", WAYS[1:])
def test_steps_do_not_wait_for_the_gpu(shapes: Dataset, monkeypatch: pytest.MonkeyPatch, way: str, crop: str) -> None:
    """Over the ends of epochs too; torch raises an error where one would."""
    update = train_step(shapes, monkeypatch, way=way, precision="bf16", crop=CROPS[crop])
    torch.cuda.synchronize()
    try:
        torch.cuda.set_sync_debug_mode("error")
        for number in range(10):
            update(lr=0.1 if number < 5 else 0.01)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert update.state.totals.read() is not None


@pytest.mark.parametrize("crop", CROPS)
@pytest.mark.parametrize("way", WAYS[1:])
def test_a_step_is_one_launch(shapes: Dataset, monkeypatch: pytest.MonkeyPatch, way: str, crop: str) -> None:
    """Of all that asks the GPU to do something, as torch's profiler sees it."""
    update = train_step(shapes, monkeypatch, way=way, precision="bf16", crop=CROPS[crop])
    update(lr=0.1)
    torch.cuda.synchronize()
    activities = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities) as profile:
        for _ in range(2):  # the third would begin an epoch
            update(lr=0.1)
        torch.cuda.synchronize()
    called = Counter(event.name for event in profile.events() if event.name.startswith("cu"))
    if not called:
        pytest.skip("the profiler sees no call of the GPU's driver here")
    work = {name: n for name, n in called.items() if any(word in name for word in ("Launch", "Memcpy", "Memset"))}
    assert work == {"cudaGraphLaunch": 2}


def test_a_step_allocates_nothing_once_it_is_captured(shapes: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    update = train_step(shapes, monkeypatch, way="captured")
    update(lr=0.1)
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    for _ in range(20):
        update(lr=0.1)
    torch.cuda.synchronize()
    assert torch.cuda.memory_allocated() == before


@pytest.mark.slow
def test_1202_layers_train_within_40_gigabytes(settings: Settings, tmp_path: Path) -> None:
    """At batch 128 and full size, [P1] 4.2."""
    torch.cuda.reset_peak_memory_stats()
    big = ("data=synthetic", "data.train_limit=512", "data.test_limit=100", "train.steps=2", "train.eval_every=2")
    summary = run(settings(*big, "model=resnet1202", "device=cuda"), tmp_path)
    assert summary["status"] == "completed"
    print(f"\n{torch.cuda.max_memory_reserved() / 1e9:.1f} GB")
    assert torch.cuda.max_memory_reserved() < 40e9


def test_too_little_gpu_memory_is_one_message(command: Command) -> None:
    """Of what is left on the GPU, a step of this net at this size takes several times as much."""
    free, _ = torch.cuda.mem_get_info(GPU)
    taken = torch.empty(free - 2 * 2**30, dtype=torch.uint8, device=GPU)
    big = ("data.image_size=32", "data.train_limit=1024", "train.batch_size=1024", "width=64", "compile=false")
    failed = command(*TINY, "device=cuda", *big)
    del taken
    assert failed.returncode == 1
    assert failed.stderr.startswith("error: out of GPU memory")
    assert len(failed.stderr.splitlines()) == 2


def test_a_deterministic_run_resumes_with_the_same_bytes(settings: Settings, tmp_path: Path) -> None:
    config = settings(*TINY, "device=cuda", "deterministic=true", "amp=off")
    run(config, tmp_path / "whole")
    run_until(config, tmp_path / "parts", stop_at=4)
    run(config, tmp_path / "parts")
    whole, parts = ((tmp_path / name / "metrics.csv").read_bytes() for name in ("whole", "parts"))
    assert parts == whole


def test_several_runs_share_one_gpu(command: Command, tmp_path: Path) -> None:
    done = command("-m", "hydra/launcher=parallel", "hydra.launcher.n_jobs=2", *TINY, "device=cuda", "depth=8,14")
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "outputs").rglob("metrics.csv"))) == 2
