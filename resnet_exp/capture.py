"""Work that reads and writes fixed tensors, as one launch: on a GPU a captured CUDA graph, on a CPU the work itself."""

from collections.abc import Callable

import torch

WARM_UPS = 3  # compile, choose algorithms, allocate what is allocated once: none of it may be captured


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
