"""What the papers report, and whether a run's numbers may stand beside it. Knows no torch."""

import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("published.csv")
DATASETS = ("CIFAR-10", "CIFAR-100")  # as the runs record them: `title` in conf/data/


@dataclass(frozen=True)
class Published:
    """One published number.

    Args:
        net: our name for the net, see `config.run_name`.
        dataset: one of `DATASETS`.
        metric: `test_error`.
        value: in %; None where the source gives a bound alone, which `note` then holds.
        sd: standard deviation over the seeds, in points; None if not given.
        seeds: runs behind the value; None if not given.
        source: who reports it.
        note: what the value is, if it is not the only one of its source.
    """

    net: str
    dataset: str
    metric: str
    value: float | None
    sd: float | None
    seeds: int | None
    source: str
    note: str


@cache
def load_published() -> list[Published]:
    """Every row of published.csv, in its order."""
    with FILE.open(encoding="utf-8", newline="") as file:
        return [
            Published(
                net=row["net"],
                dataset=row["dataset"],
                metric=row["metric"],
                value=float(row["value"]) if row["value"] else None,
                sd=float(row["sd"]) if row["sd"] else None,
                seeds=int(row["seeds"]) if row["seeds"] else None,
                source=row["source"],
                note=row["note"],
            )
            for row in csv.DictReader(file, strict=True)
        ]


def published_for(net: str, *, dataset: str = "CIFAR-10") -> list[Published]:
    """What is known of one net, like `resnet56`, on one data set; empty if nothing is."""
    return [row for row in load_published() if (row.net, row.dataset) == (net, dataset)]


@dataclass(frozen=True)
class Check:
    """One condition of a fair comparison.

    Args:
        key: where `summary.json` holds the value, with dots.
        holds: whether the value is the published one.
        otherwise: the obstacle, with `{}` for the value.
        missing: the obstacle if nothing is recorded; empty: an old summary is given the benefit of the doubt.
    """

    key: str
    holds: Callable[[Any], bool]
    otherwise: str
    missing: str = ""


def equal(key: str, wanted: object, *, what: str) -> Check:
    return Check(key, lambda value: bool(value == wanted), f"{what} {{}} instead of {wanted}")


# The recipe of arXiv 1512.03385 section 4.2, what distorts a number most first.
CHECKS = (
    Check("dataset.name", lambda name: name in DATASETS, "another data set ({})", missing="data set not recorded"),
    equal("dataset.image_size", 32, what="image size"),
    Check("steps", lambda steps: steps >= 64_000, "{:,} of 64,000 steps", missing="steps not recorded"),
    equal("width", 16, what="width"),
    # 45,000 are left with 5,000 for validation; the paper does not say which its final nets used.
    Check("n_train", lambda images: images >= 45_000, "{:,} training images instead of at least 45,000"),
    Check("choices.augmentation", lambda how: how != "none", "no augmentation"),
    equal("choices.batch_size", 128, what="batch size"),
    equal("choices.lr", 0.1, what="learning rate"),
    equal("choices.milestones", [32_000, 48_000], what="milestones"),
    equal("choices.momentum", 0.9, what="momentum"),
    equal("choices.weight_decay", 1e-4, what="weight decay"),
)


def recorded(summary: Mapping[str, Any], key: str) -> Any:
    """The value under a dotted key, or None."""
    value: Any = summary
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def obstacles(summary: Mapping[str, Any]) -> list[str]:
    """Why the numbers of a run cannot be compared with published ones, the gravest first; empty if they can.

    Args:
        summary: the run's `summary.json`; keys may be missing, as in an old or foreign one.
    """
    found = []
    for check in CHECKS:
        value = recorded(summary, check.key)
        if value is None:
            found.append(check.missing)
        elif not check.holds(value):
            found.append(check.otherwise.format(value))
    return [obstacle for obstacle in found if obstacle]
