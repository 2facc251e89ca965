"""A net that was looked at is as it was."""

from contextlib import suppress

import pytest
import torch
from torch import Tensor, nn

from resnet_exp.compute.watch import hooked, kept_statistics
from tests.helpers import make_net


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("meanwhile", [True, False, None])
def test_statistics_and_mode_are_put_back_whatever_happens(before: bool, meanwhile: bool | None) -> None:
    net = make_net(depth=8, width=4).train(before)
    buffers = {name: buffer.clone() for name, buffer in net.named_buffers()}
    with suppress(KeyboardInterrupt), kept_statistics(net, training=meanwhile):
        assert net.training == (before if meanwhile is None else meanwhile)
        net.train()
        net(torch.randn(4, 3, 8, 8))
        assert not torch.equal(net.bn1.get_buffer("running_mean"), buffers["bn1.running_mean"])
        raise KeyboardInterrupt
    assert net.training == before
    assert all(torch.equal(buffer, buffers[name]) for name, buffer in net.named_buffers())


def test_hooks_see_each_output_and_go() -> None:
    net, seen = make_net(depth=8, width=4), []

    def note(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        seen.append((module, tuple(output.shape)))

    with suppress(KeyboardInterrupt), hooked([(net.fc, note), (net.layer1, note)]):
        net(torch.randn(2, 3, 8, 8))
        raise KeyboardInterrupt
    assert seen == [(net.layer1, (2, 4, 8, 8)), (net.fc, (2, 10))]
    net(torch.randn(2, 3, 8, 8))
    assert len(seen) == 2
