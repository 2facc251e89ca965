"""The memory that training a net takes and the size of its files, by arithmetic from its description. Knows no torch.

About: what libraries take for themselves while they compute is not counted.
"""

import math
from collections.abc import Sequence

from resnet_exp.nets.cost import LayerCost, costs_of
from resnet_exp.nets.spec import NetSpec

FLOAT, HALF, INDEX = 4, 2, 8  # bytes of a number: float32; bf16 and fp16; where a max-pool found its largest
FILE, FILE_TENSOR = 1_200, 285  # bytes that a file of torch's takes by itself, and for each tensor in it
RECORDS = 4_000  # bytes that a checkpoint takes for settings and the like
IN_FLIGHT = 3  # times the largest output of a layer: gradients on their way, and what is just being computed


def weight_bytes(costs: Sequence[LayerCost]) -> int:
    """Of the weights and of BN's statistics, as a snapshot keeps them."""
    norms = [cost for cost in costs if cost.kind == "BatchNorm2d"]
    return FLOAT * (sum(cost.params for cost in costs) + sum(cost.params for cost in norms)) + INDEX * len(norms)


def state_bytes(costs: Sequence[LayerCost], *, momentum: bool, half: bool) -> int:
    """Weights, gradients, momentum; in half precision the layers' copies and their gradients, too."""
    params = sum(cost.params for cost in costs)
    copied = sum(cost.params for cost in costs if cost.kind != "BatchNorm2d") if half else 0
    return weight_bytes(costs) + FLOAT * params * (1 + momentum) + 2 * HALF * copied


def kept_bytes(spec: NetSpec, *, image_size: int, half: bool) -> int:
    """What the backward pass needs of the forward pass of one image.

    The input and the output of each BN: what a layer puts out, and what the next one takes, in which ReLU works in
    place. A projection ends in a sum, whose derivative needs nothing.

    Args:
        half: whether layers put out bf16 or fp16.
    """
    size = HALF if half else FLOAT
    costs = costs_of(spec, num_classes=1, image_size=image_size)
    summed = f"downsample.{1 if spec.order == 'post' and spec.norm == 'batch' else 0}"
    kept = size * sum(math.prod(cost.shape) for cost in costs if not cost.path.endswith(summed))
    pooled = [costs[0]] if spec.stem and spec.stem.pool else []
    pooled += [last_of(number, costs) for number, stage in enumerate(spec.stages, 1) if stage.pool]
    kept += sum((size + INDEX) * math.prod(cost.shape) // 4 for cost in pooled)
    return kept + 3 * image_size**2 * (FLOAT + HALF * half)


def last_of(stage: int, costs: Sequence[LayerCost]) -> LayerCost:
    """The last layer of a stage, counted from 1."""
    return [cost for cost in costs if cost.path.startswith(f"layer{stage}.")][-1]


def training_bytes(
    spec: NetSpec, *, num_classes: int, image_size: int, batch_size: int, momentum: bool, half: bool
) -> int:
    """What training takes at most at a time, but for the images."""
    costs = costs_of(spec, num_classes=num_classes, image_size=image_size)
    largest = (HALF if half else FLOAT) * max(math.prod(cost.shape) for cost in costs)
    kept = kept_bytes(spec, image_size=image_size, half=half)
    return state_bytes(costs, momentum=momentum, half=half) + batch_size * (kept + IN_FLIGHT * largest)


def snapshot_bytes(costs: Sequence[LayerCost]) -> int:
    """The file of a net's weights and BN statistics."""
    return FILE + weight_bytes(costs) + FILE_TENSOR * sum(tensors_of(cost, statistics=True) for cost in costs)


def checkpoint_bytes(costs: Sequence[LayerCost], *, momentum: bool) -> int:
    """The file that a run goes on from, but for the rows of its `metrics.csv`."""
    velocity = FLOAT * sum(cost.params for cost in costs)
    velocity += FILE_TENSOR * sum(tensors_of(cost, statistics=False) for cost in costs)
    return snapshot_bytes(costs) + velocity * momentum + RECORDS


def tensors_of(cost: LayerCost, *, statistics: bool) -> int:
    """How many tensors a layer has: weight and bias; of BN also mean, variance and a count."""
    if cost.kind == "BatchNorm2d":
        return 5 if statistics else 2
    return 1 + has_bias(cost)


def has_bias(cost: LayerCost) -> bool:
    """A filter's weights are what one number of the output takes multiply-adds for; what is beyond them is the bias."""
    channels, numbers = cost.shape[0], math.prod(cost.shape)
    return cost.params > channels * (cost.macs // numbers)
