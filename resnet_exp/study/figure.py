"""What all figures share: their colours, and how one is saved. Figures know no arms and no runs."""

import io
import logging
import warnings
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from resnet_exp.files import replace
from resnet_exp.study.svg import svg_text

# From light to dark, after Okabe and Ito and Tol: told apart by colour-blind readers and, by lightness, in grey print.
COLOURS = {
    1: ["#0072B2"],
    2: ["#E69F00", "#0072B2"],
    3: ["#E69F00", "#009E73", "#332288"],
    4: ["#E69F00", "#56B4E9", "#D55E00", "#332288"],
    5: ["#E69F00", "#56B4E9", "#009E73", "#D55E00", "#332288"],
    6: ["#E69F00", "#56B4E9", "#CC79A7", "#009E73", "#D55E00", "#332288"],
}
VARIANTS = ["#D55E00", "#0072B2", "#009E73", "#CC79A7", "#56B4E9", "#E69F00"]  # kinds of net, plain first
MANY = mpl.colormaps["viridis"]
STYLE: Any = {"font.size": 10, "svg.fonttype": "none", "svg.hashsalt": "resnet-exp", "pdf.fonttype": 42}
DPI = 160  # of PNG, and of pictures in SVG and PDF
for library in ("matplotlib", "fontTools"):
    logging.getLogger(library).setLevel(logging.ERROR)  # they tell of every font and glyph, and miss some


def wide_figure(columns: int, *, height: float) -> Figure:
    """An empty figure for so many columns of panels, at least as wide as the text around them."""
    return Figure(figsize=(max(1.6 + 3.9 * columns, 6.5), height), layout="constrained")


def bare(panel: Axes) -> None:
    """Frames a panel on two sides alone, with faint lines across."""
    panel.spines[["top", "right"]].set_visible(False)
    panel.grid(axis="y", color="0.92", linewidth=0.8)


def put_caption(figure: Figure, text: str, **where: Any) -> None:
    """Says below all panels which data, how many seeds and how many steps. A `$` in the name of the data is one."""
    figure.supxlabel(text, fontsize=8.5, color="0.35", parse_math=False, **where)


def colours_of(depths: list[int]) -> dict[int, str]:
    """A colour for each depth, the deeper the darker; of many depths neighbours are close, but none is another's."""
    palette = COLOURS.get(len(depths)) or [to_hex(MANY(place)) for place in np.linspace(1.0, 0.0, len(depths))]
    return dict(zip(depths, palette, strict=True))


def key_of_depths(figure: Figure, colours: dict[int, str]) -> None:
    """Says above all panels which colour is which depth; the figure has a constrained layout."""
    lines = [Line2D([], [], color=colour, label=f"{depth:,} layers") for depth, colour in colours.items()]
    texts = [readable(colour) for colour in colours.values()]
    figure.legend(handles=lines, loc="outside upper center", ncols=6, frameon=False, labelcolor=texts)


def readable(colour: str) -> str:
    """`colour`, darkened as far as text on white needs: a contrast of 4.5 (WCAG 2.2, 1.4.3)."""
    rgb = np.array(to_rgb(colour))
    while contrast_with_white(rgb) < 4.5:
        rgb = 0.97 * rgb
    return to_hex(tuple(rgb))


def contrast_with_white(rgb: NDArray[np.float64]) -> float:
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return float(1.05 / (linear @ [0.2126, 0.7152, 0.0722] + 0.05))


def save(figure: Figure, stem: Path) -> str:
    """Writes PNG, SVG and PDF, each in one move, so that a viewer never sees half a picture; returns the SVG.

    Raises:
        OSError: the folder cannot be written.
    """
    with warnings.catch_warnings(), mpl.rc_context(STYLE):
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)  # a box stands for it
        if figure.get_layout_engine():
            figure.draw_without_rendering()
            figure.set_layout_engine("none")  # laying out takes longest: once is enough for all formats
        drawn = {}
        for suffix, draw in FORMATS.items():
            figure.set_dpi(DPI)  # which SVG and PDF leave at 72
            drawn[suffix] = draw(figure)
    for suffix, content in drawn.items():
        replace(stem.with_suffix(f".{suffix}"), [content])
    return drawn["svg"].decode()


# `savefig` would draw everything once more before it writes.


def as_png(figure: Figure) -> bytes:
    file = io.BytesIO()
    FigureCanvasAgg(figure).print_png(file)
    return file.getvalue()


def as_svg(figure: Figure) -> bytes:
    return svg_text(figure).encode()


def as_pdf(figure: Figure) -> bytes:
    file = io.BytesIO()
    FigureCanvasPdf(figure).print_pdf(file, metadata={"CreationDate": None})
    return file.getvalue()


FORMATS = {"png": as_png, "svg": as_svg, "pdf": as_pdf}
