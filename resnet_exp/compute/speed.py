"""What makes a step short where launching costs more than computing: captured graphs, few casts, compiled blocks."""

import logging
import sys
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.func import functional_call

WARM_UPS = 3  # compile, choose algorithms, allocate what is allocated once: none of it may be captured
# Programs compiled of one piece of code. A net needs one for each shape its blocks have: 5 of basic blocks, in float32
# and in each autocast type; torch gives up at 8.
MOST_PROGRAMS = 64

log = logging.getLogger(__name__)


def capture(
    work: Callable[[], None], *, device: torch.device, remember: Callable[[], Callable[[], None]]
) -> Callable[[], None]:
    """What does `work` again each time it is called.

    These nets launch hundreds of kernels a step, each shorter than it takes Python to launch it; a graph launches them
    all at once. It has the shapes, addresses and Python numbers of the moment it was captured, so `work` may neither
    wait for the device nor depend on anything but tensors that stay where they are.

    Args:
        remember: notes the content of every tensor that `work` changes, and returns what brings it back; warming up
            must leave no trace.
    """
    if device.type != "cuda":
        return work
    restore = remember()
    side = torch.cuda.Stream(device)  # capturing begins on a stream that has done the same before
    side.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(side):
        for _ in range(WARM_UPS):
            work()
    torch.cuda.current_stream(device).wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=side):
        work()
    restore()
    return graph.replay


class CastWeights:
    """A net whose convolutions and head have copies in half precision, beside the float32 weights that SGD updates.

    Autocast would cast each weight in every step, and each gradient back: two launches a layer, for weights so few
    that launching is what it costs. Here one launch casts them all, and another their gradients; the numbers are the
    same. Float32 master weights: Micikevicius et al., Mixed Precision Training, arXiv 1710.03740, 3.1.

    Args:
        model: its parameters stay what they are.
        dtype: of the copies; None: there are none, and the net is used as it is.
    """

    def __init__(self, model: nn.Module, *, dtype: torch.dtype | None) -> None:
        self.model = model
        self.copies: dict[str, Tensor] = {}
        self.originals: list[Tensor] = []
        if dtype is None:
            return
        for path, module in model.named_modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                for name, weight in module.named_parameters(recurse=False):
                    self.copies[f"{path}.{name}"] = weight.detach().to(dtype).requires_grad_()
                    self.originals.append(weight)

    def __call__(self, images: Tensor) -> Tensor:
        """Logits (N, num_classes) of images (N, 3, S, S), with the weights as they are now; call it under autocast."""
        if not self.copies:
            return self.model(images)
        with torch.no_grad():
            torch._foreach_copy_(list(self.copies.values()), self.originals)
        return functional_call(self.model, self.copies, (images,))

    @torch.no_grad()
    def return_gradients(self) -> None:
        """After a backward pass: gives the gradients of the copies to the weights they were cast from, in float32."""
        if not self.copies:
            return
        gradients = [torch.empty_like(original) for original in self.originals]
        torch._foreach_copy_(gradients, [copy.grad for copy in self.copies.values() if copy.grad is not None])
        for original, copy, gradient in zip(self.originals, self.copies.values(), gradients, strict=True):
            original.grad, copy.grad = gradient, None


def eager() -> AbstractContextManager[None]:
    """Within it compiled blocks compute eagerly: to compile them once more takes longer than it would save."""
    # Whoever never compiled has not imported the compiler, which takes a second, and needs no word with it.
    return torch.compiler.set_stance("force_eager") if "torch._dynamo" in sys.modules else nullcontext()


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
    """Compiles each block in place, at its first call; equal blocks share a program, so depth costs nothing more.

    Programs of an earlier run of this process are forgotten first: a sweep of many nets would reach the limit.
    """
    torch.compiler.reset()
    torch._dynamo.config.recompile_limit = MOST_PROGRAMS
    for block in blocks:
        block.compile(fullgraph=True, dynamic=False)
