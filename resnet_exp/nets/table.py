"""The nets by name: what `model=` sets, and which net the settings mean. Knows no torch.

Sources: [P1] He et al., Deep Residual Learning, arXiv 1512.03385; [P2] He et al., Identity Mappings, arXiv 1603.05027;
[VGG] Simonyan and Zisserman, Very Deep Convolutional Networks, arXiv 1409.1556.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import log10
from typing import Any

from resnet_exp.config import NetConfig
from resnet_exp.grammar import written
from resnet_exp.nets.spec import BlockSpec, Head, NetSpec, Stage, Stem

DEEP = 110  # from this depth on, [P1] 4.2 warms up
PAPER_WARMUP_STEPS = 400  # of [P1] at 110 layers, of [P2] for every CIFAR net
EXPANSION = 4  # a bottleneck's output is four times as wide as its 3x3 convolution
STRIDES = {"1x1": 0, "3x3": 1}  # which of a bottleneck's convolutions has the stride, see `BlockSpec.strided`

# `model=` sets these; a numbered name sets the depth too.
FAMILIES: dict[str, dict[str, Any]] = {
    "plain": {"depth": 20, "block": "v1", "shortcut": "none", "bottleneck": False},
    "resnet": {"depth": 20, "block": "v1", "shortcut": "A", "bottleneck": False},  # [P1] 4.2
    "preact": {"depth": 20, "block": "v2", "shortcut": "A", "bottleneck": False},  # [P2]
    "bottleneck": {"depth": 164, "block": "v1", "shortcut": "B", "bottleneck": True},  # [P1] 4.1, as [P2] table 3
    "preact_bottleneck": {"depth": 164, "block": "v2", "shortcut": "B", "bottleneck": True},  # [P2] table 3
    "mlp": {"layout": "mlp", "depth": 12, "block": "v1", "shortcut": "none", "bottleneck": False, "width": 64},
    "resmlp": {"layout": "mlp", "depth": 12, "block": "v1", "shortcut": "A", "bottleneck": False, "width": 64},
}
NUMBERED: dict[str, tuple[str, tuple[int, ...]]] = {
    "plain": ("plain", (20, 32, 44, 56, 110)),
    "resnet": ("resnet", (20, 32, 44, 56, 110, 1202)),
    "preact": ("preact", (20, 32, 44, 56, 110)),
}
IMAGENET = {"layout": "imagenet", "block": "v1", "width": 64}  # [P1] table 1
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
    # Shortcuts as in [P1] table 2 (identities: plain nets have the same parameters) and, from 50 layers on, in 4.1.
    **{f"plain{depth}": IMAGENET | {"depth": depth, "shortcut": "none", "bottleneck": False} for depth in (18, 34)},
    **{f"resnet{depth}": IMAGENET | {"depth": depth, "shortcut": "A", "bottleneck": False} for depth in (18, 34)},
    **{f"resnet{depth}": IMAGENET | {"depth": depth, "shortcut": "B", "bottleneck": True} for depth in (50, 101, 152)},
    "vgg19": {
        **{"layout": "vgg", "depth": 19, "block": "v1", "shortcut": "none", "bottleneck": False},
        **{"width": 64, "norm": "none"},  # [VGG] is older than BN
    },
}


@dataclass(frozen=True)
class Layout:
    """What all nets of one layout share.

    Args:
        called: one of its nets, in messages.
        stem: from its width and the pixels of an image a side; None: the first stage reads the image.
        equal_stages: how many stages there are, where depth divides into equal ones; else `counts` knows.
        counts: blocks of each stage, by layers in a block, then by depth.
        widest: a stage is twice as wide as the one before, up to this many times the first.
        stride: of the first block of each stage but the first.
        kernels: of the layers of a basic block.
        bias: whether these have biases.
        pool: whether a max-pool follows each stage.
        head: from the width.
        bottlenecks: whether there are nets of them.
        shortcuts: those that there are nets with.
        versions: of blocks, likewise.
        published_on: pixels a side and classes of the images for which its nets' sizes are published; None: any.
    """

    called: str
    stem: Callable[[int, int], Stem] | None
    equal_stages: int = 0
    counts: Mapping[int, Mapping[int, tuple[int, ...]]] = field(default_factory=dict)
    widest: int = 2**30
    stride: int = 2
    kernels: tuple[int, ...] = (3, 3)
    bias: bool = False
    pool: bool = False
    head: Callable[[int], Head] = lambda width: Head()
    bottlenecks: bool = True
    shortcuts: tuple[str, ...] = ("none", "A", "B", "C")
    versions: tuple[str, ...] = ("v1", "v2")
    published_on: tuple[int, int] | None = None


LAYOUTS = {
    # [P1] 4.2: stages 2 and 3 halve the map and double the channels.
    "cifar": Layout("a CIFAR net", lambda width, _: Stem(width), equal_stages=3),
    # [P1] table 1.
    "imagenet": Layout(
        "an ImageNet net",
        lambda width, _: Stem(width, kernel=7, stride=2, pool=True),
        published_on=(224, 1000),
        counts={
            2: {18: (2, 2, 2, 2), 34: (3, 4, 6, 3)},
            3: {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)},
        },
    ),
    # [VGG] table 1, columns A, B, D and E. Its dropout is left out: a net at a time differs in one thing.
    "vgg": Layout(
        "a VGG net",
        stem=None,
        counts={
            1: {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)},
        },
        published_on=(224, 1000),
        widest=8,
        stride=1,
        kernels=(3,),
        bias=True,
        pool=True,
        head=lambda width: Head(pool=7, hidden=(64 * width, 64 * width)),
        bottlenecks=False,
        shortcuts=("none",),
        versions=("v1",),
    ),
    # y = relu(W2 relu(W1 x) + x), without the x where it is plain; all layers are equally wide.
    "mlp": Layout(
        "a fully connected net",
        lambda width, size: Stem(width, kernel=0, inputs=3 * size**2),
        equal_stages=1,
        widest=1,
        stride=1,
        kernels=(0, 0),
        bottlenecks=False,
        shortcuts=("none", "A"),
    ),
}


def net_spec(net: NetConfig, *, image_size: int = 32) -> NetSpec:
    """The net that the settings mean.

    Args:
        image_size: pixels a side; the first layer of a fully connected net has a weight for each.

    Raises:
        ValueError: there is no such net; the message names the nearest.
    """
    layout = LAYOUTS[net.layout]
    for key, known in (("shortcut", layout.shortcuts), ("block", layout.versions)):
        if getattr(net, key) not in known:
            raise ValueError(f"{key}={getattr(net, key)}: {layout.called} has {' or '.join(known)}")
    if net.bottleneck and not layout.bottlenecks:
        raise ValueError(f"bottleneck=true: {layout.called} has none")
    block = BlockSpec(layout.kernels, bias=layout.bias)
    if net.bottleneck:
        block = BlockSpec((1, 3, 1), narrow=EXPANSION, strided=STRIDES[net.bottleneck_stride])
    counts = net.blocks or counts_of(net, layout=layout, layers=len(block.kernels))
    widths = net.channels or tuple(
        net.width * min(2**index, layout.widest) * block.narrow for index in range(len(counts))
    )
    if len(widths) != len(counts):
        given = f"channels={written([*widths])} for {len(widths)} stages, blocks for {len(counts)}"
        raise ValueError(f"{given}: give a number for each stage in both, like blocks=[4,4,4]")
    if layout.widest == 1 and {*widths} != {net.width}:
        raise ValueError(f"channels={written([*widths])}: all layers of {layout.called} are equally wide; say width=")
    if block.narrow > 1 and any(width % block.narrow for width in widths):
        raise ValueError(f"channels={written([*widths])}: those of bottlenecks are multiples of {block.narrow}")
    stages = tuple(
        Stage(count, width, stride=layout.stride if index else 1, pool=layout.pool)
        for index, (count, width) in enumerate(zip(counts, widths, strict=True))
    )
    spec = NetSpec(
        layout.stem(net.width, image_size) if layout.stem else None,
        stages,
        block,
        order="post" if net.block == "v1" else "pre",
        norm=net.norm,
        shortcut=net.shortcut,
        head=layout.head(net.width),
    )
    if spec.depth != net.depth:
        raise ValueError(
            f"depth={net.depth}: blocks={written([*counts])} make {spec.depth} layers; say depth={spec.depth}"
        )
    least = 2 ** len(stages) if layout.pool else 1
    if image_size < least:
        raise ValueError(
            f"data.image_size={image_size}: {layout.called} halves it {len(stages)} times: at least {least}"
        )
    return spec


def counts_of(net: NetConfig, *, layout: Layout, layers: int) -> tuple[int, ...]:
    """Blocks of each stage.

    Args:
        layers: in each block.

    Raises:
        ValueError: no net has that depth.
    """
    if layout.equal_stages:
        period = layout.equal_stages * layers
        num_blocks, rest = divmod(net.depth - 2, period)  # the stem and the head are the two others
        if rest == 0 and num_blocks > 0:
            return (num_blocks,) * layout.equal_stages
        below = net.depth - rest
        near = [depth for depth in (below, below + period) if depth >= period + 2] or [period + 2]
        there_are = f"has {period}n+2 layers; near are {' and '.join(map(str, near))}"
    else:
        known = layout.counts[layers]
        if net.depth in known:
            return known[net.depth]
        there_are = f"has {', '.join(map(str, known))} layers; blocks= makes others"
    kind = f" of {'bottleneck' if net.bottleneck else 'basic'} blocks" if layout.bottlenecks else ""
    raise ValueError(f"depth={net.depth}: {layout.called}{kind} {there_are}")


def layout_of(spec: NetSpec) -> str:
    """One of `LAYOUTS`."""
    if spec.stem is None:
        return "vgg"
    if spec.stem.kernel == 0:
        return "mlp"
    return "imagenet" if spec.stem.pool else "cifar"


def signal_growth(spec: NetSpec) -> float:
    """Powers of ten by which the signal of a residual net without BN grows from its first block to its last.

    Under He initialisation a block's branch has the variance of its input, so that each block doubles it.
    """
    blocks = sum(stage.blocks for stage in spec.stages)
    return blocks * log10(2) / 2 if spec.norm == "none" and spec.shortcut != "none" else 0.0


def paper_warmup(spec: NetSpec) -> int:
    """First steps at lr/10, as the paper of the block's version has them.

    [P1] 4.2: 110 layers warm up "until the training error is below 80 %"; a plain net may never get there, so it is a
    fixed number of steps. [P2]: every CIFAR net, for 400 steps. [P2] trains no plain net: those follow [P1]. Neither
    warms up on ImageNet, nor a fully connected net.
    """
    warms_up = spec.depth >= DEEP or (spec.order == "pre" and spec.shortcut != "none")
    return PAPER_WARMUP_STEPS if warms_up and layout_of(spec) == "cifar" else 0
