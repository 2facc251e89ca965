"""SGD and its learning rate, a pure function of the step."""

import torch
from torch import nn

FALL = 10  # lr is divided by it at every milestone, and during the warm-up ([P1] 4.2)


def lr_at(step: int, *, lr: float, milestones: list[int], warmup_steps: int = 0) -> float:
    """The learning rate of update `step` (from 0): lr/10 in the warm-up, then lr, a tenth less from each milestone on.

    [P1] 4.2: 0.1, divided by 10 at 32k and 48k iterations; 110 layers begin with 0.01 for about 400 iterations.
    """
    falls = sum(step >= milestone for milestone in milestones) + (step < warmup_steps)
    return lr / FALL**falls


def build_optimizer(
    model: nn.Module, *, lr: float, momentum: float, weight_decay: float, weight_decay_on: str
) -> torch.optim.SGD:
    """SGD with momentum, no Nesterov; weight decay on everything, or on `weights` alone (not on BN and biases)."""
    parameters = list(model.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {
            "params": [p for p in parameters if p.ndim <= 1],
            "weight_decay": weight_decay if weight_decay_on == "all" else 0.0,
        },
    ]
    return torch.optim.SGD(groups, lr=lr, momentum=momentum, fused=True)


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = lr
