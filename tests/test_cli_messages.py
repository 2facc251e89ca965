import errno
import os

import pytest
import torch

from resnet_exp.cli.messages import MAX_LINES, SHOW_TRACEBACK, explain, fail_by


class UncompletedJobError(RuntimeError):
    """Named as submitit names its own."""


@pytest.mark.parametrize(
    ("error", "parts"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nGPU 0 has"), ["GPU memory", "amp="]),
        (RuntimeError("CUDA error: out of memory\nCUDA kernel errors might"), ["out of GPU memory", "device=cpu"]),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), ["out of GPU memory"]),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), ["out of memory", "train_limit"]),
        (MemoryError(), ["out of memory", "train.batch_size"]),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "a/b.pt"), ["a/b.pt: No space left", "the same command"]),
        (OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)), ["the run folder: ", "quota"]),
        (PermissionError(errno.EACCES, os.strerror(errno.EACCES), "outputs"), ["Permission denied: 'outputs'"]),
        (UncompletedJobError("Job 7 (task: 0)\nhas not\nproduced"), ["Job 7 (task: 0)\n", "the others go on"]),
        (ValueError("a\nb\n\nc\nd"), ["a\nb\nc"]),
        (KeyError("x"), ["KeyError: 'x'", "run.log"]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_error_is_told_in_few_lines_with_what_to_do(error: Exception, parts: list[str]) -> None:
    text = explain(error)
    assert len(text.splitlines()) <= MAX_LINES
    for part in parts:
        assert part.lower() in text.lower()


def test_whoever_looks_for_the_cause_sees_the_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for value, shown in (("", False), ("1", True)):
        monkeypatch.setenv(SHOW_TRACEBACK, value)
        try:
            raise KeyError("x")
        except KeyError as error:
            fail_by(error, where="plain20/seed0")
        said = capsys.readouterr().err
        assert ("Traceback" in said) == shown
        assert "error in plain20/seed0: KeyError: 'x'" in said
