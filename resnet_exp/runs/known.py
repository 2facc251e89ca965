"""What the files of a run folder say of the run, whatever state it and they are in; nothing is written."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from resnet_exp.runs.folder import FAILURE, FINISHED, is_alive, read_config
from resnet_exp.runs.liveness import has_process

DAMAGED = "summary.json is damaged; the same command writes it anew"


def what_is_known(path: Path) -> tuple[Mapping[str, Any], str, str | None]:
    """What the run's files say of it; its status; why it failed.

    Raises:
        ValueError: the folder holds no run of ours.
    """
    file = path / "summary.json"
    summary = read(file)
    if not isinstance(summary.get("status"), str) or not isinstance(summary.get("seed"), int):
        return before_its_summary(path, damaged=file.exists() and not summary)
    summary, status = as_it_is(path, summary, again=lambda: read(file) or summary)
    return summary, status, one_line(summary.get("reason")) if status == "failed" else None


def as_it_is(path: Path, summary: dict[str, Any], *, again: Callable[[], dict[str, Any]]) -> tuple[dict[str, Any], str]:
    """What a run's `summary.json` says, and the status that the run has.

    It is `running` as long as a process has it, also where the summary says still `interrupted` or `failed`, as it does
    while the run prepares to go on; and `dead` if the summary alone says that it runs.

    Args:
        summary: what the file says.
        again: reads the file once more: the run may have ended between the two looks.
    """
    status = str(summary["status"])
    if status not in FINISHED and has_process(path, summary if status == "running" else {}):
        return summary, "running"
    if status == "running":
        summary = again()
        status = "dead" if summary.get("status") == "running" else str(summary.get("status"))
    return summary, status


def before_its_summary(path: Path, *, damaged: bool) -> tuple[Mapping[str, Any], str, str | None]:
    """The same of a run without a summary that can be read: it is being prepared, or was not prepared to the end."""
    failure = read(path / FAILURE)
    try:
        settings = read_config(path / "config.yaml") or read_config(path / ".hydra" / "config.yaml") or {}
    except ValueError:
        settings = {}
    seed = path.name.removeprefix("seed")
    known = {"seed": int(seed) if seed.isdecimal() else 0, "name": settings.get("name"), "host": None}
    known |= {"steps": recorded(settings, "train").get("steps")} | failure
    if is_alive(path):
        return known, "running", None
    if failure:
        return known, "failed", one_line(failure.get("reason"))
    if damaged and (path / "config.yaml").exists():
        return known, "failed", DAMAGED
    raise ValueError(f"{path}: no run folder")


def read(file: Path) -> dict[str, Any]:
    """What a JSON file holds; empty if there is none, or it is damaged."""
    try:
        values = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


def recorded(values: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = values.get(key)
    return found if isinstance(found, Mapping) else {}


def number(values: Mapping[str, Any], key: str) -> float | None:
    """The number under a key, written as one or as text; None if there is none."""
    value = values.get(key)
    try:
        return float(value) if isinstance(value, int | float | str) else None
    except ValueError:
        return None


def one_line(text: Any) -> str | None:
    """Text as it may stand in a row: no line ends, no codes that a terminal would obey."""
    words = " ".join(str(text or "").split())
    return "".join(letter for letter in words if letter.isprintable()) or None
