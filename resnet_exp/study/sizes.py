"""What the papers say of a net's size, and the table that sets nets side by side."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from resnet_exp.nets.spec import NetSpec
from resnet_exp.study.cells import Table

FILE = Path(__file__).with_name("published_sizes.csv")


@dataclass(frozen=True)
class PublishedSize:
    """The size of one net as its authors give it; None where they do not.

    Args:
        parameters: in millions, as many digits as published.
        multiply_adds: in billions, for one image of 224x224, likewise. The papers call them FLOPs.
    """

    parameters: str | None
    multiply_adds: str | None
    source: str

    def __str__(self) -> str:
        """`3.6 billion multiply-adds (He et al. 2015, …)`"""
        parts = [f"{self.parameters} million parameters"] if self.parameters else []
        parts += [f"{self.multiply_adds} billion multiply-adds"] if self.multiply_adds else []
        return f"{', '.join(parts)} ({self.source})"


@dataclass(frozen=True)
class SizedNet:
    """A net and what it takes: parameters, and multiply-adds for one image of `image_size` pixels a side."""

    name: str
    spec: NetSpec
    image_size: int
    num_classes: int
    params: int
    macs: int


@cache
def load_published_sizes() -> dict[str, PublishedSize]:
    """By our names for the nets, see `nets.table.net_name`."""
    with FILE.open(encoding="utf-8", newline="") as file:
        return {
            row["net"]: PublishedSize(row["parameters"] or None, row["multiply_adds"] or None, row["source"])
            for row in csv.DictReader(file, strict=True)
        }


def published_size(name: str) -> PublishedSize | None:
    """Of one net, like `imagenet-plain34`; None if nobody gives it."""
    return load_published_sizes().get(name)


def size_table(sizes: Sequence[SizedNet]) -> Table:
    """Nets side by side, beside what is published of them."""
    rows = []
    for size in sizes:
        known = published_size(size.name)
        as_published = known.multiply_adds if known and size.image_size == 224 else None
        rows.append(
            [
                size.name,
                str(size.spec.depth),
                f"{size.params:,}",
                f"{known.parameters} million" if known and known.parameters else "-",
                f"{size.macs:,}",
                f"{as_published} billion" if as_published else "-",
                f"{size.image_size}x{size.image_size}",
                f"{size.num_classes:,}",
            ]
        )
    header = ["net", "layers", "parameters", "published", "multiply-adds", "published", "image", "classes"]
    return Table("Nets side by side", header, rows, "")
