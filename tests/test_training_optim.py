import pytest
import torch
from torch import nn

from resnet_exp.training.optim import build_optimizer, lr_at, use_lr_tensor
from tests.helpers import optim_config


@pytest.mark.parametrize(
    ("step", "warmup_steps", "expected"),
    [
        (0, 0, 0.1),
        (31_999, 0, 0.1),
        (32_000, 0, 0.01),
        (47_999, 0, 0.01),
        (48_000, 0, 0.001),
        (63_999, 0, 0.001),
        (0, 400, 0.01),
        (399, 400, 0.01),
        (400, 400, 0.1),  # back to the full rate: known reproductions stay at 0.01 here
        (32_000, 400, 0.01),  # and known reproductions are a factor off here
    ],
)
def test_the_papers_schedule(step: int, warmup_steps: int, expected: float) -> None:
    assert lr_at(step, optim_config(), warmup_steps=warmup_steps) == expected


@pytest.mark.parametrize(("weight_decay_on", "decayed"), [("all", True), ("weights", False)])
def test_weight_decay_reaches_what_it_should(weight_decay_on: str, decayed: bool) -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))
    nn.init.ones_(net[3].bias)
    optimizer = build_optimizer(net, optim_config(lr=0.5, weight_decay=0.1, weight_decay_on=weight_decay_on))
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    for p in net.parameters():
        p.grad = torch.zeros_like(p)
    optimizer.step()
    for name, p in net.named_parameters():
        expected = before[name] * 0.95 if p.ndim > 1 or decayed else before[name]
        assert torch.allclose(p, expected), name


def test_sgd_is_the_formula_without_nesterov() -> None:
    net = nn.Linear(3, 2, bias=False)
    weight, velocity = net.weight.detach().clone().double(), torch.zeros(2, 3, dtype=torch.float64)
    optimizer = build_optimizer(net, optim_config(weight_decay=1e-2))
    tensor = use_lr_tensor(optimizer, device=torch.device("cpu"))
    assert tensor.item() == pytest.approx(0.1)
    for step, lr in enumerate([0.1, 0.1, 0.01, 0.01]):
        gradient = torch.full((2, 3), float(step + 1))
        net.weight.grad = gradient.clone()
        tensor.fill_(lr)
        optimizer.step()
        velocity = 0.9 * velocity + gradient + 1e-2 * weight
        weight -= lr * velocity
    assert torch.allclose(net.weight.double(), weight)
