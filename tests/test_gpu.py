"""What only a GPU can show; skipped without one."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from resnet_exp.checkpoint import load_checkpoint
from resnet_exp.config import Config
from tests.conftest import TINY, Command
from tests.test_train import rows, run, run_until

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")]
Settings = Callable[..., Config]


@pytest.mark.parametrize("amp", ["auto", "off", "bf16", "fp16"])
def test_a_gpu_trains_in_every_precision(settings: Settings, tmp_path: Path, amp: str) -> None:
    summary = run(settings(*TINY, "device=cuda", f"amp={amp}", "train.steps=30", "optim.lr=0.05"), tmp_path)
    table = rows(tmp_path)
    assert summary["status"] == "completed"
    assert table[-1]["train_loss"] < table[0]["train_loss"]
    saved = load_checkpoint(tmp_path)
    assert saved is not None
    assert {t.dtype for t in saved["state"]["model"].values()} == {torch.float32, torch.int64}


def test_a_gpu_computes_what_a_cpu_computes(settings: Settings, tmp_path: Path) -> None:
    for device in ("cpu", "cuda"):
        arguments = ("amp=off", "optim.lr=0.01", "train.steps=5", "train.eval_every=1", "deterministic=true")
        run(settings(*TINY, *arguments, f"device={device}"), tmp_path / device)
    for cpu, gpu in zip(rows(tmp_path / "cpu"), rows(tmp_path / "cuda"), strict=True):
        assert gpu["train_loss"] == pytest.approx(cpu["train_loss"], rel=1e-3)


def test_too_little_gpu_memory_is_one_message(command: Command) -> None:
    failed = command(*TINY, "device=cuda", "width=20000", "depth=8")
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
