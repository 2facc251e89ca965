"""What a run was begun with: it goes into every checkpoint, and whoever takes the checkpoint up is compared with it."""

import logging
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from resnet_exp.config import Config
from resnet_exp.grammar import written
from resnet_exp.runs.schema import SCHEMA
from resnet_exp.settings import differences

log = logging.getLogger(__name__)


def check_settings(path: Path, stored: dict[str, Any], config: Config) -> None:
    """Raises ValueError, naming the keys that differ, if the run stored in `path` is another experiment."""
    changed = differences(stored, config.to_dict())
    if changed:
        shown = ", ".join(changed[:4]) + (f" and {len(changed) - 4} more" if len(changed) > 4 else "")
        hint = "give the settings it was trained with; its config.yaml holds them"
        if config.task == "train":
            hint = "study=ANOTHER keeps it and trains this one elsewhere; fresh=true replaces it"
        raise ValueError(f"{path} holds a run with other settings: {shown}\n{hint}")


@dataclass(frozen=True)
class Origin:
    """Settings, images and machine of a run.

    Args:
        path: the run folder.
        settings: the whole configuration, and the `schema` it was begun with.
        images: fingerprint of the data set.
        environment: what the last bits of every number depend on, see `training.facts.environment`.
        changes: how the environment changed on the way: {"step": 300, "threads": "2 -> 4"}.
    """

    path: Path
    settings: dict[str, Any]
    images: str
    environment: dict[str, Any]
    changes: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def now(cls, path: Path, config: Config, images: str, environment: dict[str, Any]) -> "Origin":
        """Of a run that begins."""
        return cls(path, {"schema": SCHEMA} | config.to_dict(), images, environment)

    def to_dict(self) -> dict[str, Any]:
        """All but the path, which may change."""
        return {key: value for key, value in vars(self).items() if key != "path"}

    def check_images(self, fingerprint: str, *, root: str) -> None:
        """Raises ValueError unless the images under `root` are those that the run began on."""
        if fingerprint != self.images:
            raise ValueError(
                f"{self.path}: this run began on other images than data.root={root} holds now"
                "\nstudy=ANOTHER trains on them elsewhere; fresh=true starts this run again"
            )

    def after(self, earlier: "Origin", *, step: int) -> "Origin":
        """This origin, with the changes since the one before it, which are also logged as a warning."""
        then, now = earlier.environment, self.environment
        keys = [key for key in then if then[key] != now.get(key)]  # what an older version did not record is no change
        changed = {key: f"{written(then.get(key))} -> {written(now.get(key))}" for key in keys}
        if changed:
            shown = ", ".join(f"{key}: {change}" for key, change in changed.items())
            log.warning("%s: from step %d on, the last digits may differ from an undisturbed run's", shown, step)
        settings = self.settings | {"schema": earlier.settings["schema"]}
        changes = [*earlier.changes, *([{"step": step} | changed] if changed else [])]
        return replace(self, settings=settings, changes=changes)
