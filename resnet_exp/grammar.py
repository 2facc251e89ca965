"""How a setting is written in a command: as users write it, and as Hydra's grammar reads it."""

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

NOT_TEXT = ("null", "true", "false", "nan", "inf")


def written(value: Any) -> str:
    """A value as users write it: null, true, [3,5]."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return "[" + ",".join(map(written, value)) + "]" if isinstance(value, list) else str(value)


def settings_in(words: Sequence[str]) -> dict[str, Any]:
    """Settings as a command writes them, by keys with dots: [optim.lr=0.1, blocks=[3,3]] -> {"optim.lr": 0.1, ...}.

    Raises:
        ValueError: a word has no value.
    """
    found: dict[str, Any] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            raise ValueError(f"{word}: not of the form key=value")
        parsed: Any = OmegaConf.to_container(OmegaConf.from_dotlist([f"value={value}"]))
        found[key] = parsed["value"]
    return found


def quoted(value: Any) -> str:
    """A value as Hydra's grammar reads it: text that could be taken for anything else stands in quotes."""
    if not isinstance(value, str):
        return written(value)
    if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_/.-]*", value) and value.lower() not in NOT_TEXT:
        return value
    escaped = re.sub(r"(\\*)'", lambda found: 2 * found[1] + r"\'", value)  # the quote, and backslashes before it
    escaped = re.sub(r"(\\+)$", lambda found: 2 * found[1], escaped)  # those before the closing quote
    return "'" + re.sub(r"(\\*)\$\{", lambda found: 2 * found[1] + r"\${", escaped) + "'"


def spelled_out(word: str) -> str:
    """A word of a command as Hydra's grammar reads it: see SHORTHANDS."""
    for pattern, longer in SHORTHANDS:
        if found := re.fullmatch(pattern, word, re.DOTALL):
            return longer(found)
    return word


def quoted_settings(words: str) -> str:
    """What stands in `grow_from=[...]`, each setting in the quotes that its `=` takes."""
    return ",".join(map(quoted, re.split(r",(?![^\[]*\])", words)))  # but not at a comma within [3,3]


# What users write, and what it is in full.
SHORTHANDS: tuple[tuple[str, Callable[[re.Match[str]], str]], ...] = (
    (r"(\+*)from=(.*)", lambda found: f"{found[1]}from_={found[2]}"),  # in Python `from` cannot be a name
    (r"(\+*)what=([^\[\]]+)", lambda found: f"{found[1]}what=[{found[2]}]"),  # a list
    (r"(\+*seed=)([1-9]\d*)x", lambda found: found[1] + ",".join(map(str, range(int(found[2]))))),  # five seeds: 5x
    (r"(\+*grow_from=)\[([^'\"]*)\]", lambda found: f"{found[1]}[{quoted_settings(found[2])}]"),
)


def at_home(word: str) -> str:
    """A word of a command whose value begins with `~/`, as in `data.root=~/images`: a shell leaves that as it is."""
    found = re.fullmatch(r"([+\w./@]+)=(~(?:/.*)?)", word)
    return f"{found[1]}={quoted(str(Path(found[2]).expanduser()))}" if found else word


def expanded(folder: Path) -> Path:
    """`~` is the user's home here, too, where a shell leaves it alone: `--out=~/report`."""
    with suppress(RuntimeError):
        return folder.expanduser()
    return folder
