"""Settings by their keys, dots and all, as files hold them: what makes one run another."""

import hashlib
import json
from typing import Any

from resnet_exp.grammar import written

# What a command says of itself: whoever takes a run's settings from its folder takes all but these.
OF_COMMAND = ("schema", "task", "from_", "weights", "what", "onnx", "fresh", "dry_run", "stop_on_failure", "threads")
# Settings that change where or how fast a run goes, or what is asked of it, not what it computes: free on resume.
FREE = (
    *OF_COMMAND,
    *("study", "name", "device", "compile", "data.title", "data.root", "data.download"),
    *("train.save_every", "train.snapshots"),
)


def flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested to dotted: {"optim": {"lr": 0.1}} -> {"optim.lr": 0.1}."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def fingerprint(settings: dict[str, Any]) -> str:
    """Equal for two runs that differ in nothing but where, how fast and under which name they are trained."""
    own = {key: value for key, value in flatten(settings).items() if key not in FREE}
    return hashlib.sha256(json.dumps(own, sort_keys=True).encode()).hexdigest()[:16]


def differences(stored: dict[str, Any], settings: dict[str, Any]) -> list[str]:
    """The settings in which a stored run is another experiment than `settings`, as `key: stored -> now`.

    A run is stored with the precision it began with; `amp=auto` takes any.
    """
    then, now = flatten(stored), flatten(settings)
    free = {*FREE, "amp"} if now.get("amp") == "auto" else {*FREE}
    return [
        f"{key}: {written(then.get(key))} -> {written(now.get(key))}"
        for key in sorted({*then, *now} - free)
        if then.get(key) != now.get(key)
    ]
