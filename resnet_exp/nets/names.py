"""From a description back to what a net is called: a run is what its net is. Knows no torch."""

from math import isqrt

from resnet_exp.config import NetConfig
from resnet_exp.nets.spec import NetSpec
from resnet_exp.nets.table import layout_of, net_spec


def family(spec: NetSpec) -> str:
    """The kind of net without its depth: plain, resnet, preact, bottleneck, preact_bottleneck (or plain_bottleneck), of
    ImageNet's layout imagenet-plain, imagenet-resnet, imagenet-preact, else vgg, mlp, resmlp."""
    layout = layout_of(spec)
    if layout == "vgg":
        return "vgg"
    plain, post, bottleneck = spec.shortcut == "none", spec.order == "post", spec.block.narrow > 1
    if layout == "mlp":
        return "mlp" if plain else "resmlp"
    kind = "plain" if plain else "resnet" if post else "preact"
    if layout == "imagenet":
        return f"imagenet-{kind}"
    return (
        {"plain": "plain_bottleneck", "resnet": "bottleneck", "preact": "preact_bottleneck"}[kind]
        if bottleneck
        else kind
    )


def width_of(spec: NetSpec) -> int:
    """The `width=` of a net: of its stem or, where it has none, of its first stage."""
    return spec.stem.channels if spec.stem else spec.stages[0].channels


def usual(spec: NetSpec) -> NetSpec | None:
    """The net that its family, depth and width alone mean; None if there is none of that depth."""
    layout, block = layout_of(spec), "v1" if spec.order == "post" else "v2"
    image_size = isqrt(spec.stem.inputs // 3) if layout == "mlp" and spec.stem else 2 ** len(spec.stages)
    try:
        net = NetConfig(spec.depth, block, spec.shortcut, spec.block.narrow > 1, width_of(spec), layout, spec.norm)
        return net_spec(net, image_size=image_size)
    except ValueError:
        return None


def net_name(spec: NetSpec) -> str:
    """What a net is called: `plain56`, `resnet56-B`, `plain20-v2`, `imagenet-resnet50`, `vgg19-bn`, `mlp22-nobn`.

    `-v1.5` is a bottleneck net that shrinks its maps in 3x3 convolutions. Stages that do not follow from the depth are
    spelled out: `preact26-4x160.4x320.4x640-B`.
    """
    kind, rule = family(spec), usual(spec)
    parts = [f"{kind}{spec.depth}"]
    if spec.order == "pre" and "preact" not in kind:
        parts.append("v2")
    if rule is None or rule.stages != spec.stages:
        parts.append(".".join(f"{stage.blocks}x{stage.channels}" for stage in spec.stages))
    if spec.shortcut not in ("none", "B" if spec.block.narrow > 1 else "A"):
        parts.append(spec.shortcut)
    if spec.block.strided:
        parts.append("v1.5")
    if spec.norm != ("none" if kind == "vgg" else "batch"):
        parts.append("bn" if kind == "vgg" else "nobn")
    return "-".join(parts)


def is_usual(spec: NetSpec) -> bool:
    """Whether the net is the one of its name at its width: no stage, stride or head is another."""
    return usual(spec) == spec
