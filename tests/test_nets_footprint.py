"""Memory and files by arithmetic, against what torch keeps and writes."""

from pathlib import Path

import pytest
import torch

from resnet_exp.compute.device import Precision
from resnet_exp.compute.speed import CastWeights
from resnet_exp.nets.cost import LayerCost, costs_of
from resnet_exp.nets.footprint import checkpoint_bytes, kept_bytes, snapshot_bytes, state_bytes, weight_bytes
from resnet_exp.nets.network import Network
from resnet_exp.runs.snapshots import snapshot_file
from resnet_exp.training.optim import build_optimizer
from tests.helpers import TINY, Settings, make_net, optim_config, run

BATCH = 16
NETS = {
    "plain": {"depth": 14, "shortcut": "none"},
    "resnet": {"depth": 14},
    "projections": {"depth": 14, "shortcut": "B"},
    "projections everywhere": {"depth": 14, "shortcut": "C"},
    "preact": {"depth": 14, "block": "v2"},
    "no norm": {"depth": 14, "shortcut": "none", "norm": "none"},
    "stem that pools": {"depth": 18, "shortcut": "B", "layout": "imagenet"},
    "vgg": {"depth": 11, "shortcut": "none", "layout": "vgg", "norm": "batch"},
}


def costs_for(net: Network, *, image_size: int = 32) -> list[LayerCost]:
    return costs_of(net.spec, num_classes=10, image_size=image_size)


def saved_bytes(net: Network, images: torch.Tensor, *, precision: Precision) -> int:
    """What autograd keeps of a forward pass, each memory once, but for weights and what is of no image's size."""
    cast = CastWeights(net, dtype=precision.dtype)
    weights = {tensor.untyped_storage().data_ptr() for tensor in (*net.parameters(), *cast.copies.values())}
    kept: dict[int, torch.Tensor] = {}  # the tensors, lest their memory be used again

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor), precision.autocast():
        cast(images)
    return sum(
        tensor.untyped_storage().nbytes()
        for pointer, tensor in kept.items()
        if pointer not in weights and len(tensor.shape) and tensor.shape[0] == len(images)
    )


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("amp", ["off", "bf16"])
def test_what_the_backward_pass_needs_is_what_autograd_keeps(name: str, amp: str) -> None:
    net = make_net(width=8, **NETS[name]).to(memory_format=torch.channels_last)
    images = torch.randn(BATCH, 3, 32, 32).to(memory_format=torch.channels_last)
    kept = saved_bytes(net, images, precision=Precision(amp, "cpu"))
    if amp != "off":  # the images in float32, of which a cast copy is kept, are there as well
        kept += 4 * images.numel()
    assert BATCH * kept_bytes(net.spec, image_size=32, half=amp != "off") == pytest.approx(kept, rel=0.06)


@pytest.mark.parametrize("name", NETS)
def test_weights_gradients_and_momentum_are_counted_tensor_by_tensor(name: str) -> None:
    net = make_net(width=4, **NETS[name])
    model = sum(tensor.nbytes for tensor in net.state_dict().values())
    parameters = sum(parameter.nbytes for parameter in net.parameters())
    costs = costs_for(net)
    assert weight_bytes(costs) == model
    optimizer = build_optimizer(net, optim_config())
    momentum = sum(state["momentum_buffer"].nbytes for state in optimizer.state.values())
    assert state_bytes(costs, momentum=True, half=False) == model + parameters + momentum
    assert state_bytes(costs, momentum=False, half=False) == model + parameters
    copies = CastWeights(net, dtype=torch.bfloat16).copies.values()
    half = sum(2 * copy.nbytes for copy in copies)  # and their gradients
    assert state_bytes(costs, momentum=True, half=True) == model + parameters + momentum + half


@pytest.mark.parametrize("momentum", [0.9, 0.0])
def test_files_are_as_large_as_was_said(settings: Settings, tmp_path: Path, momentum: float) -> None:
    config = settings(
        *TINY, "model=resnet", "depth=20", "shortcut=B", "train.snapshots=[2]", f"optim.momentum={momentum}"
    )
    run(config, tmp_path)
    costs = costs_for(make_net(depth=20, shortcut="B", width=4), image_size=8)
    for name in ("checkpoint.pt", "checkpoint.prev.pt"):
        real = (tmp_path / name).stat().st_size
        assert checkpoint_bytes(costs, momentum=momentum > 0) == pytest.approx(real, rel=0.03)
    assert snapshot_bytes(costs) == pytest.approx(snapshot_file(tmp_path, 2).stat().st_size, rel=0.03)
