"""Which net can be grown into which: so that the deeper one computes what the shallower one does ([P1] section 1).

Knows no torch; how the weights are made stands in `nets.grow`. [P1] He et al., arXiv 1512.03385.
"""

from dataclasses import replace

from resnet_exp.nets.names import net_name
from resnet_exp.nets.spec import NetSpec


def check_grows(shallow: NetSpec, deep: NetSpec) -> None:
    """Raises ValueError unless identity blocks at the end of stages, or none, make the one net of the other."""
    names = f"{net_name(deep)} from {net_name(shallow)}"
    same_stages = len(shallow.stages) == len(deep.stages)
    if not same_stages or with_blocks_of(shallow, deep) != deep:
        raise ValueError(
            f"cannot grow {names}: they differ in more than their blocks at the end of each stage"
            "\ngive both the same layout, width, shortcut, block and norm"
        )
    pairs = [(one.blocks, other.blocks) for one, other in zip(shallow.stages, deep.stages, strict=True)]
    if any(before > after for before, after in pairs):
        raise ValueError(f"cannot grow {names}: a stage has fewer blocks\ndepth= takes a net of more layers")
    if shallow != deep and (reason := no_identity(deep)):
        raise ValueError(f"cannot grow {names}: {reason}\nany other net grows")


def with_blocks_of(shallow: NetSpec, deep: NetSpec) -> NetSpec:
    """The shallower net with as many blocks in each stage as the deeper one has."""
    pairs = zip(shallow.stages, deep.stages, strict=True)
    return replace(shallow, stages=tuple(replace(one, blocks=other.blocks) for one, other in pairs))


def no_identity(spec: NetSpec) -> str:
    """Why a block of this net cannot be the identity; empty if it can."""
    if spec.shortcut == "C":
        return "its shortcuts are projections everywhere, none passes its input on"
    if spec.shortcut == "none" and spec.order == "pre":
        return "a plain v2 block begins with a ReLU, which its input, of both signs, does not pass"
    if spec.shortcut == "none" and spec.block.narrow > 1:
        return "a plain bottleneck has too few channels to pass its input on"
    return ""
