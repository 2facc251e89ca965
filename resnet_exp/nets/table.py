"""The nets by name: what `model=` sets, which net the settings mean, and what it is called. Knows no torch.

Sources: [P1] He et al., Deep Residual Learning, arXiv 1512.03385; [P2] He et al., Identity Mappings, arXiv 1603.05027.
"""

from typing import Any

from resnet_exp.config import NetConfig
from resnet_exp.nets.spec import BlockSpec, NetSpec, Stage, Stem

DEEP = 110  # from this depth on, [P1] 4.2 warms up
PAPER_WARMUP_STEPS = 400  # of [P1] at 110 layers, of [P2] for every CIFAR net
STAGES = 3
EXPANSION = 4  # a bottleneck's output is four times as wide as its 3x3 convolution
BASIC, BOTTLENECK = BlockSpec((3, 3)), BlockSpec((1, 3, 1), narrow=EXPANSION)

# `model=` sets these; a numbered name sets the depth too.
FAMILIES: dict[str, dict[str, Any]] = {
    "plain": {"depth": 20, "block": "v1", "shortcut": "none", "bottleneck": False},
    "resnet": {"depth": 20, "block": "v1", "shortcut": "A", "bottleneck": False},  # [P1] 4.2
    "preact": {"depth": 20, "block": "v2", "shortcut": "A", "bottleneck": False},  # [P2]
    "bottleneck": {"depth": 164, "block": "v1", "shortcut": "B", "bottleneck": True},  # [P1] 4.1, as [P2] table 3
    "preact_bottleneck": {"depth": 164, "block": "v2", "shortcut": "B", "bottleneck": True},  # [P2] table 3
}
NUMBERED: dict[str, tuple[str, tuple[int, ...]]] = {
    "plain": ("plain", (20, 32, 44, 56, 110)),
    "resnet": ("resnet", (20, 32, 44, 56, 110, 1202)),
    "preact": ("preact", (20, 32, 44, 56, 110)),
}
MODELS: dict[str, dict[str, Any]] = {
    **FAMILIES,
    **{
        f"{name}{depth}": FAMILIES[family] | {"depth": depth}
        for name, (family, depths) in NUMBERED.items()
        for depth in depths
    },
    # The names under which these nets are known; their blocks are bottlenecks.
    **{f"resnet{depth}": FAMILIES["bottleneck"] | {"depth": depth} for depth in (164, 1001)},
    **{f"preact{depth}": FAMILIES["preact_bottleneck"] | {"depth": depth} for depth in (164, 1001)},
}


def net_spec(net: NetConfig) -> NetSpec:
    """The CIFAR net of [P1] 4.2 / [P2] that the settings mean: 3x3 stem, three stages of n blocks each, linear head.

    Depth is 6n + 2 with basic blocks, 9n + 2 with bottlenecks. Stages 2 and 3 halve the map and double the channels.

    Raises:
        ValueError: no net of that depth exists; the message names the nearest.
    """
    block = BOTTLENECK if net.bottleneck else BASIC
    period = STAGES * len(block.kernels)
    num_blocks, rest = divmod(net.depth - 2, period)
    if rest or num_blocks < 1:
        below = net.depth - rest
        near = [depth for depth in (below, below + period) if depth >= period + 2] or [period + 2]
        raise ValueError(
            f"depth={net.depth}: a net of {'bottleneck' if net.bottleneck else 'basic'} blocks has {period}n+2 layers;"
            f" near are {' and '.join(map(str, near))}"
        )
    stages = tuple(
        Stage(num_blocks, net.width * 2**index * block.narrow, stride=2 if index else 1) for index in range(STAGES)
    )
    order = "post" if net.block == "v1" else "pre"
    return NetSpec(Stem(net.width), stages, block, order=order, shortcut=net.shortcut)


def family(net: NetConfig) -> str:
    """The `model=` of a net: plain, resnet, preact, bottleneck, preact_bottleneck (or plain_bottleneck)."""
    if net.shortcut == "none":
        return "plain_bottleneck" if net.bottleneck else "plain"
    if net.bottleneck:
        return "bottleneck" if net.block == "v1" else "preact_bottleneck"
    return "resnet" if net.block == "v1" else "preact"


def net_name(net: NetConfig) -> str:
    """What a net is called: `plain56`, `resnet56-B`, `plain20-v2`."""
    name = f"{family(net)}{net.depth}"
    if net.shortcut == "none" and net.block == "v2":
        name += "-v2"
    usual = "B" if net.bottleneck else "A"
    return name if net.shortcut in ("none", usual) else f"{name}-{net.shortcut}"


def paper_warmup(net: NetConfig) -> int:
    """First steps at lr/10, as the paper of the block's version has them.

    [P1] 4.2: 110 layers warm up "until the training error is below 80 %"; a plain net may never get there, so it is a
    fixed number of steps. [P2]: every CIFAR net, for 400 steps. [P2] trains no plain net: those follow [P1].
    """
    warms_up = net.depth >= DEEP or (net.block == "v2" and net.shortcut != "none")
    return PAPER_WARMUP_STEPS if warms_up else 0
