"""What the papers say of a net's size, and the table that sets nets side by side."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from resnet_exp.nets.names import is_usual, width_of
from resnet_exp.nets.spec import NetSpec
from resnet_exp.study.cells import Table

FILE = Path(__file__).with_name("published_sizes.csv")


@dataclass(frozen=True)
class PublishedSize:
    """The size of one net as its authors give it; None where they do not.

    Args:
        width: of the net, as `width=` has it.
        image_size: pixels a side of the image that the multiply-adds are for.
        classes: that the net tells apart.
        parameters: in millions, as many digits as published.
        multiply_adds: in billions, for one image, likewise. The papers call them FLOPs.
    """

    width: int
    image_size: int
    classes: int
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
            row["net"]: PublishedSize(
                int(row["width"]),
                int(row["image_size"]),
                int(row["classes"]),
                row["parameters"] or None,
                row["multiply_adds"] or None,
                row["source"],
            )
            for row in csv.DictReader(file, strict=True)
        }


def published_size(size: SizedNet) -> PublishedSize | None:
    """What is published of this very net on such images; None if nothing is.

    The name alone does not say it: a net of another width or number of classes, or with a stage, stem or head of its
    own, has another size. On images of another size the parameters alone are the published ones.
    """
    known = load_published_sizes().get(size.name)
    if known is None or not is_usual(size.spec):
        return None
    if (width_of(size.spec), size.num_classes) != (known.width, known.classes):
        return None
    if size.image_size != known.image_size:
        known = replace(known, multiply_adds=None)
    return known if known.parameters or known.multiply_adds else None


def size_table(sizes: Sequence[SizedNet]) -> Table:
    """Nets side by side, beside what is published of them."""
    rows = []
    for size in sizes:
        known = published_size(size)
        rows.append(
            [
                size.name,
                str(size.spec.depth),
                f"{size.params:,}",
                f"{known.parameters} million" if known and known.parameters else "-",
                f"{size.macs:,}",
                f"{known.multiply_adds} billion" if known and known.multiply_adds else "-",
                f"{size.image_size}x{size.image_size}",
                f"{size.num_classes:,}",
            ]
        )
    header = ["net", "layers", "parameters", "published", "multiply-adds", "published", "image", "classes"]
    return Table("Nets side by side", header, rows, "")
