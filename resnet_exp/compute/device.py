"""The device a run uses, the precision it computes in, and the process-wide switches of torch."""

import ctypes
import logging
import os
import platform
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch

from resnet_exp.cores import count_cores, free_cores, given_threads

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h
# Values of ONEDNN_MAX_CPU_ISA with which the user keeps oneDNN from AMX, and from bf16 altogether.
BELOW_AMX = ("AVX512_CORE_BF16", "AVX512_CORE_FP16", "AVX10_1_512")
BELOW_BF16 = ("SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX2_VNNI_2", "AVX512_CORE", "AVX512_CORE_VNNI")

# What oneDNN chooses its kernels by among the CPUs that torch calls AVX512.
BEYOND_AVX512 = ("avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_int8", "amx_bf16", "amx_fp16")

log = logging.getLogger(__name__)


def choose_device(name: str, *, turn: int = 0) -> torch.device:
    """`auto` takes a GPU, else the CPU. A GPU asked for by name is never replaced.

    Args:
        turn: which of several runs side by side this is; with `auto` they take the GPUs in turn.

    Raises:
        ValueError: there is no such GPU.
    """
    if name == "auto":
        name = f"cuda:{turn % torch.cuda.device_count()}" if torch.cuda.is_available() else "cpu"
    device = torch.device(name)
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        device = torch.device("cuda", device.index or 0)
        if device.index >= count:
            found = f"{count} found" if count else "none found"
            raise ValueError(f"device={name}: no such GPU ({found}); device=auto or device=cpu runs without one")
    return device


@dataclass(frozen=True)
class Precision:
    """`off` (float32 throughout), `bf16` or `fp16` (autocast; BN statistics, loss and weights stay in float32).

    `reason` says how it was chosen.
    """

    name: str
    device_type: str
    reason: str = "as asked"

    @property
    def dtype(self) -> torch.dtype | None:
        """What convolutions and the head compute in; None: float32, like everything else."""
        return {"off": None, "bf16": torch.bfloat16, "fp16": torch.float16}[self.name]

    def autocast(self) -> AbstractContextManager[None]:
        return torch.autocast(self.device_type, dtype=self.dtype, enabled=self.dtype is not None)

    def scaler(self) -> torch.amp.GradScaler:
        return torch.amp.GradScaler(self.device_type, enabled=self.name == "fp16")


def choose_precision(amp: str, device: torch.device, *, before: str | None = None) -> Precision:
    """What was asked for; `auto`: as `before` (a run keeps the precision it began with), else bf16 where it pays.

    Where it does not, a GPU computes in fp16 with a loss scaler, a CPU in float32.
    """
    if amp != "auto":
        return Precision(amp, device.type)
    if before:
        if device.type == "cpu" and before != "off" and not (before == "bf16" and bf16_pays()[0]):
            log.warning("this run began in %s and keeps to it, which takes this CPU longer than float32", before)
        return Precision(before, device.type, "as it began")
    if device.type == "cpu":
        pays, reason = bf16_pays()
        return Precision("bf16" if pays else "off", "cpu", reason)
    if torch.cuda.is_bf16_supported(including_emulation=False):
        return Precision("bf16", device.type, "native")
    return Precision("fp16", device.type, "no native bf16")


def bf16_pays() -> tuple[bool, str]:
    """Whether a step on this CPU is shorter in bf16 than in float32, and why (measured: docs/performance.md).

    It is with AMX, and with AMD's AVX512-BF16. Intel's has no more products a cycle than float32, and all else takes
    longer; that concerns its many virtual machines that hide AMX.
    """
    limits, known = onednn_limits(), capabilities()
    if known.get("amx_bf16") and not limits & {*BELOW_AMX, *BELOW_BF16}:
        return True, "native: amx_bf16"
    if not known.get("avx512_bf16") or limits & {*BELOW_BF16}:
        return False, "neither AVX512-BF16 nor AMX to use"
    if str(known.get("cpu_name", "")).startswith("Intel"):
        return False, "no AMX to use, without which bf16 is slower on an Intel CPU"
    return True, "native: avx512_bf16"


def onednn_limits() -> set[str]:
    """The instruction sets beyond which a user keeps oneDNN from going; empty without any."""
    limits = {os.environ.get(name, "").upper() for name in ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")}
    return limits - {""}


def capabilities() -> Mapping[str, Any]:
    """What a CPU with AVX-512 has beyond it; empty for any other."""
    return torch.cpu.get_capabilities() if torch.backends.cpu.get_cpu_capability().startswith("AVX512") else {}


def onednn_kernels() -> str:
    """What decides, beside torch's own class of CPUs, which of its kernels oneDNN takes: `avx512_bf16`, `off`."""
    if not torch.backends.mkldnn.enabled:
        return "off"
    known = capabilities()
    beyond = [name for name in BEYOND_AVX512 if known.get(name)]
    return " ".join([*beyond, *(f"up to {limit}" for limit in sorted(onednn_limits()))]) or "as the CPU"


def choose_threads(asked: int | None, *, device: torch.device, before: int | None = None) -> int:
    """What was asked for, else as `before` (sums depend on it) if there are cores enough, else what OpenMP is told.

    Where nobody says: on a CPU a thread for each core that other processes leave free, beside a GPU one for each core.
    """
    if given := asked or (before if before and before <= count_cores() else given_threads()):
        return given
    if device.type != "cpu":
        return count_cores()
    threads, cores = free_cores(), count_cores()
    if threads < cores:
        log.info("other processes keep cores busy: threads=%d (threads=%d takes all cores)", threads, cores)
    return threads


def set_up(device: torch.device, *, threads: int, deterministic: bool) -> None:
    """Sets every process-wide switch a run relies on, so that one run in a process does not inherit from the last."""
    torch.set_num_threads(threads)
    if torch.are_deterministic_algorithms_enabled() != deterministic:  # to say so imports torch's compiler: a second
        torch.use_deterministic_algorithms(deterministic)
    torch.backends.cudnn.benchmark = not deterministic
    torch.backends.cudnn.allow_tf32 = False  # precision `off` means float32; torch's default convolves in 19 bits
    keep_freed_memory()
    if device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when CUDA starts
        torch.cuda.set_device(device)


def keep_freed_memory() -> None:
    """Makes glibc keep the blocks that a step frees: the next step wants the same ones.

    By default large blocks go back to the system, which then hands them out again page by page, cleared: a sixth of a
    step of resnet20 on a CPU.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(M_TRIM_THRESHOLD, -1)  # never
        libc.mallopt(M_MMAP_THRESHOLD, 2**25)  # bytes; the most that glibc takes
