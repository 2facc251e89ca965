"""The page and the figure inside it: escaping, structure, tooltips, and how a real browser takes them."""

import json
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from matplotlib.collections import PathCollection

from resnet_exp.study.arms import Arm, group_arms
from resnet_exp.study.cells import Table
from resnet_exp.study.curves import draw_curves, thinned
from resnet_exp.study.figure import contrast_with_white, readable, save
from resnet_exp.study.page import TEMPLATES, ShownFigure, render
from resnet_exp.study.svg import SVG, embeddable
from tests.helpers import load_runs, write_run

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium installed")
QUIET = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


class Outline(HTMLParser):
    """Every element with its attributes and its own text, in document order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None], list[str]]] = []
        self.open: list[int] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs), []))
        if tag not in ("meta", "link"):
            self.open.append(len(self.found) - 1)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs), []))

    def handle_endtag(self, tag: str) -> None:
        assert self.found[self.open.pop()][0] == tag

    def handle_data(self, data: str) -> None:
        if self.open:
            self.found[self.open[-1]][2].append(data)

    def all(self, tag: str) -> list[tuple[dict[str, str | None], str]]:
        return [(attributes, "".join(text).strip()) for name, attributes, text in self.found if name == tag]


@pytest.fixture
def arms(tmp_path: Path) -> list[Arm]:
    """Six nets of up to three seeds: one ended early, one did not end, one unlike in its name's characters."""
    random = np.random.default_rng(0)
    for family, suffix in (("plain", ""), ("resnet", ""), ("resnet", "-B")):
        for depth in (20, 56):
            for seed in range(3):
                errors = (80 * np.exp(-np.linspace(0, 3, 100)) + 5 + depth / 10 + random.normal(0, 0.3, 100)).round(3)
                kinds = {"shortcut": suffix.removeprefix("-") or "A"}
                if (depth, suffix) == (56, "-B"):
                    kinds["status"] = "running"
                if (family, depth, seed) == ("plain", 56, 2):
                    errors, kinds = errors[:60], kinds | {"status": "diverged"}
                write_run(tmp_path / "study", family, depth, seed, errors.tolist(), suffix=suffix, **kinds)
    return group_arms(load_runs(tmp_path / "study"))


@pytest.fixture
def svg(arms: list[Arm], tmp_path: Path) -> str:
    save(draw_curves(arms, caption="which data"), tmp_path / "curves")
    return (tmp_path / "curves.svg").read_text()


def page_of(figure: str, **changes: object) -> str:
    long = ", ".join(["many words that take several lines"] * 4)
    row = ["plain20 → plain56", "+9.52 [-2.91, +21.96]", "+9.52 [-3.81, +22.85]", "5", "degrades", long]
    values = {
        **{"title": "Degradation study", "verdict": "Deeper plain nets have a higher training error.", "study": "data"},
        **{
            "warnings": ["3 of 18 runs unfinished"],
            "figures": [ShownFigure("Error curves", figure, "Errors against steps.")],
        },
        "tables": [
            Table("Depth", ["nets", "difference", "paired", "seeds", "verdict", "why"], [row, ["b", *row[1:]]], "note"),
            Table("Shortcut", ["nets", "verdict"], [["a", "improves"], ["b", "inconclusive"]]),
        ],
        **{"choices": [("lr", "0.1")], "environment": [("torch", "2.10")]},
        "commands": ["resnet-exp " + "x" * 300, "second"],
    }
    return render(**(values | changes))  # type: ignore[arg-type]


def test_every_string_is_escaped_but_the_figure() -> None:
    evil = "<b>&\"'</b>{0}"
    page = page_of(
        "<svg><g/></svg>", title=evil, verdict=evil, study=evil, warnings=[evil],
        figures=[ShownFigure(evil, "<svg><g/></svg>", evil)], why=[ShownFigure(evil, "<svg></svg>", evil, evil)],
        tables=[Table(evil, [evil, evil], [[evil, evil]], evil)], choices=[(evil, evil)],
        environment=[(evil, evil)], commands=[evil],
    )  # fmt: skip
    assert "<b>" not in page
    assert page.count("&lt;b&gt;&amp;&#34;&#39;&lt;/b&gt;{0}") == 21  # the title twice
    assert "<svg><g/></svg>" in page


def test_the_parts_stand_in_order_and_what_is_empty_is_left_out() -> None:
    page = page_of("<svg></svg>")
    parts = ["<h1>", "Deeper plain nets", 'class="study"', "Warning", "<svg>", "Numbers", "Recorded choices"]
    places = [page.index(part, page.index("<main>")) for part in [*parts, "Environment", "Commands to repeat it"]]
    assert places == sorted(places)
    bare = page_of("<svg></svg>", warnings=[], tables=[], choices=[], environment=[], commands=[])
    assert re.findall(r"<h2[^>]*>(.*?)</h2>", bare) == ["Error curves"]


def test_the_page_is_sound_for_screen_readers(svg: str) -> None:
    outline = Outline(page_of(embeddable(svg)))
    assert outline.open == []
    assert outline.all("html")[0][0]["lang"] == "en"
    assert len(outline.all("main")) == len(outline.all("h1")) == 1
    ids = [attributes["id"] for _, attributes, _ in outline.found if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes, _ in outline.found:
        for name in ("aria-labelledby", "aria-describedby"):
            assert set((attributes.get(name) or "").split()) <= set(ids)
    assert all("aria-labelledby" in attributes for attributes, _ in outline.all("section"))
    assert len(outline.all("caption")) == len(outline.all("table")) == 2
    assert {attributes.get("scope") for attributes, _ in outline.all("th")} == {"col", "row"}
    assert [text for attributes, text in outline.all("th") if attributes["scope"] == "row"][:1] == ["plain20 → plain56"]
    boxes = [a for a, _ in outline.all("div") if a.get("class") == "wide"]
    assert len(boxes) == 3
    assert all(box["tabindex"] == "0" and box["role"] == "region" and box["aria-labelledby"] for box in boxes)
    (picture,) = [a for a, _ in outline.all("div") if a.get("role") == "img"]
    assert picture["aria-describedby"] == outline.all("figcaption")[0][0]["id"]


def test_a_blank_line_parts_paragraphs_of_an_argument() -> None:
    why = [ShownFigure("Why?", "<svg></svg>", "Norms.", "Plain nets do.\n\nOthers do not.")]
    said = [text for _, text in Outline(page_of("<svg></svg>", why=why)).all("p")]
    first = said.index("Plain nets do.")
    assert said[first + 1] == "Others do not."


def test_verdicts_are_badges_with_their_words() -> None:
    badges = [(a["class"], text) for a, text in Outline(page_of("<svg></svg>")).all("span") if "badge" in str(a)]
    assert badges == [(f"badge {word}", word) for word in ("degrades", "degrades", "improves", "inconclusive")]
    table = Table("c", ["a", "b"], [["x", "improves a lot"]])
    assert 'class="badge' not in page_of("<svg></svg>", tables=[table])
    page = page_of("<svg></svg>", tables=[Table("c", ["a", "b"], [["x", "no degradation"]])])
    assert '<span class="badge no-degradation">no degradation</span>' in page
    assert ".no-degradation {" in page


def test_nothing_is_fetched_or_run(svg: str) -> None:
    page = page_of(embeddable(svg))
    assert not re.findall(r"<(?:script|link|img|iframe|object|base)\b|@import|<\?xml|<!DOCTYPE svg", page)
    assert not re.findall(r"""(?:src|href)\s*=\s*["'](?!#)|url\((?!#)""", page)


def test_text_and_ground_have_enough_contrast() -> None:
    css = (TEMPLATES / "report.css").read_text()
    light, dark = (dict(re.findall(r"--([\w-]+): (#\w{6});", part)) for part in css.split("@media (prefers")[:2])
    pairs = [("ink", "paper"), ("muted", "paper"), ("ink", "tint")]
    pairs += [(name, f"{name}-tint") for name in ("warning", "degrades", "improves", "inconclusive")]

    def against_white(colour: str) -> float:
        return contrast_with_white(np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]))

    for theme in (light, dark):
        for text, ground in pairs:
            first, second = sorted((against_white(theme[text]), against_white(theme[ground])))
            assert second / first >= 4.5, (text, ground)
    assert all(against_white(readable(colour)) >= 4.5 for colour in ("#E69F00", "#56B4E9", "#332288"))
    assert readable("#332288") == "#332288"


def circles(svg: str) -> dict[str, list[tuple[float, float, str]]]:
    """The figure's hidden points, by the net and error they tell of: x, y and text."""
    found: dict[str, list[tuple[float, float, str]]] = {}
    for circle in ET.fromstring(svg).iter(f"{SVG}circle"):
        text = circle.findtext(f"{SVG}title") or ""
        net, error = re.fullmatch(r"(\S+), step [\d,]+: (training|test) error .*", text).groups()  # type: ignore[union-attr]
        found.setdefault(f"{net} {error}", []).append((float(circle.get("cx", "")), float(circle.get("cy", "")), text))
    return found


def test_points_tell_net_and_value_where_they_are(arms: list[Arm], svg: str) -> None:
    found = circles(svg)
    assert set(found) == {f"{arm.name} {error}" for arm in arms for error in ("training", "test")}
    for arm in arms:
        for key, error in (("train_error", "training"), ("test_error", "test")):
            steps, mean, spread = arm.curve(key)
            points = found[f"{arm.name} {error}"]
            told = [int(re.search(r"step ([\d,]+)", text)[1].replace(",", "")) for _, _, text in points]  # type: ignore[index]
            assert told == sorted(told)
            assert told[-1] == steps[-1]
            assert 30 <= len(points) <= 60
            x, y = [x for x, _, _ in points], [y for _, y, _ in points]
            where = np.searchsorted(steps, told)
            for position, values in ((x, steps[where]), (y, mean[where])):  # the places fit the values told
                assert abs(np.corrcoef(position, values)[0, 1]) > 0.99999
            for (_, _, text), value, deviation in zip(points, mean[where], spread[where], strict=True):
                assert f": {error} error {value:.2f} % (" in text
                assert text.endswith(f" seeds, ± {deviation:.2f})")
    plain56 = [text for _, _, text in found["plain56 training"]]
    assert "(3 seeds" in plain56[0]
    assert "(2 seeds" in plain56[-1]


def test_curves_and_crosses_have_their_titles(svg: str) -> None:
    titles = [title.text for title in ET.fromstring(svg).iter(f"{SVG}title")]
    assert "plain20: training error, mean of 3 seeds" in titles
    assert "resnet56-B: test error, mean of 3 seeds" in titles
    assert "plain56, seed 2: diverged after step 6,000" in titles
    assert not list(ET.fromstring(svg).iter(f"{SVG}a"))


def test_png_and_pdf_hold_no_hidden_points(arms: list[Arm], svg: str, tmp_path: Path) -> None:
    figure = draw_curves(arms, caption="which data")
    targets = figure.findobj(PathCollection)
    assert len(targets) == 12
    save(figure, tmp_path / "again")
    assert not any(target.get_visible() for target in targets)
    assert (tmp_path / "again.svg").read_text() == svg
    plain = draw_curves(arms, caption="which data")  # another, as drawing twice moves the layout a little
    for target in plain.findobj(PathCollection):
        target.remove()
    save(plain, tmp_path / "without")
    for suffix in ("png", "pdf"):
        assert (tmp_path / f"again.{suffix}").read_bytes() == (tmp_path / f"without.{suffix}").read_bytes()
    assert b"/URI" not in (tmp_path / "again.pdf").read_bytes()


def test_embedded_ids_are_those_referred_to(svg: str) -> None:
    bare = embeddable(svg)
    assert bare.startswith("<svg ")
    ids = re.findall(r'\bid="([^"]+)"', bare)
    assert len(ids) == len(set(ids))
    assert set(ids) == set(re.findall(r"""(?:url\(|href=")#([^")]+)""", bare))
    assert "<style" not in bare
    with pytest.raises(ValueError, match="not an SVG file"):
        embeddable("<svg")


def test_unfinished_nets_are_dashed_and_said_to_be(arms: list[Arm]) -> None:
    panel = draw_curves(arms, caption="").axes[2]
    assert [text.get_text() for text in panel.texts] == ["20 layers", "56 layers (unfinished)"]
    assert [line.get_linestyle() for line in panel.get_lines() if line.get_url()] == ["-", "-", "--", "--"]


def test_long_curves_are_thinned_evenly_to_their_last_point(tmp_path: Path) -> None:
    write_run(tmp_path, "plain", 20, 0, (np.arange(5001) % 50).tolist())
    figure = draw_curves(group_arms(load_runs(tmp_path)), caption="")
    steps = np.asarray(figure.axes[0].get_lines()[0].get_xdata())
    assert len(steps) == 2000
    assert (steps[0], steps[-1]) == (100, 500100)
    assert set(np.diff(steps)) == {200, 300}
    for length in (0, 1, 59, 60):
        assert thinned(length, most=60).tolist() == list(range(length))


def test_errors_that_are_no_numbers_are_drawn_around(tmp_path: Path) -> None:
    write_run(tmp_path, "plain", 20, 0, [60.0, float("nan"), float("nan")], train_error=None, test_error=None)
    write_run(tmp_path, "plain", 56, 0, [float("nan")], status="diverged", train_error=None, test_error=None)
    arms = group_arms(load_runs(tmp_path))
    save(draw_curves(arms, caption=""), tmp_path / "curves")
    save(draw_curves(arms[1:], caption=""), tmp_path / "nothing")
    kinds = ("training", "test")
    texts = [text for points in circles((tmp_path / "curves.svg").read_text()).values() for _, _, text in points]
    assert texts == [f"plain20, step 100: {kind} error {60 + more}.00 % (1 seed)" for more, kind in enumerate(kinds)]


def browse(*arguments: str, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    command = [str(CHROMIUM), *QUIET, f"--user-data-dir={tmp_path / 'profile'}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)


def console(done: subprocess.CompletedProcess[str]) -> list[str]:
    return [line for line in done.stderr.splitlines() if "CONSOLE" in line]


@needs_browser
def test_a_browser_shows_it_prints_it_and_asks_nobody(svg: str, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    file.write_text(page_of(embeddable(svg)))
    log, shot, dark, printed = (tmp_path / name for name in ("net.json", "light.png", "dark.png", "page.pdf"))
    done = browse(
        "--enable-logging=stderr", f"--log-net-log={log}", f"--screenshot={shot}", "--window-size=1280,1600",
        file.as_uri(), tmp_path=tmp_path,
    )  # fmt: skip
    assert console(done) == []
    asked = {event["params"]["url"] for event in events(log) if "url" in event.get("params", {})}
    assert not {url for url in asked if re.match(r"(https?|wss?|ftp):", url) and not is_browsers_own(url)}
    browse(f"--screenshot={dark}", "--blink-settings=preferredColorScheme=0", file.as_uri(), tmp_path=tmp_path)
    browse(f"--print-to-pdf={printed}", file.as_uri(), tmp_path=tmp_path)
    for image in (shot, dark):
        assert image.read_bytes().startswith(b"\x89PNG")
    assert shot.read_bytes() != dark.read_bytes()
    assert printed.read_bytes().startswith(b"%PDF")


def events(log: Path) -> list[dict[str, dict[str, str]]]:
    text = log.read_text().rstrip().rstrip(",")
    return json.loads(text if text.endswith("}") else text + "]}")["events"]


def is_browsers_own(url: str) -> bool:
    """Whether Chromium asks for it by itself (its clock, its updates); never a font or picture of a page."""
    own = (
        r"https?://((update|optimizationguide-pa|content-autofill)\.googleapis|(clients\d|accounts|www)\.google)\.com/"
    )
    return bool(re.match(own, url))


@needs_browser
def test_a_phone_scrolls_only_the_boxes_and_the_pointer_finds_the_points(svg: str, tmp_path: Path) -> None:
    script = """<script>
    const box = document.querySelector('.wide'), points = [...document.querySelectorAll('circle')];
    const tips = points.slice(0, 5).map(point => {
      const r = point.getBoundingClientRect();
      const hit = document.elementFromPoint(r.left + r.width / 2, r.top + r.height / 2);
      return hit && hit.tagName + ': ' + (hit.querySelector('title') || {}).textContent;
    });
    parent.postMessage({width: document.documentElement.scrollWidth, inner: innerWidth,
      box: box.scrollWidth > box.clientWidth, tips}, '*');
    </script>"""
    (tmp_path / "copy.html").write_text(page_of(embeddable(svg)).replace("</main>", f"</main>{script}"))
    (tmp_path / "phone.html").write_text(
        "<script>onmessage = e => { out.textContent = JSON.stringify(e.data); }</script>"
        '<pre id="out"></pre><iframe src="copy.html" style="width:360px;height:3000px;border:0"></iframe>'
    )
    page = (tmp_path / "phone.html").as_uri()
    done = browse("--allow-file-access-from-files", "--dump-dom", page, tmp_path=tmp_path)
    measured = json.loads(re.search(r'<pre id="out">(.*?)</pre>', done.stdout)[1])  # type: ignore[index]
    assert measured["inner"] == 360
    assert measured["width"] <= 360
    assert measured["box"]
    assert all(
        re.match(r"circle: plain(?:20|56), step [\d,]+: (training|test) error", tip) for tip in measured["tips"]
    ), measured


@needs_browser
@pytest.mark.skipif(shutil.which("pdftotext") is None, reason="no pdftotext installed")
def test_what_is_folded_on_the_screen_is_printed(tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text(page_of("<svg></svg>", choices=[("momentum", "value-in-the-fold")]))
    printed = tmp_path / "page.pdf"
    browse(f"--print-to-pdf={printed}", (tmp_path / "report.html").as_uri(), tmp_path=tmp_path)
    text = subprocess.run(["pdftotext", printed, "-"], capture_output=True, text=True, check=True).stdout
    assert "value-in-the-fold" in text
