"""Settings by their keys, dots and all, as files hold them: what makes one run another."""

from typing import Any

from resnet_exp.grammar import written

# Settings that change where or how fast a run goes, or what is asked of it, not what it computes: free on resume.
FREE = (
    *("schema", "study", "name", "task", "from_", "weights", "what", "onnx", "fresh", "dry_run", "stop_on_failure"),
    *("device", "threads", "compile", "data.title", "data.root", "data.download"),
    *("train.save_every", "train.snapshots"),
)


def flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested to dotted: {"optim": {"lr": 0.1}} -> {"optim.lr": 0.1}."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


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
