"""Where the rows of a drawing stand: in columns, in inches from the page's top left corner."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate

from resnet_exp.study.net_rows import Row

BOX_WIDTH, BOX_HEIGHT, PITCH = 1.4, 0.155, 0.23  # PITCH: from one box to the next
BETWEEN = PITCH - BOX_HEIGHT
GAP_HEIGHT = 1.3 * PITCH
REACH, WORDS = 0.4, 0.62  # of a shortcut to the right of its boxes; of the words beside a projection
SIZES, GUTTER = 0.7, 0.3  # for the output sizes to the left of boxes; between columns
# Rows of nets side by side, or of one net's longest stage, beyond which equal blocks are left out.
TALLEST_PAGE, TALLEST_STAGE = 45, 18

Listing = Callable[[int | None], list[Row]]  # the rows of a net, of which equal blocks so many (see `rows_of`)


@dataclass(frozen=True)
class Column:
    """Rows below each other; `x` is the middle of their boxes, `heights` are the middles of the rows."""

    x: float
    rows: list[Row]
    heights: list[float]

    @property
    def left(self) -> float:
        return self.x - BOX_WIDTH / 2

    @property
    def right(self) -> float:
        """Of the boxes; shortcuts reach further."""
        return self.x + BOX_WIDTH / 2

    @property
    def end(self) -> float:
        """Of the shortcuts and what is said about them."""
        return self.right + room_for_shortcuts(self.rows)

    @property
    def bottom(self) -> float:
        return self.heights[-1] + height_of(self.rows[-1:]) / 2


def side_by_side(nets: Sequence[Listing], *, titles: Sequence[float]) -> list[Column]:
    """A column a net; outputs of one size begin at one height, and nobody's title touches another's.

    Args:
        titles: the width of what is written above each net.
    """
    listed = shortened(nets, fits=lambda listed: sum(map(tallest, by_size(listed))) <= TALLEST_PAGE * PITCH)
    heights: list[list[float]] = [[] for _ in nets]
    top = 0.0
    for of_one_size in by_size(listed):
        for of_net, rows in zip(heights, of_one_size, strict=True):
            of_net += middles(rows, top=top)
        top += tallest(of_one_size)
    columns: list[Column] = []
    for index, rows in enumerate(listed):
        x = max(SIZES + BOX_WIDTH / 2, titles[0] / 2)
        if columns:
            before = columns[-1]
            x = GUTTER + max(before.end + BOX_WIDTH / 2, before.x + (titles[index - 1] + titles[index]) / 2)
        columns.append(Column(x, rows, heights[index]))
    return columns


def by_size(nets: list[list[Row]]) -> list[list[list[Row]]]:
    """For each output size, from large to small, the rows of each net."""
    levels = [levels_of(rows) for rows in nets]
    return [
        [
            [row for row, level in zip(rows, of_net, strict=True) if level == size]
            for rows, of_net in zip(nets, levels, strict=True)
        ]
        for size in sorted({level for of_net in levels for level in of_net}, reverse=True)
    ]


def levels_of(rows: list[Row]) -> list[int]:
    """Beside which output size each row stands: a stage as a whole, though its first layers may precede the stride.

    A map that grows again, as before VGG's head if images are small, stays with the smaller ones: columns run down.
    """
    of_stage = {row.stage: row.size for row in rows if row.stage and row.kind == "layer"}
    sizes = (of_stage.get(row.stage, row.size) if row.kind in ("layer", "gap") else row.size for row in rows)
    return list(accumulate(sizes, min))


def stage_by_stage(net: Listing, *, stages: int) -> list[Column]:
    """A column a stage; the stem stands in the first, the head in the last."""
    (rows,) = shortened([net], fits=lambda listed: tallest(by_stage(listed[0], stages=stages)) <= TALLEST_STAGE * PITCH)
    columns: list[Column] = []
    for of_stage in by_stage(rows, stages=stages):
        left = columns[-1].end + GUTTER if columns else 0.0
        columns.append(Column(left + SIZES + BOX_WIDTH / 2, of_stage, middles(of_stage, top=0.0)))
    return columns


def by_stage(rows: list[Row], *, stages: int) -> list[list[Row]]:
    reached = list(accumulate((row.stage for row in rows), max))
    return [
        [row for row, stage in zip(rows, reached, strict=True) if max(stage, 1) == number]
        for number in range(1, stages + 1)
    ]


def shortened(nets: Sequence[Listing], *, fits: Callable[[list[list[Row]]], bool]) -> list[list[Row]]:
    """The rows of each net, in full if that fits; else with two of many equal blocks, else with one."""
    for keep in (None, 2, 1):
        listed = [net(keep) for net in nets]
        if fits(listed):
            break
    return listed


def middles(rows: list[Row], *, top: float) -> list[float]:
    return [top + height_of(rows[:index]) + height_of([row]) / 2 for index, row in enumerate(rows)]


def tallest(columns: list[list[Row]]) -> float:
    return max(map(height_of, columns))


def height_of(rows: list[Row]) -> float:
    return sum(GAP_HEIGHT if row.kind == "gap" else PITCH for row in rows)


def room_for_shortcuts(rows: list[Row]) -> float:
    shortcuts = [row.begins for row in rows if row.begins]
    return REACH * bool(shortcuts) + WORDS * any(shortcut.projection for shortcut in shortcuts)
