"""Weights cast at once compute what autocast computes, in fewer operations."""

from collections import Counter
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from resnet_exp.compute.device import Precision
from resnet_exp.compute.speed import CastWeights
from resnet_exp.compute.totals import Totals
from resnet_exp.data.crops import PaddedCrop
from resnet_exp.data.preprocess import Preprocess
from resnet_exp.data.sets import Dataset
from resnet_exp.data.stream import BatchStream
from resnet_exp.nets.network import Network
from resnet_exp.training.optim import build_optimizer
from resnet_exp.training.step import State, TrainStep
from tests.helpers import make_net, optim_config

CROP = PaddedCrop(8, padding=1, border="mean")
NETS: list[dict[str, Any]] = [{}, {"block": "v2", "shortcut": "B"}, {"bottleneck": True, "depth": 11}]


def net_of(**keywords: Any) -> Network:
    return make_net(**({"width": 8, "seed": 0} | keywords)).to(memory_format=torch.channels_last).train()


def three_steps(net: Network, cast: CastWeights | None, precision: Precision) -> list[torch.Tensor]:
    """Logits, gradients and weights of three steps; without `cast`, autocast casts the weights."""
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    generator, seen = torch.Generator().manual_seed(0), []
    for _ in range(3):
        images = torch.randn(16, 3, 8, 8, generator=generator).contiguous(memory_format=torch.channels_last)
        with precision.autocast():
            logits = cast(images) if cast else net(images)
        optimizer.zero_grad(set_to_none=True)
        F.cross_entropy(logits.float(), torch.arange(16) % 10).backward()
        if cast:
            cast.return_gradients()
        seen += [logits.detach(), *(p.grad for p in net.parameters() if p.grad is not None)]
        optimizer.step()
        seen += [p.detach().clone() for p in net.parameters()]
    return seen


@pytest.mark.parametrize("net", NETS, ids=str)
@pytest.mark.parametrize("name", ["off", "bf16", "fp16"])
def test_the_numbers_are_those_of_autocast(name: str, net: dict[str, Any]) -> None:
    """To the last bit, layout of the gradients included; float32 is left as it is."""
    precision = Precision(name, "cpu")
    expected = three_steps(net_of(**net), None, precision)
    own = net_of(**net)
    found = three_steps(own, CastWeights(own, dtype=precision.dtype), precision)
    assert len(found) == len(expected) == 3 * (1 + 2 * len(list(own.parameters())))
    for mine, autocasts in zip(found, expected, strict=True):
        assert mine.dtype == autocasts.dtype
        assert mine.stride() == autocasts.stride()
        assert torch.equal(mine, autocasts)


def test_only_convolutions_and_the_head_are_cast() -> None:
    net = net_of(shortcut="B")
    copies = CastWeights(net, dtype=torch.bfloat16).copies
    assert copies.keys() == {name for name, p in net.named_parameters() if p.ndim > 1 or name == "fc.bias"}
    assert {copy.dtype for copy in copies.values()} == {torch.bfloat16}
    assert {p.dtype for p in net.parameters()} == {torch.float32}


class Launches(TorchDispatchMode):
    """Counts the operations below autograd, each of which a GPU would be given by itself.

    Keeps none of their tensors, as a recording does: autograd would then copy gradients that it else takes over.
    """

    def __init__(self) -> None:
        super().__init__()
        self.count: Counter[str] = Counter()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if not func.is_view:
            self.count[func.overloadpacket.__name__] += 1
        return func(*args, **(kwargs or {}))


def launches(shapes: Dataset, *, precision: str, shortcut: str, depth: int) -> Counter[str]:
    """Those of one training step, by name; memory that is only allocated is none."""
    net, chosen = net_of(depth=depth, shortcut=shortcut), Precision(precision, "cpu")
    optimizer = build_optimizer(net, optim_config())
    step = TrainStep(
        State(net, optimizer, chosen.scaler(), Totals(torch.device("cpu"))),
        shapes.train,
        stream=BatchStream(num_images=len(shapes.train), batch_size=16, crop=CROP, augment=True, seed=0),
        preprocess=Preprocess(shapes.mean, shapes.std, crop=CROP),
        precision=chosen,
    )
    with Launches() as seen:
        step(lr=0.1)
    return Counter({name: n for name, n in seen.count.items() if not name.startswith(("empty", "new_empty"))})


@pytest.mark.parametrize("precision", ["off", "bf16", "fp16"])
@pytest.mark.parametrize(("shortcut", "layers", "additions"), [("none", 2, 0), ("A", 2, 1), ("C", 3, 1)])
def test_a_block_launches_what_it_computes_and_nothing_else(
    shapes: Dataset, precision: str, shortcut: str, layers: int, additions: int
) -> None:
    """Convolutions, BN, ReLU, additions, there and back: neither casts nor counts of batches grow with depth."""
    shallow, deep = (launches(shapes, precision=precision, shortcut=shortcut, depth=depth) for depth in (8, 14))
    of_a_layer = ("convolution", "convolution_backward", "native_batch_norm", "native_batch_norm_backward")
    of_a_block = dict.fromkeys(of_a_layer, layers) | {"relu_": 2, "threshold_backward": 2}
    of_a_block |= {"add_": additions, "add": additions}  # of the shortcut, and of the two gradients it brings together
    assert deep - shallow == Counter({name: 3 * count for name, count in of_a_block.items() if count})
