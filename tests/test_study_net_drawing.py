"""The drawing of nets: what is written, what is drawn where, and that all is on the page and can be read."""

from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, PathPatch
from matplotlib.text import Text

from resnet_exp.nets.spec import BlockSpec, Head, NetSpec, Stage, Stem
from resnet_exp.study.figure import save
from resnet_exp.study.net_drawing import draw_nets, short
from resnet_exp.study.sizes import SizedNet


def cifar(name: str, blocks: int, *, image_size: int = 32, **changes: Any) -> SizedNet:
    stages = tuple(Stage(blocks, 16 * 2**index, stride=2 if index else 1) for index in range(3))
    spec = replace(NetSpec(Stem(16), stages, BlockSpec((3, 3))), **changes)
    return SizedNet(name, spec, image_size, num_classes=10, params=269_722, macs=40_551_808)


def fully_connected(name: str, *, shortcut: str = "A") -> SizedNet:
    spec = NetSpec(Stem(64, kernel=0, inputs=192), (Stage(10, 64),), BlockSpec((0, 0)), order="pre", shortcut=shortcut)
    return SizedNet(name, spec, 8, num_classes=10, params=97_536, macs=94_848)


def vgg(name: str) -> SizedNet:
    stages = tuple(Stage(count, channels, pool=True) for count, channels in ((2, 64), (2, 128), (4, 256), (4, 512)))
    spec = NetSpec(None, stages, BlockSpec((3,)), norm="none", shortcut="none", head=Head(7, (4096, 4096)))
    return SizedNet(name, spec, 224, num_classes=1000, params=143_667_240, macs=19_632_062_464)


def bottleneck(name: str, *counts: int, **changes: Any) -> SizedNet:
    stages = tuple(Stage(count, 256 * 2**index, stride=2 if index else 1) for index, count in enumerate(counts))
    block = BlockSpec((1, 3, 1), narrow=4, strided=1)
    spec = replace(NetSpec(Stem(64, kernel=7, stride=2, pool=True), stages, block, shortcut="B"), **changes)
    return SizedNet(name, spec, 224, num_classes=1000, params=60_192_808, macs=11_513_620_480)


PAGES = {
    "one": [cifar("resnet20", 3)],
    "paper": [vgg("vgg15"), bottleneck("resnet50", 3, 4, 6, 3), bottleneck("plain50", 3, 4, 6, 3, shortcut="none")],
    "deep": [bottleneck("resnet152", 3, 8, 36, 3, shortcut="C")],
    "deepest": [cifar("resnet1202", 200)],
    "long names": [cifar("preact 20 whose name is not a short one", 3, order="pre"), cifar("W" * 30, 200)],
    "fully connected": [fully_connected("mlp22", shortcut="none"), fully_connected("resmlp22")],
    "one stage": [fully_connected("a net of one stage alone, whose name is longer than its boxes are wide")],
    "one vgg": [vgg("vgg15")],
    "unlike": [cifar("resnet20", 3), vgg("vgg15"), fully_connected("resmlp22")],
}


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def arcs(figure: Figure) -> list[PathPatch]:
    return [patch for patch in figure.findobj(PathPatch) if len(patch.get_path().vertices) == 6 and curved(patch)]


def curved(patch: PathPatch) -> bool:
    codes = patch.get_path().codes
    return codes is not None and 4 in codes


@pytest.mark.parametrize("name", PAGES)
def test_all_is_on_the_page_large_enough_and_clear_of_other_words(name: str) -> None:
    figure = draw_nets(PAGES[name], caption="which images, " * 10)
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw_without_rendering()  # a legend has no place before
    width, height = figure.get_size_inches()
    assert max(width, height) <= 14
    assert min(width, height) >= 3
    written = [text for text in figure.findobj(Text) if text.get_text()]
    extents = [text.get_window_extent(renderer) for text in written]
    for text, extent in zip(written, extents, strict=True):
        assert text.get_fontsize() >= 8.5
        assert min(extent.x0, extent.y0) >= 0, text
        assert extent.x1 <= width * figure.dpi, text
        assert extent.y1 <= height * figure.dpi, text
    for one, other in combinations(range(len(written)), 2):
        assert not extents[one].padded(-1.0).overlaps(extents[other]), (written[one], written[other])
    for patch in (*figure.findobj(FancyBboxPatch), *arcs(figure)):
        extent = patch.get_window_extent(renderer)
        assert min(extent.x0, extent.y0) >= 0
        assert extent.x1 <= width * figure.dpi


@pytest.mark.parametrize("name", PAGES)
def test_each_label_fits_its_box(name: str) -> None:
    figure = draw_nets(PAGES[name], caption="")
    renderer = FigureCanvasAgg(figure).get_renderer()
    boxes = [box.get_window_extent(renderer) for box in figure.findobj(FancyBboxPatch) if box.get_url()]
    places = {(round(text.get_position()[0], 3), round(text.get_position()[1], 3)): text for text in axes_texts(figure)}
    for box in boxes:
        x, y = figure.axes[0].transData.inverted().transform(((box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2))
        extent = places[round(float(x), 3), round(float(y), 3)].get_window_extent(renderer)
        assert box.x0 < extent.x0 < extent.x1 < box.x1


def axes_texts(figure: Figure) -> list[Text]:
    return list(figure.axes[0].texts)


def test_one_net_says_what_it_is() -> None:
    drawn = texts(draw_nets([cifar("resnet20", 3)], caption="CIFAR-10, 10 classes"))
    assert drawn[:2] == ["resnet20", "20 layers · 270 k parameters · 40.6 M multiply-adds"]
    for size in ("output size", "32x32", "16x16", "8x8", "vector", "CIFAR-10, 10 classes"):
        assert drawn.count(size) == 1
    assert drawn.count("3x3 conv, 16") == 7
    assert drawn.count("3x3 conv, 32, /2") == 1
    assert drawn.count("3x3 conv, 32") == 5


def test_nets_side_by_side_say_what_they_are_and_share_the_sizes() -> None:
    nets = [cifar("plain20", 3, shortcut="none"), cifar("preact20", 3, order="pre", norm="none")]
    drawn = texts(draw_nets([*nets, fully_connected("mlp")], caption=""))
    for line in (
        "plain20",
        "preact20",
        "mlp",
        "97.5 k parameters",
        "94.8 k multiply-adds",
        "22 layers",
        "8x8",
        "32x32",
    ):
        assert drawn.count(line) == 1
    assert drawn.count("20 layers") == 2
    notes = [line for line in drawn if "pre-activation" in line or "BN" in line]
    assert notes == ["pre-activation: ReLU-conv", "without BN", "pre-activation: BN-ReLU-fc", "BN-ReLU"]


@pytest.mark.parametrize("name", PAGES)
def test_sizes_run_down_below_their_heading(name: str) -> None:
    page = draw_nets(PAGES[name], caption="").axes[0].texts
    heading = next(text for text in page if text.get_text() == "output size")
    beside = [text for text in page if text.get_position()[0] == heading.get_position()[0]]
    beside.sort(key=lambda text: text.get_position()[1])
    first, *sizes = [text.get_text() for text in beside]
    assert first == "output size"
    numbers = [int(size.split("x")[0]) if size != "vector" else 0 for size in sizes]
    assert numbers == sorted(set(numbers), reverse=True)


@pytest.mark.parametrize(
    ("number", "written"),
    [
        (0, "0"), (999, "999"), (1000, "1.00 k"), (269_722, "270 k"), (999_499, "999 k"), (999_500, "1.00 M"),
        (21_797_672, "21.8 M"), (3_643_000_000, "3.64 G"), (19_632_062_464, "19.6 G"), (1_234_567_890_123, "1,230 G"),
    ],
)  # fmt: skip
def test_numbers_have_three_digits(number: int, written: str) -> None:
    assert short(number) == written


@pytest.mark.parametrize(
    ("option", "kinds"),
    [
        ("none", {}),
        ("A", {"identity shortcut: the shape stays": 7, "zero-padded shortcut: the shape changes": 2}),
        ("B", {"identity shortcut: the shape stays": 7, "projection shortcut: the shape changes": 2}),
        ("C", {"projection shortcut: the shape stays": 7, "projection shortcut: the shape changes": 2}),
    ],
)
@pytest.mark.parametrize("others", [0, 1])
def test_shortcuts_are_told_apart_and_the_legend_says_how(option: str, kinds: dict[str, int], others: int) -> None:
    plain = cifar("plain20", 3, shortcut="none")
    figure = draw_nets([cifar("resnet20", 3, shortcut=option), *[plain] * others], caption="")
    styles = [(to_hex(arc.get_edgecolor()), arc.get_linestyle() == "-") for arc in arcs(figure)]
    legend = figure.legends[0] if figure.legends else None
    shown = {
        text.get_text(): (to_hex(line.get_color()), line.get_linestyle() == "-")
        for line, text in (zip(legend.get_lines(), legend.get_texts(), strict=True) if legend else [])
    }
    assert {label: styles.count(style) for label, style in shown.items()} == kinds
    assert len(set(shown.values())) == len(kinds)
    for label, (_, solid) in shown.items():
        assert solid == label.endswith("stays")
    projections = sum(count for label, count in kinds.items() if "projection" in label)
    assert texts(figure).count("1x1 conv") == projections


def test_all_four_kinds_of_shortcut_look_different() -> None:
    figure = draw_nets([cifar("resnet20-A", 3), cifar("resnet20-C", 3, shortcut="C")], caption="")
    lines = figure.legends[0].get_lines()
    assert len({(to_hex(line.get_color()), line.get_linestyle()) for line in lines}) == len(lines) == 4


def test_arcs_go_around_their_block() -> None:
    figure = draw_nets([cifar("resnet20", 3), cifar("plain20", 3, shortcut="none")], caption="")
    heights = {
        round(y, 3): text.get_text()
        for text in axes_texts(figure)
        for x, y in [text.get_position()]
        if x == arcs(figure)[0].get_path().vertices[0][0]
    }
    blocks = []
    for arc in arcs(figure):
        begin, end = arc.get_path().vertices[0][1], arc.get_path().vertices[-1][1]
        blocks.append([label for y, label in heights.items() if begin < y < end])
    assert blocks == [
        *[["3x3 conv, 16"] * 2] * 3,
        *[["3x3 conv, 32, /2", "3x3 conv, 32"], *[["3x3 conv, 32"] * 2] * 2],
        *[["3x3 conv, 64, /2", "3x3 conv, 64"], *[["3x3 conv, 64"] * 2] * 2],
    ]


def test_a_stage_has_one_colour_and_stem_head_and_pools_none_of_them() -> None:
    figure = draw_nets([vgg("vgg15"), cifar("resnet20", 3)], caption="")
    colours: dict[str, set[str]] = {}
    for box in figure.findobj(FancyBboxPatch):
        if box.get_url():
            colours.setdefault(box.get_url(), set()).add(to_hex(box.get_facecolor()))
    outputs = ["64x224x224", "128x112x112", "256x56x56", "512x28x28"]
    stages = [colours[f"3x3 conv, {output.split('x')[0]}: output {output}"] for output in outputs]
    assert [len(colour) for colour in stages] == [1, 1, 1, 1]
    assert len(set.union(*stages)) == 4
    assert colours["3x3 conv, 32: output 32x16x16"] == stages[1]
    outside = colours["fc, 4096: output 4096"] | colours["fc, 1000: output 1000"] | colours["fc, 10: output 10"]
    assert len(outside) == 1
    assert not outside & set.union(*stages)
    assert colours["3x3 conv, 16: output 16x32x32"] == outside | stages[0]
    assert colours["2x2 max pool, /2: output 64x112x112"] == {"#ffffff"}


def test_it_is_saved_in_all_formats_and_tells_outputs_under_the_pointer(tmp_path: Path) -> None:
    save(draw_nets([cifar("resnet1202", 200)], caption="which images"), tmp_path / "net")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["net.pdf", "net.png", "net.svg"]
    svg = (tmp_path / "net.svg").read_text(encoding="utf-8")
    assert "<title>3x3 conv, 32, /2: output 32x16x16</title>" in svg
    assert "… 197 more blocks like this" in svg
