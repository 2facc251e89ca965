"""`task=describe`: a table of the net's layers, for one image, and a drawing; several nets side by side."""

import logging
from collections.abc import Collection, Sequence
from pathlib import Path

from resnet_exp.config import Config
from resnet_exp.data.classes import count_classes
from resnet_exp.nets.cost import LayerCost, costs_of
from resnet_exp.nets.names import net_name
from resnet_exp.nets.table import LAYOUTS, net_spec
from resnet_exp.study.cells import lines_of
from resnet_exp.study.sizes import SizedNet, published_size, size_table
from resnet_exp.text import aligned

HEAD = ("layer", "kind", "output", "parameters", "share", "multiply-adds", "share", "sees")
WORDS = (0, 1, 2)  # columns of them

log = logging.getLogger(__name__)


def describe_net(config: Config, *, given: Collection[str]) -> SizedNet:
    """Prints the table of one net.

    Args:
        given: the settings that the user named.
    """
    size, costs = measured(config, given=given)
    rows = [row_of(cost, size=size) for cost in costs]
    foot = (size.name, f"{size.spec.depth} layers", "", f"{size.params:,}", "", f"{size.macs:,}", "", "")
    print("\n".join(aligned([HEAD, *rows, foot], words=WORDS)))
    print(f"for one image of {size.image_size}x{size.image_size} and {size.num_classes:,} classes")
    if published := published_size(size):
        print(f"published: {published}")
    if config.data.name == "image_folder":
        print(folder_line(config))
    return size


def measured(config: Config, *, given: Collection[str]) -> tuple[SizedNet, list[LayerCost]]:
    """The net with what it takes, and each of its layers, on the images of `data`.

    Where there is no run and the user names no images, a net that was made for others than CIFAR's is described on
    those.
    """
    layout = LAYOUTS[config.layout]
    named = config.from_ is not None or any(key.partition(".")[0] in ("data", "experiment") for key in given)
    if layout.published_on and not named:
        image_size, num_classes = layout.published_on
    else:
        image_size, num_classes = config.data.image_size, count_classes(config.data)
    spec = net_spec(config.net, image_size=image_size)
    costs = costs_of(spec, num_classes=num_classes, image_size=image_size)
    params, macs = sum(cost.params for cost in costs), sum(cost.macs for cost in costs)
    return SizedNet(net_name(spec), spec, image_size, num_classes, params, macs), costs


def row_of(cost: LayerCost, *, size: SizedNet) -> tuple[str, ...]:
    seen = cost.receptive_field
    return (
        *(cost.path, cost.kind, "x".join(map(str, cost.shape))),
        *(f"{cost.params:,}", percent(cost.params, size.params)),
        *(f"{cost.macs:,}", percent(cost.macs, size.macs)),
        "all" if seen is None else f"{seen}x{seen}",
    )


def percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if part else "-"


def folder_line(config: Config) -> str:
    """What is in a folder of images, from the files themselves."""
    from resnet_exp.data.image_folder import describe_folder  # brings torchvision, which takes a second

    found = describe_folder(Path(config.data.root))
    width, height = spread(found.widths), spread(found.heights)
    counted = f"{found.train:,} training and {found.test:,} test images of {len(found.classes):,} classes"
    return f"{config.data.root}: {counted}, {width} pixels wide and {height} high; a net sees {config.data.image_size}"


def spread(sides: tuple[int, int, int]) -> str:
    """`32`, `20 to 64 (median 40)`: of the smallest, the median and the largest."""
    least, median, most = sides
    return f"{least}" if least == most else f"{least} to {most} (median {median})"


def draw(sizes: Sequence[SizedNet], *, folder: Path) -> None:
    """Draws the nets side by side into `describe.png`, `.svg` and `.pdf`, and says where."""
    from resnet_exp.study.figure import save  # bring matplotlib
    from resnet_exp.study.net_drawing import draw_nets

    images = {f"one image of {size.image_size}x{size.image_size}, {size.num_classes:,} classes" for size in sizes}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        save(draw_nets(sizes, caption=f"Multiply-adds for {' / '.join(sorted(images))}"), folder / "describe")
    except OSError as error:
        log.warning("the nets could not be drawn: %s", error)
    else:
        print(f"drawn: {folder / 'describe.svg'}")


def compare_nets(configs: Sequence[Config], *, given: Collection[str], folder: Path) -> None:
    """What a sweep of descriptions ends with: its nets side by side, as a table and as a drawing."""
    sizes: list[SizedNet] = []
    for config in configs:
        size, _ = measured(config, given=given)
        if size not in sizes:  # of several seeds
            sizes.append(size)
    print("", *lines_of(size_table(sizes)), "", sep="\n")
    draw(sizes, folder=folder)
