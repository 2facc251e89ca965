"""A figure as SVG that tells, under the pointer, what it shows; and as a part of an HTML page.

An artist's url is its tooltip: matplotlib's SVG writer makes a link of it, which becomes a title here.
"""

import io
import re
import xml.etree.ElementTree as ET
from typing import Any

from matplotlib.collections import PathCollection
from matplotlib.figure import Figure

REACH = 5  # radius around a point that tells its value, in points of 1/72 inch
SVG, XLINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}"
ET.register_namespace("", SVG[1:-1])
ET.register_namespace("xlink", XLINK[1:-1])


def svg_text(figure: Figure) -> str:
    """The figure as an SVG file whose curves and points tell, under the pointer, what they are."""
    targets: Any = figure.findobj(PathCollection)
    file = io.StringIO()
    for target in targets:
        target.set_visible(True)
    try:
        figure.savefig(file, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
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


def embeddable(svg: str) -> str:
    """The bare `<svg>` of an SVG file of ours, for an HTML page: no id but those it refers to, no style for others.

    Raises:
        ValueError: `svg` is not XML.
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
    return ET.tostring(root, encoding="unicode")
