"""Which net a run is of, from what its `summary.json` says: a run is what its net is, not what it is called."""

from collections.abc import Mapping
from typing import Any

from resnet_exp.config import NetConfig
from resnet_exp.nets.table import family, net_name, net_spec

KEYS = ("family", "depth", "block", "shortcut")  # what tells nets apart where no description can be had


def net_config(summary: Mapping[str, Any]) -> NetConfig | None:
    """The settings that name the net; None if there are none in the table of nets, or they contradict each other."""
    try:
        bottleneck = "bottleneck" in summary["family"]
        config = NetConfig(summary["depth"], summary["block"], summary["shortcut"], bottleneck, summary["width"])
        net_spec(config)
    except (KeyError, TypeError, ValueError):
        return None
    return config if family(config) == summary["family"] else None


def net_of(summary: Mapping[str, Any]) -> dict[str, Any]:
    """The net's description; what older versions did not record is made from the settings."""
    if "net" in summary:
        return dict(summary["net"])
    config = net_config(summary)
    return net_spec(config).to_dict() if config else {key: summary.get(key) for key in KEYS}


def net_called(summary: Mapping[str, Any]) -> str:
    """What the net is called, like `resnet56-B`, whatever the run is called."""
    config = net_config(summary)
    return net_name(config) if config else f"{summary['family']}{summary['depth']}"


def is_as_called(summary: Mapping[str, Any]) -> bool:
    """Whether the net is the one of its name in the table of nets, as far as that can be told."""
    config = net_config(summary)
    return config is None or net_of(summary) == net_spec(config).to_dict()
