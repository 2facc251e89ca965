"""A figure as SVG that tells, under the pointer, what it shows; and as a part of an HTML page.

An artist's url is its tooltip: matplotlib's SVG writer makes a link of it, which becomes a title here.
"""

import io
import re
import xml.etree.ElementTree as ET
from typing import Any

from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure

REACH = 5  # radius around a point that tells its value, in points of 1/72 inch
SVG, XLINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}"
# The elements of a figure; `style` and `metadata` are left out of a page.
DRAWN = {f"{SVG}{tag}" for tag in ("svg", "g", "defs", "clipPath", "path", "use", "rect", "circle", "image")}
DRAWN |= {f"{SVG}{tag}" for tag in ("text", "tspan", "title")}
ET.register_namespace("", SVG[1:-1])
ET.register_namespace("xlink", XLINK[1:-1])


def svg_text(figure: Figure) -> str:
    """The figure as an SVG file whose curves and points tell, under the pointer, what they are."""
    targets: Any = figure.findobj(PathCollection)
    file = io.StringIO()
    for target in targets:
        target.set_visible(True)
    try:
        FigureCanvasSVG(figure).print_svg(file, metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    finally:
        for target in targets:
            target.set_visible(False)
    root = ET.fromstring(file.getvalue())
    for group in root.iter(f"{SVG}g"):
        if group.get("id", "").startswith("PathCollection"):
            to_circles(group)
    for link in list(root.iter(f"{SVG}a")):
        title = ET.Element(f"{SVG}title")
        title.text = link.get(f"{XLINK}href")
        link.tag = f"{SVG}g"
        link.attrib.clear()
        link.insert(0, title)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def to_circles(group: ET.Element) -> None:
    """Turns a collection's linked points into circles that cannot be seen but pointed at."""
    circles = []
    for link in group.iter(f"{SVG}a"):
        point = next(link.iter(f"{SVG}use"))
        circle = ET.Element(f"{SVG}circle", {"cx": point.get("x", ""), "cy": point.get("y", ""), "r": str(REACH)})
        ET.SubElement(circle, f"{SVG}title").text = link.get(f"{XLINK}href")
        circles.append(circle)
    group[:] = circles
    group.set("opacity", "0")


def embeddable(svg: str, *, prefix: str = "") -> str:
    """The bare `<svg>` of an SVG file of ours, for an HTML page: no id but those it refers to, no style for others.

    Args:
        prefix: begins every id, where a page holds several figures.

    Raises:
        ValueError: `svg` is not XML, or holds what we do not draw and a page might run or fetch.
    """
    try:
        root = ET.fromstring(svg)
    except ET.ParseError as error:
        raise ValueError(f"not an SVG file ({error})") from error
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag == f"{SVG}metadata" or child.tag == f"{SVG}style":
                parent.remove(child)
    width = float(root.get("viewBox", "0 0 0 0").split()[2])
    size = f"min-width: {0.9 * width:.0f}px; max-width: {1.6 * width:.0f}px"  # letters of 9 to 16 pixels
    root.set("style", f"stroke-linejoin: round; stroke-linecap: butt; {size}")  # the first two are matplotlib's for all
    referred = set(re.findall(r"""#([^")]+)[")]""", ET.tostring(root, encoding="unicode")))
    for element in root.iter():
        if element.get("id") not in referred:
            element.attrib.pop("id", None)
        check_drawn(element)
        if prefix:
            add_prefix(element, prefix)
    return ET.tostring(root, encoding="unicode")


def check_drawn(element: ET.Element) -> None:
    """Raises ValueError unless the element is of a figure as matplotlib draws it: nothing to run, nothing to fetch."""
    if element.tag not in DRAWN:
        raise ValueError(f"not a figure of ours: it holds {element.tag}")
    for name, value in element.attrib.items():
        fetched = name.endswith("href") and not value.startswith(("#", "data:image/png;base64,"))
        if name.startswith("on") or fetched or re.search(r"url\((?!#)", value):
            raise ValueError(f"not a figure of ours: it holds {name}={value[:40]}")


def add_prefix(element: ET.Element, prefix: str) -> None:
    """Before the element's id and those it refers to."""
    for name, value in element.attrib.items():
        if name == "id":
            element.set(name, f"{prefix}{value}")
        elif name.endswith("href"):
            element.set(name, re.sub("^#", f"#{prefix}", value))
        else:
            element.set(name, value.replace("url(#", f"url(#{prefix}"))
