"""Where rows stand, and which are left out so that a page does not become too tall."""

from functools import partial
from itertools import pairwise

import pytest

from resnet_exp.nets.spec import BlockSpec, Head, NetSpec, Stage, Stem
from resnet_exp.study.net_columns import (
    PITCH,
    TALLEST_PAGE,
    TALLEST_STAGE,
    Column,
    Listing,
    by_size,
    side_by_side,
    stage_by_stage,
)
from resnet_exp.study.net_rows import Row, rows_of

BASIC, BOTTLENECK = BlockSpec((3, 3)), BlockSpec((1, 3, 1), narrow=4, strided=1)


def cifar(blocks: int, *, shortcut: str = "A") -> NetSpec:
    stages = tuple(Stage(blocks, 16 * 2**index, stride=2 if index else 1) for index in range(3))
    return NetSpec(Stem(16), stages, BASIC, shortcut=shortcut)


def imagenet(*counts: int, block: BlockSpec = BASIC, shortcut: str = "A") -> NetSpec:
    stages = tuple(
        Stage(count, 64 * 2**index * block.narrow, stride=2 if index else 1) for index, count in enumerate(counts)
    )
    return NetSpec(Stem(64, kernel=7, stride=2, pool=True), stages, block, shortcut=shortcut)


def vgg(*counts: int) -> NetSpec:
    stages = tuple(Stage(count, min(64 * 2**index, 512), pool=True) for index, count in enumerate(counts))
    return NetSpec(None, stages, BlockSpec((3,)), norm="none", shortcut="none", head=Head(7, (4096, 4096)))


def listing(spec: NetSpec, *, image_size: int = 32) -> Listing:
    return partial(rows_of, spec, image_size=image_size, num_classes=10)


def height_of_first(column: Column, *, size: int) -> float:
    return next(y for row, y in zip(column.rows, column.heights, strict=True) if row.size == size)


def test_the_nets_of_the_papers_figure_are_in_full_and_equal_sizes_begin_at_one_height() -> None:
    specs = [vgg(2, 2, 4, 4, 4), imagenet(3, 4, 6, 3, shortcut="none"), imagenet(3, 4, 6, 3)]
    columns = side_by_side([listing(spec, image_size=224) for spec in specs], titles=[1.0, 1.0, 1.0])
    for spec, column in zip(specs, columns, strict=True):
        assert column.rows == rows_of(spec, image_size=224, num_classes=10)
        steps = [after - before for before, after in pairwise(column.heights)]
        assert min(steps) == pytest.approx(PITCH)
    for size in (224, 112, 56, 28, 14, 7, 0):
        assert len({round(height_of_first(column, size=size), 6) for column in columns}) == 1


def test_a_stage_stays_together_where_its_stride_comes_late() -> None:
    """The first 1x1 convolution of such a stage still gives the larger map."""
    specs = [imagenet(1, 2, block=BOTTLENECK), imagenet(4, 2, block=BOTTLENECK)]
    for column in side_by_side([listing(spec, image_size=64) for spec in specs], titles=[1.0, 1.0]):
        stage = [y for row, y in zip(column.rows, column.heights, strict=True) if row.stage == 2]
        assert [row.size for row in column.rows if row.stage == 2] == [16, 8, 8, 8, 8, 8]
        assert stage[-1] - stage[0] == pytest.approx(5 * PITCH)


def test_a_map_that_grows_before_the_head_does_not_stand_above_what_feeds_it() -> None:
    rows = listing(vgg(1, 1, 1, 1, 1))(None)
    assert [row.size for row in rows][-5:] == [1, 7, 0, 0, 0]
    assert [row for ((*of_one_size,),) in by_size([rows]) for row in of_one_size] == rows


@pytest.mark.parametrize("titles", [[1.0, 1.0], [1.0, 4.0], [4.0, 4.0], [5.0, 0.5]])
def test_columns_and_titles_stand_clear_of_each_other(titles: list[float]) -> None:
    one, other = side_by_side([listing(cifar(1, shortcut="B")), listing(cifar(1))], titles=titles)
    assert one.left > 0.65  # room for the sizes
    assert one.x - titles[0] / 2 >= 0
    assert one.end < other.left
    assert one.x + titles[0] / 2 < other.x - titles[1] / 2
    assert one.end > one.right + 0.9  # an arc and its words


@pytest.mark.parametrize(("blocks", "in_full"), [(3, True), (7, True), (9, False), (18, False), (200, False)])
def test_one_nets_stages_stand_beside_each_other_and_are_shortened_when_long(blocks: int, in_full: bool) -> None:
    columns = stage_by_stage(listing(cifar(blocks)), stages=3)
    drawn = [row for column in columns for row in column.rows]
    assert (drawn == rows_of(cifar(blocks), image_size=32, num_classes=10)) == in_full
    assert [column.rows[0].label for column in columns] == ["image", "3x3 conv, 32, /2", "3x3 conv, 64, /2"]
    assert columns[-1].rows[-1].label == "fc, 10"
    assert max(column.bottom for column in columns) <= TALLEST_STAGE * PITCH
    assert sum(row.kind == "gap" for row in drawn) == (0 if in_full else 3)
    for column, following in pairwise(columns):
        assert column.end < following.left - 0.65


def test_two_blocks_are_drawn_before_one_is() -> None:
    def in_stage_2(columns: list[Column]) -> list[list[Row]]:
        return [[row for row in column.rows if row.stage == 2] for column in columns]

    two = in_stage_2(side_by_side([listing(cifar(9)), listing(cifar(200))], titles=[1.0, 1.0]))
    assert [len(rows) for rows in two] == [7, 7]
    nets = [imagenet(3, 4, 6, 3, block=BOTTLENECK), imagenet(3, 8, 36, 3, block=BOTTLENECK)]
    columns = side_by_side([listing(net, image_size=224) for net in nets], titles=[1.0, 1.0])
    assert [len(rows) for rows in in_stage_2(columns)] == [7, 7]
    assert max(column.bottom for column in columns) <= TALLEST_PAGE * PITCH
