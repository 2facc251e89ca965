"""Which net a run is of, from what its `summary.json` says: a run is what its net is, not what it is called."""

from collections.abc import Mapping
from typing import Any

from resnet_exp.config import NetConfig
from resnet_exp.nets.names import family, is_usual, net_name
from resnet_exp.nets.spec import NetSpec
from resnet_exp.nets.table import net_spec

KEYS = ("family", "depth", "block", "shortcut")  # what tells nets apart where no description can be had


def spec_of(summary: Mapping[str, Any]) -> NetSpec | None:
    """The net's description; what older versions did not record is made from the settings, if they name a net."""
    try:
        if "net" in summary:
            return NetSpec.from_dict(summary["net"])
        bottleneck = "bottleneck" in summary["family"]
        net = NetConfig(summary["depth"], summary["block"], summary["shortcut"], bottleneck, summary["width"])
        spec = net_spec(net)
    except (KeyError, TypeError, ValueError):
        return None
    return spec if family(spec) == summary["family"] else None


def net_of(summary: Mapping[str, Any]) -> dict[str, Any]:
    """What tells the net from every other."""
    if "net" in summary:
        return dict(summary["net"])
    spec = spec_of(summary)
    return spec.to_dict() if spec else {key: summary.get(key) for key in KEYS}


def net_called(summary: Mapping[str, Any]) -> str:
    """What the net is called, like `resnet56-B`, whatever the run is called."""
    spec = spec_of(summary)
    return net_name(spec) if spec else f"{summary['family']}{summary['depth']}"


def is_as_called(summary: Mapping[str, Any]) -> bool:
    """Whether the net is the one of its name, as far as that can be told."""
    spec = spec_of(summary)
    return spec is None or is_usual(spec)
