import os
import platform
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from resnet_exp import cores
from resnet_exp.compute.device import (
    Precision,
    choose_device,
    choose_precision,
    choose_threads,
    onednn_kernels,
    set_up,
)
from resnet_exp.runs.folder import read_config
from resnet_exp.runs.origin import Origin
from resnet_exp.training.facts import describe_device
from tests.helpers import TINY, Settings, finish, run, run_until, start

CPU = torch.device("cpu")


def test_auto_takes_a_gpu_if_there_is_one_and_a_name_is_never_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == CPU
    for name in ("cuda", "cuda:1"):
        with pytest.raises(ValueError, match=f"device={name}: no such GPU .none found.; device=auto or device=cpu"):
            choose_device(name)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device("auto") == choose_device("cuda") == torch.device("cuda", 0)
    assert choose_device("cuda:1") == choose_device("cuda:1", turn=2) == torch.device("cuda", 1)
    assert [choose_device("auto", turn=turn).index for turn in range(4)] == [0, 1, 0, 1]
    assert choose_device("cpu") == CPU
    with pytest.raises(ValueError, match="2 found"):
        choose_device("cuda:2")


@pytest.fixture
def processor(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes torch think that it runs on a processor with these instructions."""

    def pretend(*instructions: str, vectors: str = "AVX512", name: str = "AMD EPYC") -> None:
        known = dict.fromkeys(instructions, True) | {"cpu_name": name}
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: vectors)
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: known)
        for name in ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"):
            monkeypatch.delenv(name, raising=False)

    return pretend


def test_auto_precision_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = torch.device("cuda", 0)
    for built_in, expected in ((True, "bf16"), (False, "fp16")):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation, b=built_in: b)
        assert choose_precision("auto", gpu).name == expected
    assert choose_precision("off", gpu).name == "off"


def test_auto_precision_on_a_cpu_is_bf16_where_that_pays(
    processor: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    for instructions in (("amx_bf16", "avx512_bf16"), ("avx512_f", "avx512_bf16")):
        processor(*instructions)
        chosen = choose_precision("auto", CPU)
        assert chosen.name == "bf16"
        assert chosen.reason == f"native: {'amx_bf16' if 'amx_bf16' in instructions else 'avx512_bf16'}"
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_BF16")
    assert choose_precision("auto", CPU).name == "bf16"
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "avx512_core")  # the processor could, oneDNN may not
    assert choose_precision("auto", CPU) == Precision("off", "cpu", "neither AVX512-BF16 nor AMX to use")
    processor("avx2", vectors="AVX2")
    assert choose_precision("auto", CPU).name == "off"
    processor("avx512_f", "amx_tile", "amx_int8")
    assert choose_precision("auto", CPU).name == "off"
    assert choose_precision("bf16", CPU) == Precision("bf16", "cpu", "as asked")


def test_an_intel_cpu_needs_amx_for_bf16(processor: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Its AVX512-BF16 alone is slower than float32; a virtual machine may hide AMX, and a user forbid it."""
    without = Precision("off", "cpu", "no AMX to use, without which bf16 is slower on an Intel CPU")
    processor("avx512_bf16", name="Intel Xeon")
    assert choose_precision("auto", CPU) == without
    processor("amx_bf16", "avx512_bf16", name="Intel Xeon")
    assert choose_precision("auto", CPU).name == "bf16"
    for below in ("avx512_core_bf16", "AVX512_CORE_FP16", "AVX10_1_512"):
        monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", below)
        assert choose_precision("auto", CPU) == without
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_AMX")
    assert choose_precision("auto", CPU).name == "bf16"


def test_what_onednn_takes_is_told(processor: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    processor("avx512_bf16", "amx_bf16", "sse2")
    assert onednn_kernels() == "avx512_bf16 amx_bf16"
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "avx512_core")
    assert onednn_kernels() == "avx512_bf16 amx_bf16 up to AVX512_CORE"
    processor("avx2", vectors="AVX2")
    assert onednn_kernels() == "as the CPU"
    monkeypatch.setattr(torch.backends.mkldnn, "enabled", False)
    assert onednn_kernels() == "off"


def test_what_an_older_version_did_not_record_is_no_change(tmp_path: Path) -> None:
    earlier = Origin(tmp_path, {"schema": 2}, "", {"threads": 2})
    now = Origin(tmp_path, {"schema": 2}, "", {"threads": 2, "onednn": "off"})
    assert now.after(earlier, step=3).changes == []
    assert earlier.after(now, step=3).changes == [{"step": 3, "onednn": "off -> null"}]


@pytest.mark.parametrize("instructions", [("avx512_bf16",), ()], ids=["native", "not"])
def test_a_run_keeps_the_precision_it_began_with(
    processor: Callable[..., None],
    settings: Settings,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    instructions: tuple[str, ...],
) -> None:
    """On a processor that would choose another, too."""
    config = settings(*TINY)
    processor(*instructions)
    began = "bf16" if instructions else "off"
    run(config, tmp_path / "whole")
    run_until(config, tmp_path / "parts", stop_at=4)
    processor(*(() if instructions else ("avx512_bf16",)))
    caplog.set_level("INFO")
    summary = run(config, tmp_path / "parts")
    assert summary["choices"]["precision"] == summary["environment"]["precision"] == began
    assert summary["precision_reason"] == (
        "native: avx512_bf16" if instructions else "neither AVX512-BF16 nor AMX to use"
    )
    kernels = ("avx512_bf16", "as the CPU") if instructions else ("as the CPU", "avx512_bf16")
    assert summary["environment_changes"] == [{"step": 4, "onednn": " -> ".join(kernels)}]
    assert any(line.endswith(f"| precision {began} (as it began)") for line in caplog.messages)
    assert any("takes this CPU longer" in line for line in caplog.messages) == bool(instructions)
    whole, parts = ((tmp_path / name / "metrics.csv").read_bytes() for name in ("whole", "parts"))
    assert parts == whole
    assert (read_config(tmp_path / "parts" / "config.yaml") or {})["amp"] == began
    run(settings(*TINY, f"amp={began}"), tmp_path / "parts")  # the same run
    with pytest.raises(ValueError, match=f"holds a run with other settings: amp: {began} -> fp16"):
        run(settings(*TINY, "amp=fp16"), tmp_path / "parts")
    summary = run(settings(*TINY, "amp=fp16"), tmp_path / "asked")
    assert (summary["choices"]["precision"], summary["precision_reason"]) == ("fp16", "as asked")


def test_how_the_precision_was_chosen_stands_in_the_first_line(
    processor: Callable[..., None], settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    processor("amx_bf16")
    with caplog.at_level("INFO"):
        run(settings(*TINY), tmp_path)
    assert any(line.endswith("| precision bf16 (native: amx_bf16)") for line in caplog.messages)


def test_autocast_and_scaler_go_with_the_precision() -> None:
    for name, dtype, scaled in (
        ("off", torch.float32, False),
        ("bf16", torch.bfloat16, False),
        ("fp16", torch.float16, True),
    ):
        precision = choose_precision(name, CPU)
        with precision.autocast():
            assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype
        assert precision.scaler().is_enabled() == scaled


def test_threads_stay_as_they_were_while_there_are_cores_for_them(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2, 5}, raising=False)
    monkeypatch.setattr(cores.NEIGHBOURS, "look", lambda: 0.0)
    assert choose_threads(None, device=CPU) == 4
    assert choose_threads(None, device=CPU, before=3) == 3
    assert choose_threads(None, device=CPU, before=5) == 4
    assert choose_threads(7, device=CPU, before=3) == 7
    monkeypatch.setattr(cores.NEIGHBOURS, "look", lambda: 1.0)
    with caplog.at_level("INFO"):
        assert choose_threads(None, device=torch.device("cuda", 0)) == 4
        assert choose_threads(None, device=CPU) == 3
    assert caplog.messages == ["other processes keep cores busy: threads=3 (threads=4 takes all cores)"]
    assert choose_threads(None, device=CPU, before=4) == 4  # sums depend on it
    assert choose_threads(4, device=CPU) == 4


FAULTS = """
import resource, torch
from resnet_exp.runs.folder import read_config
from resnet_exp.compute.device import set_up
set_up(torch.device("cpu"), threads=1, deterministic=False)
for round in range(6):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    blocks = [torch.ones(2**21) for _ in range(8)]  # 8 MiB each, freed together
    del blocks
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another allocator")
def test_memory_that_a_step_freed_is_not_paid_for_again(tmp_path: Path) -> None:
    code, out, err = finish(start(tmp_path, code=FAULTS))
    assert (code, err) == (0, "")
    assert int(out) < 8 * 2**23 // 4096 // 10


def test_every_run_sets_every_switch() -> None:
    before = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    try:
        set_up(CPU, threads=1, deterministic=True)
        assert torch.get_num_threads() == 1
        assert torch.are_deterministic_algorithms_enabled()
        assert not torch.backends.cudnn.benchmark
        assert not torch.backends.cudnn.allow_tf32
        set_up(CPU, threads=2, deterministic=False)
        assert torch.get_num_threads() == 2
        assert not torch.are_deterministic_algorithms_enabled()
        assert torch.backends.cudnn.benchmark
    finally:
        torch.use_deterministic_algorithms(before[0])
        torch.backends.cudnn.benchmark = before[1]
    assert describe_device(CPU).startswith("cpu (")
