"""SGD and its learning rate, a pure function of the step."""

import inspect

import torch
from torch import Tensor, nn

from resnet_exp.config import OptimConfig

FALL = 10  # lr is divided by it at every milestone, and during the warm-up ([P1] 4.2)


def lr_at(step: int, config: OptimConfig, *, warmup_steps: int = 0) -> float:
    """The learning rate of update `step` (from 0): lr/10 in the warm-up, then lr, a tenth less from each milestone on.

    [P1] 4.2: 0.1, divided by 10 at 32k and 48k iterations; 110 layers begin with 0.01 for about 400 iterations.
    """
    falls = sum(step >= milestone for milestone in config.milestones) + (step < warmup_steps)
    return config.lr / FALL**falls


class SGD(torch.optim.SGD):
    """torch's, without what keeps torch's compiler away from it: that imports the compiler, which takes a second."""

    step = torch.no_grad()(inspect.unwrap(torch.optim.SGD.step))
    add_param_group = inspect.unwrap(torch.optim.SGD.add_param_group)
    zero_grad = inspect.unwrap(torch.optim.SGD.zero_grad)
    state_dict = inspect.unwrap(torch.optim.SGD.state_dict)
    load_state_dict = inspect.unwrap(torch.optim.SGD.load_state_dict)


def build_optimizer(model: nn.Module, config: OptimConfig) -> torch.optim.SGD:
    """SGD with momentum, no Nesterov; weight decay on everything, or on `weights` alone (not on BN and biases)."""
    parameters = list(model.parameters())
    on_all = config.weight_decay_on == "all"
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": config.weight_decay if on_all else 0.0},
    ]
    optimizer = SGD(groups, lr=config.lr, momentum=config.momentum, fused=True)
    if config.momentum:
        for parameter in parameters:  # zero, as they are by definition; torch would make them in the first step
            optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return optimizer


def use_lr_tensor(optimizer: torch.optim.Optimizer, *, device: torch.device) -> Tensor:
    """Replaces the learning rate of every group by one tensor (), which a captured step reads anew each time."""
    lr = torch.tensor(float(optimizer.param_groups[0]["lr"]), device=device)
    for group in optimizer.param_groups:
        group["lr"] = lr
    return lr
