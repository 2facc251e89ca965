"""What the papers report, and whether a run's numbers may stand beside it.

Sources: [P1] He et al., Deep Residual Learning, arXiv 1512.03385; [P2] He et al., Identity Mappings, arXiv 1603.05027.
"""

import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from resnet_exp.nets.table import paper_warmup
from resnet_exp.runs.schema import DRAWN, ZEROED
from resnet_exp.study.identity import is_as_called, spec_of
from resnet_exp.study.runs import recorded

FILE = Path(__file__).with_name("published.csv")
DATASETS = ("CIFAR-10", "CIFAR-100")  # as the runs record them: `title` in conf/data/


@dataclass(frozen=True)
class Published:
    """One published number.

    Args:
        net: our name for the net, see `nets.table.net_name`.
        dataset: one of `DATASETS`.
        metric: `test_error`.
        value: in %; None where the source gives a bound alone, which `note` then holds.
        sd: standard deviation over the seeds, in points; None if not given.
        seeds: runs behind the value; None if not given.
        statistic: what the value is of its runs: `mean`, `median`, `best`, `lowest`, `highest`; empty where the source
            gives one number and does not say.
        source: who reports it.
        note: what the value is, in words, if it is not the only one of its source.
    """

    net: str
    dataset: str
    metric: str
    value: float | None
    sd: float | None
    seeds: int | None
    statistic: str
    source: str
    note: str

    @property
    def like_a_mean(self) -> bool:
        """Whether a measured mean may be held against it: the median or the best of five says nothing about theirs."""
        return self.value is not None and self.statistic in ("mean", "")


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
                statistic=row["statistic"],
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
        holds: whether the value, in a summary, is the published one.
        otherwise: the obstacle, with `{}` for the value.
        missing: the obstacle if nothing is recorded; empty: an old summary is given the benefit of the doubt.
    """

    key: str
    holds: Callable[[Any, Mapping[str, Any]], bool]
    otherwise: str
    missing: str = ""


def equal(key: str, wanted: object, *, what: str) -> Check:
    return Check(key, lambda value, _: bool(value == wanted), f"{what} {{}} instead of {wanted}")


def warms_up_as_published(steps: int, summary: Mapping[str, Any]) -> bool:
    """Whether the learning rate warms up for as many steps as in the paper of the block's version."""
    spec = spec_of(summary)
    return spec is None or steps == paper_warmup(spec)


def begins_as_published(initialisation: str, summary: Mapping[str, Any]) -> bool:
    """Whether no residual branch starts at zero; a plain net has none that could."""
    spec = spec_of(summary)
    return ZEROED not in initialisation or (spec is not None and spec.shortcut == "none")


# The recipe of [P1] 4.2, what distorts a number most first.
CHECKS = (
    Check("dataset.name", lambda name, _: name in DATASETS, "another data set ({})", missing="data set not recorded"),
    equal("dataset.image_size", 32, what="image size"),
    Check("steps", lambda steps, _: steps >= 64_000, "{:,} of 64,000 steps", missing="steps not recorded"),
    equal("width", 16, what="width"),
    Check("net", lambda _, summary: is_as_called(summary), "another net than the published one of its name"),
    # 45,000 are left with 5,000 for validation; the paper does not say which its final nets used.
    Check("choices.initial_weights", lambda whose, _: whose == DRAWN, "first weights that were not drawn ({})"),
    Check("choices.initialisation", begins_as_published, "residual branches that start at zero"),
    Check("n_train", lambda images, _: images >= 45_000, "{:,} training images instead of at least 45,000"),
    Check("n_test", lambda images, _: images >= 10_000, "{:,} test images instead of 10,000"),
    Check("choices.augmentation", lambda how, _: how != "none", "no augmentation"),
    # Whether or not training is augmented, a test then sees the middle of the image alone.
    Check("choices.padding", lambda border, _: border != "none", "resized crops instead of crops of the padded image"),
    equal("choices.batch_size", 128, what="batch size"),
    equal("choices.lr", 0.1, what="learning rate"),
    equal("choices.milestones", [32_000, 48_000], what="milestones"),
    Check("choices.warmup_steps", warms_up_as_published, "a warm-up of {:,} steps, which is not the paper's"),
    equal("choices.momentum", 0.9, what="momentum"),
    equal("choices.weight_decay", 1e-4, what="weight decay"),
    Check("choices.weight_decay_on", lambda which, _: which == "all", "weight decay on {} only"),
    Check("choices.precision", lambda name, _: name == "off", "mixed precision ({})"),
)


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
        elif not check.holds(value, summary):
            found.append(check.otherwise.format(value))
    return [obstacle for obstacle in found if obstacle]
