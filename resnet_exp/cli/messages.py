"""What goes wrong, in at most three lines and without a traceback. Knows no torch."""

import errno
import os
import re
import sys
import traceback
from contextlib import suppress

from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException, OverrideParseException
from omegaconf.errors import OmegaConfBaseException

from resnet_exp.cli.compose import suggest

MAX_LINES = 3
SHOW_TRACEBACK = "RESNET_EXP_TRACEBACK"  # the environment variable; empty: no
DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class JobFailedError(Exception):
    """A job of a sweep failed and has said why; the sweep goes on."""


def fail(text: str, *, where: str = "") -> None:
    """Prints an error the way every command of ours does."""
    with suppress(OSError):  # nobody is left to read it
        print(f"error{f' in {where}' if where else ''}: {text}", file=sys.stderr, flush=True)


def fail_by(error: BaseException, *, where: str = "") -> None:
    """`fail` in the words of `explain`; behind the traceback, if somebody who looks for the cause wants it."""
    if os.environ.get(SHOW_TRACEBACK):
        with suppress(OSError):
            traceback.print_exception(error)
    fail(explain(error), where=where)


def explain(error: BaseException) -> str:
    """The message for a user: what is wrong, with which value, and what to do."""
    text = message(error)
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    return "\n".join(lines[:MAX_LINES])


def message(error: BaseException) -> str:
    cause, text = error.__cause__, str(error)
    if isinstance(error, MissingConfigException):
        group, _, option = str(error.missing_cfg_file).rpartition("/")
        if not group:
            return f"--config-name {option}: no such file; it is `config` unless you wrote another"
        if option.startswith("submitit"):
            return "hydra/launcher: not installed\npip install hydra-submitit-launcher brings it"
        choices = list(error.options or [])
        return f"{group}={option}: no such choice{suggest(option, choices)}\nchoose {', '.join(choices)}"
    if isinstance(error, OverrideParseException):
        how = "a value with special characters is quoted twice: 'key=\"value\"'"
        return f"{error.override}: not of the form key=value\n{how}"
    if isinstance(error, HydraException) and text.startswith("Ambiguous value for argument"):
        return f"{text.split(chr(39))[1]}: several values; add -m to train one net for each"
    if isinstance(error, ConfigCompositionException) and isinstance(cause, OmegaConfBaseException):
        return message_of_override(error, cause)
    found = re.search(r"In '([^']+)'.* not in ", text, re.S) if isinstance(error, ConfigCompositionException) else None
    if found:
        first = "the first line of a model or an experiment is `# @package _global_`"
        return f"{found[1]}: not laid out like the files in conf/\n{first}"
    if type(error).__name__ == "OutOfMemoryError" or re.search(r"CUDA error: out of memory|STATUS_ALLOC_FAILED", text):
        return "out of GPU memory\ntry a smaller train.batch_size, amp=bf16, or device=cpu"
    if isinstance(error, MemoryError) or "DefaultCPUAllocator" in text:
        return "out of memory\ntry a smaller train.batch_size, width or data.train_limit"
    if isinstance(error, OSError) and error.errno in DISK_FULL:
        kept = "what was saved before is kept: make room, and the same command goes on"
        return f"{error.filename or 'the run folder'}: {error.strerror}\n{kept}"
    if type(error).__name__ == "UncompletedJobError":  # submitit's
        later = "the others go on; later the same command runs only what is missing"
        return f"a job of this sweep ended before its time: {text.splitlines()[0]}\n{later}"
    if isinstance(error, ValueError | OSError | ConfigCompositionException):
        return text
    where = f"the traceback is in the run's run.log; where no run began, {SHOW_TRACEBACK}=1 shows it"
    return f"{type(error).__name__}: {text}\n{where}"


def message_of_override(error: ConfigCompositionException, cause: OmegaConfBaseException) -> str:
    """Hydra: "Error merging override optim.lr=fast" or "Could not override 'dept'…", caused by OmegaConf's reason."""
    unknown = re.match(r"Could not override '([^']+)'", str(error))
    if unknown:
        return f"{unknown[1]}: no such setting{suggest(unknown[1])}\n`resnet-exp --help` lists them all"
    override = str(error).splitlines()[0].removeprefix("Error merging override ")
    reason = str(cause).splitlines()[0]
    return f"{override}: {reason}"
