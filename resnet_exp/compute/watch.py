"""A net that is looked at while it computes, and is afterwards as it was."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import nn

from resnet_exp.nets.network import Network


@contextmanager
def kept_statistics(model: Network, *, training: bool | None = None) -> Iterator[None]:
    """Afterwards BN's moving averages and the net's mode are what they were.

    Args:
        training: the mode meanwhile; None: as it is.
    """
    mode, before = model.training, [buffer.clone() for buffer in model.buffers()]
    if training is not None:
        model.train(training)
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, value in zip(model.buffers(), before, strict=True):
                buffer.copy_(value)
        model.train(mode)


@contextmanager
def hooked(hooks: Iterable[tuple[nn.Module, Callable[..., None]]]) -> Iterator[None]:
    """Within it each of these modules, once it has computed, calls its function with itself, inputs and output.

    What follows a module may write into its output, so the function looks at it at once.
    """
    handles = [module.register_forward_hook(note) for module, note in hooks]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
