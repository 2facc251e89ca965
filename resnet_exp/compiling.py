"""torch.compile where it pays: the blocks of a net, in training, on a GPU."""

import logging
from collections.abc import Iterable

import torch
from torch import nn

# Programs compiled of one piece of code. A net needs one for each shape its blocks have: 5 of basic blocks, in float32
# and in each autocast type; torch gives up at 8.
MOST_PROGRAMS = 64

log = logging.getLogger(__name__)


def choose_compile(asked: bool | str, device: torch.device) -> bool:
    """What was asked for; `auto`: on a GPU. Without a working compiler no, with a warning."""
    wanted = device.type == "cuda" if asked == "auto" else asked is True
    problem = compiler_problem(device) if wanted else None
    if problem:
        log.warning("no working compiler (%s): this run trains without, slower on a GPU", problem)
    return wanted and not problem


def compiler_problem(device: torch.device) -> str | None:
    """Tries torch.compile on the smallest function there is; None if it works, else what it said."""
    try:
        with torch.compiler.set_stance("default"):
            torch.compile(lambda x: x + 1, dynamic=False)(torch.zeros(1, device=device))
    except Exception as error:  # of whichever tool is missing: a C compiler, Triton, Python's headers
        return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return None


def compile_blocks(blocks: Iterable[nn.Module]) -> None:
    """Compiles each block in place, at its first call; equal blocks share a program, so depth costs nothing more."""
    torch._dynamo.config.recompile_limit = MOST_PROGRAMS
    for block in blocks:
        block.compile(fullgraph=True, dynamic=False)
