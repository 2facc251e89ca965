"""How a setting is written in a command: as users write it, and as Hydra's grammar reads it."""

import re
from collections.abc import Sequence
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


def as_key(word: str) -> str:
    """A word of a command with the name that a setting has in Python, where `from` cannot be one; `what=` as the list
    that it is, whose brackets nobody wants to type; what stands in `grow_from=` in the quotes that `=` takes; and
    `seed=5x`, five seeds, as these."""
    if found := re.fullmatch(r"(\+*grow_from=)\[([^'\"]*)\]", word):
        inner = re.split(r",(?![^\[]*\])", found[2])  # not within [3,3]
        return f"{found[1]}[{','.join(map(quoted, inner))}]"
    if found := re.fullmatch(r"(\+*seed=)([1-9]\d*)x", word):
        return found[1] + ",".join(map(str, range(int(found[2]))))
    word = re.sub(r"^(\+*)what=([^\[\]]+)$", r"\1what=[\2]", word)
    return re.sub(r"^(\+*)from=", r"\1from_=", word)


def at_home(word: str) -> str:
    """A word of a command whose value begins with `~/`, as in `data.root=~/images`: a shell leaves that as it is."""
    found = re.fullmatch(r"([+\w./@]+)=(~(?:/.*)?)", word)
    return f"{found[1]}={quoted(str(Path(found[2]).expanduser()))}" if found else word


def expanded(folder: Path) -> Path:
    """`~` is the user's home here, too, where a shell leaves it alone: `--out=~/report`."""
    with suppress(RuntimeError):
        return folder.expanduser()
    return folder
