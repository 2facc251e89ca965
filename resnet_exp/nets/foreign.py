"""Weights from elsewhere: from a file in one of the layouts in circulation to the tensors of our nets.

A layout is recognised by the names and shapes that a file holds, never by what the file is called. What these cannot
tell is said by the layout: where option A puts its zeros, which convolution of a bottleneck has the stride, and how
images were normalised, which moves an error by less than half a point.

Sources: akamaster/pytorch_resnet_cifar10, tomgoldstein/loss-landscape, chenyaofo/pytorch-cifar-models, torchvision.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from resnet_exp.nets.mismatch import check_tensors
from resnet_exp.nets.network import Network
from resnet_exp.nets.spec import NetSpec

WRAPPERS = ("state_dict", "model", "model_state_dict", "net")  # under which key training scripts put the weights
PREFIX = "module."  # of nets that were saved inside torch's DataParallel
COUNTER = ".num_batches_tracked"  # torch before 0.4.1 had none
NORM = ("weight", "bias", "running_mean", "running_var")

Channels = tuple[float, float, float]
IMAGENET: tuple[Channels, Channels] = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
ANY = 0  # however many classes
# Mean and std of each channel that a layout's nets were trained with, in 0 .. 1, by the number of classes.
NORMALISATIONS: dict[str, dict[int, tuple[Channels, Channels]]] = {
    "ours": {},  # the run has its own
    "akamaster": {ANY: IMAGENET},
    "loss-landscape": {10: ((125.3 / 255, 123.0 / 255, 113.9 / 255), (63.0 / 255, 62.1 / 255, 66.7 / 255))},
    "chenyaofo": {
        10: ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
        100: ((0.5070, 0.4865, 0.4409), (0.2673, 0.2564, 0.2761)),
    },
    "torchvision": {ANY: IMAGENET},
}


@dataclass(frozen=True)
class Fitted:
    """Weights that fit a net.

    Args:
        state: for `Network.load_state_dict`, every name of it and no other.
        layout: a key of `NORMALISATIONS`.
        mean: of each channel in 0 .. 1, to be subtracted; None where nothing is known.
        std: likewise, to divide by.
    """

    state: dict[str, Tensor]
    layout: str
    mean: Channels | None
    std: Channels | None


# From a file to named tensors.


def read_weights(file: Path) -> dict[str, Tensor]:
    """The named tensors of a file that torch or safetensors wrote, on the CPU. Executes nothing that it may hold.

    A dictionary of tensors, or one under `state_dict`, `model`, `model_state_dict` or `net`; the rest is left out.

    Raises:
        ValueError: there is no such file, it is damaged, or it holds something else.
    """
    try:
        with file.open("rb") as stream:
            start = stream.read(9)
    except OSError as error:
        raise ValueError(f"{file}: {error.strerror}") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch, about the age of a file; an error says enough
            content = load_safetensors(file) if start[8:] == b"{" else torch.load(file, "cpu", weights_only=True)
    except Exception as error:  # a damaged archive or pickle fails in any way
        raise ValueError(
            f"{file}: damaged, or holds something other than tensors and numbers, which is not executed"
            "\nweights are what torch.save(net.state_dict(), file) or safetensors writes"
        ) from error
    return tensors_of(content, file=file)


def load_safetensors(file: Path) -> dict[str, Tensor]:
    from safetensors.torch import load

    return load(file.read_bytes())


def tensors_of(content: Any, *, file: Path) -> dict[str, Tensor]:
    """The tensors among what a file holds, by their names."""
    entries = content if isinstance(content, Mapping) else {}
    inner = next((entries[key] for key in WRAPPERS if isinstance(entries.get(key), Mapping)), entries)
    tensors = {str(name): tensor.detach() for name, tensor in inner.items() if isinstance(tensor, Tensor)}
    if not tensors:
        what = f"; it holds {', '.join(map(str, [*inner][:5]))}" if inner else ""
        raise ValueError(
            f"{file}: holds no named tensors{what}\nknown are a state dict and one under {', '.join(WRAPPERS)}"
        )
    return tensors


# From named tensors to a net.


def fit_weights(
    found: Mapping[str, Tensor], spec: NetSpec, *, num_classes: int, source: str, ours: bool = False
) -> Fitted:
    """The weights as the net has them, under its names, with its function.

    Args:
        found: as `read_weights` gives them.
        spec: the net they are for.
        num_classes: outputs of its head.
        source: where they come from, for messages.
        ours: whether they were written by this program. Nets of ours have torchvision's names, so that some cannot be
            told from foreign ones; without this, they are taken for those.

    Raises:
        ValueError: they are in no known layout, or of another net.
    """
    state = renamed(found)
    layout = "ours" if ours else recognise(found, spec=spec, source=source)
    with torch.device("meta"):
        expected = Network(spec, num_classes=num_classes).state_dict()
    for name in expected:
        if name.endswith(COUNTER):
            state.setdefault(name, torch.tensor(0))
    check_tensors(state, expected, source=source)
    if layout != "ours":
        check_function(spec, layout=layout, prefixed=is_prefixed(found), source=source)
    if layout == "akamaster" and spec.shortcut == "A":
        state = zeros_behind(state, spec)
    known = NORMALISATIONS[layout]
    mean, std = known.get(num_classes) or known.get(ANY) or (None, None)
    return Fitted(state, layout, mean, std)


def is_prefixed(found: Mapping[str, Tensor]) -> bool:
    return all(name.startswith(PREFIX) for name in found)


def renamed(found: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors under our names, as far as there are any."""
    state = {}
    for name, tensor in found.items():
        path = name.removeprefix(PREFIX).replace(".shortcut.", ".downsample.").split(".")
        state[".".join(["fc", *path[1:]] if path[0] == "linear" else path)] = tensor
    return state


def recognise(found: Mapping[str, Tensor], *, spec: NetSpec, source: str) -> str:
    """The layout of weights: a key of `NORMALISATIONS`.

    A net with akamaster's names and without projections, saved without its prefix, may be his with option A or a plain
    one of loss-landscape; the description decides.

    Raises:
        ValueError: none is known.
    """
    state = renamed(found)
    if "fc.weight" not in state or not any(name.startswith("layer1.0.") for name in state):
        begin = ", ".join([*found][:3])
        raise ValueError(f"{source}: names of no known layout ({', '.join(NORMALISATIONS)}): it begins with {begin}")
    projected = {name.partition(".downsample.")[0] for name in state if ".downsample." in name}
    if f"{PREFIX}linear.weight" in found or "linear.weight" in found:
        of_option_a = not projected and spec.shortcut == "A"
        return "akamaster" if is_prefixed(found) or of_option_a else "loss-landscape"
    kernel = state["conv1.weight"].shape[-1] if {"conv1.weight", "bn1.weight"} <= state.keys() else 0
    if kernel == 7 and projected - {"layer1.0"} == {"layer2.0", "layer3.0", "layer4.0"}:
        return "torchvision"
    if kernel == 3 and projected == {"layer2.0", "layer3.0"}:
        return "chenyaofo"
    return "ours"


# What names and shapes do not tell.


def check_function(spec: NetSpec, *, layout: str, prefixed: bool, source: str) -> None:
    """Raises ValueError if foreign weights have the shapes of this net, but their own net computes something else."""
    kernels, plain = spec.block.kernels, spec.shortcut == "none"
    shrinks = any(stage.stride > 1 for stage in spec.stages)
    if len(kernels) > 2 and shrinks and kernels[spec.block.strided] == 1:
        raise ValueError(
            f"{source}: bottlenecks of {layout} have their stride in the 3x3 convolution, this net has it in a 1x1;"
            "\nthe shapes are the same, the nets are not: bottleneck_stride=3x3 is theirs"
        )
    if layout == "akamaster" and prefixed and plain:
        raise ValueError(
            f"{source}: nets of {layout} have shortcuts, this net has none; the shapes are the same, the nets are not:"
            "\nshortcut=A is theirs"
        )
    if layout == "loss-landscape" and plain and len(kernels) > 2:
        raise ValueError(f"{source}: plain bottlenecks of {layout} end without a ReLU; there is no such net here")


def zeros_behind(state: Mapping[str, Tensor], spec: NetSpec) -> dict[str, Tensor]:
    """A net whose option A puts half of the zero channels before and half behind, for one that puts all behind.

    The order of channels between blocks means nothing to a net, as long as all that write and read them agree. Here
    each stage's first channels are those that the stage before hands on.

    Args:
        state: a net of order `post`, with BN, under our names.
        spec: its description.
    """
    moved = dict(state)
    assert spec.stem is not None
    order = torch.arange(spec.stem.channels)  # our channel k is their order[k]
    last = len(spec.block.kernels)
    for place in spec.blocks:
        reads = f"{place.path}.conv1.weight"
        moved[reads] = moved[reads][:, order]
        if place.index == 0:
            order = carried_first(order, place.out_channels)
        for writes in (f"conv{last}.weight", *(f"bn{last}.{part}" for part in NORM)):
            moved[f"{place.path}.{writes}"] = moved[f"{place.path}.{writes}"][order]
    moved["fc.weight"] = moved["fc.weight"][:, order]
    return moved


def carried_first(order: Tensor, channels: int) -> Tensor:
    """The order of a stage of so many channels, from that of the stage before: those it is handed, then the zeros."""
    carried = order + (channels - len(order)) // 2
    zeros = torch.tensor([channel for channel in range(channels) if channel not in set(carried.tolist())])
    return torch.cat([carried, zeros.long()])
