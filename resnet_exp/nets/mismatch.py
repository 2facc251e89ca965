"""Whether tensors are those of a net, and if not, what tells the two nets apart."""

from collections.abc import Mapping

from torch import Tensor

SHOWN = 2  # layers that a message names


def check_tensors(state: Mapping[str, Tensor], expected: Mapping[str, Tensor], *, source: str) -> None:
    """Whether there is a tensor of each name and shape, and no other.

    Args:
        state: what was found.
        expected: what a net has.
        source: where the first comes from, for the message.

    Raises:
        ValueError: there is not; the message names the first layers that differ.
    """
    names = [*expected, *(name for name in state if name not in expected)]
    pairs = {name: (form(state.get(name)), form(expected.get(name))) for name in names}
    different: dict[str, str] = {}
    for name, (there, here) in pairs.items():
        if there != here:
            different.setdefault(name.rpartition(".")[0], f"{name}: {there} there, {here} here")
    if different:
        first, more = [*different.values()][:SHOWN], len(different) - SHOWN
        raise ValueError(
            f"{source}: holds another net than this one"
            f"\n{'; '.join(first)}{f'; and {more} more' if more > 0 else ''}"
            f"\nthere: {describe(state)}; here: {describe(expected)}"
        )


def form(tensor: Tensor | None) -> str:
    """A shape for messages, with the type where it is not a fraction's: `16x3x3x3`, `int8 16`, `none`."""
    if tensor is None:
        return "none"
    shape = "x".join(map(str, tensor.shape)) or "one number"
    return shape if tensor.is_floating_point() else f"{str(tensor.dtype).removeprefix('torch.')} {shape}"


def describe(state: Mapping[str, Tensor]) -> str:
    """A net by what its tensors tell, like `20 layers, width 16, 10 classes, basic blocks, no projections`."""
    weights = [name for name, tensor in state.items() if tensor.ndim > 1]
    projections = sum(".downsample." in name for name in weights)
    parts = [f"{len(weights) - projections} layers"]
    if "conv1.weight" in state:
        parts.append(f"width {len(state['conv1.weight'])}")
    if "fc.weight" in state:
        parts.append(f"{len(state['fc.weight'])} classes")
    blocks = "bottlenecks" if "layer1.0.conv3.weight" in state else "basic blocks"
    parts.append(f"{blocks} of v2" if "bn.weight" in state else blocks)
    return ", ".join([*parts, f"{projections or 'no'} projections"])
