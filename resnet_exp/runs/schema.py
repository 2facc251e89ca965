"""What older versions wrote, read as today's: every setting that a stored run lacks has the default of its time.

`config.yaml`, `summary.json` and checkpoints carry a schema number:

1. Version 0.1; no number. Random crops saw a black border; `warmup_steps: auto` warmed up from 110 layers on whatever
   the block; parameters were called `stem.0`, `stage1.0.convs.0`, `head`.
2. `data.border`; `auto` follows the paper of the block's version; torchvision's names; a checkpoint holds
   the rows of `metrics.csv` that belong to it.
3. Every net of the literature: `layout`, `norm`, `zero_init`, `bottleneck_stride`; before, there were CIFAR nets alone.
   `data.crop`; before, every crop was `padded`. `init_from`; before, every run began with drawn weights.
   `grow_from` came without a number: a run that lacks it was not grown.
"""

import re
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from resnet_exp.settings import flatten

SCHEMA = 3
DRAWN = "drawn from the seed"  # where a run's weights are from by default
ZEROED = "residual branches, where there are any, start at zero"  # how it is said that they do
GROWN = "grown from"  # how it is said of a net that begins as a shallower one computes
# Settings whose default has changed, and the default since then: schema number, then value by key.
NEW_DEFAULTS: dict[int, dict[str, Any]] = {2: {"data.border": "mean", "optim.warmup_steps": "auto"}}

RENAMED: tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...] = (  # parameters and buffers of schema 1
    (r"^stem\.0\.", "conv1."),
    (r"^stem\.1\.", "bn1."),
    (r"^stage(\d+)\.", r"layer\1."),
    (r"\.convs\.(\d+)\.", lambda found: f".conv{int(found[1]) + 1}."),
    (r"\.norms\.(\d+)\.", lambda found: f".bn{int(found[1]) + 1}."),
    (r"\.shortcut\.", ".downsample."),
    (r"^last\.0\.", "bn."),
    (r"^head\.", "fc."),
)


class NewerError(ValueError):
    """A newer version of this program wrote the file."""


def schema_of(stored: Mapping[str, Any], *, path: Path) -> int:
    """The schema number of what a file holds.

    Raises:
        NewerError: a newer version wrote it.
    """
    schema = stored.get("schema", 1)
    if not isinstance(schema, int) or schema > SCHEMA:
        raise NewerError(
            f"{path}: written by a newer version of resnet-exp (schema {schema}; this version reads up to {SCHEMA})"
        )
    return schema


def upgrade_settings(settings: Mapping[str, Any], *, path: Path) -> dict[str, Any]:
    """The settings of a stored run, complete. `schema` stays that of the version it was begun with."""
    schema = schema_of(settings, path=path)
    upgraded: dict[str, Any] = {"schema": schema} | {
        key: dict(value) if isinstance(value, Mapping) else value for key, value in settings.items()
    }
    if schema < 2:
        upgraded.setdefault("data", {}).setdefault("border", "black")
        optim = upgraded.setdefault("optim", {})
        warms_up_since = upgraded.get("block") == "v2" and upgraded.get("depth", 0) < 110
        if optim.get("warmup_steps") == "auto" and warms_up_since:
            optim["warmup_steps"] = 0
    if schema < 3:
        upgraded.setdefault("data", {}).setdefault("crop", "padded")
        cifar = {"layout": "cifar", "norm": "batch", "zero_init": False, "bottleneck_stride": "1x1"}
        upgraded = cifar | {"blocks": None, "channels": None, "init_from": None} | upgraded
    upgraded.setdefault("grow_from", None)
    return upgraded


def upgrade_summary(summary: Mapping[str, Any], *, path: Path) -> dict[str, Any]:
    """What is known of a stored run, complete."""
    upgraded, schema = dict(summary), schema_of(summary, path=path)
    if isinstance(summary.get("choices"), Mapping):
        before = {"border": "black"} if schema < 2 else {}
        before |= {"initial_weights": DRAWN} if schema < 3 else {}
        upgraded["choices"] = before | dict(summary["choices"])
    return upgraded


def upgrade_checkpoint(content: dict[str, Any], *, path: Path) -> dict[str, Any]:
    """The state of a stored run, under the names and settings of today.

    Raises:
        ValueError: `metrics.csv` is shorter than the checkpoint of an older version says; a newer version wrote it.
    """
    if schema_of(content, path=path) < 2:
        journal, offset = path.with_name("metrics.csv"), content.pop("metrics_offset")
        known = journal.read_bytes()[:offset] if journal.exists() else b""
        if len(known) < offset:
            raise ValueError(
                f"{journal}: shorter than its checkpoint says\nfresh=true starts this run again from step 0"
            )
        content["metrics"] = known.decode()
        weights = content["state"]["model"]
        content["state"]["model"] = {renamed(name): tensor for name, tensor in weights.items()}
    content["origin"]["settings"] = upgrade_settings(content["origin"]["settings"], path=path)
    return content


def renamed(name: str) -> str:
    """The name of a parameter or buffer of schema 1: `stage1.0.convs.0.weight` -> `layer1.0.conv1.weight`."""
    for pattern, new in RENAMED:
        name = re.sub(pattern, new, name)
    return name


def kept_defaults(stored: Mapping[str, Any], settings: Mapping[str, Any], *, given: Collection[str]) -> dict[str, Any]:
    """What a stored run goes on with instead of today's defaults: those of its time, where the user named no value.

    Args:
        stored: the run's own settings, upgraded.
        settings: those of the command.
        given: keys, with dots, that the user named.
    """
    then, now = flatten(dict(stored)), flatten(dict(settings))
    changed = {
        key: default for since, new in NEW_DEFAULTS.items() if stored["schema"] < since for key, default in new.items()
    }
    return {key: then[key] for key, default in changed.items() if key not in given and now[key] == default}
