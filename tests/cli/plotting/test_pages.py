import base64
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from matplotlib import image
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from cli.plotting.test_maps import build_response
from service.cli.plotting import PlotError, maps, require_plotting, save_figure
from service.cli.plotting.hover import Hover, HoverTarget
from service.cli.plotting.page import build_page

EVIL = "</script><script>alert(1)</script> <!-- & \"'\u2028 日本"


class Elements(HTMLParser):
    """The elements of a page with their attributes, and the text of each script."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep an element."""
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        """Keep the text of a script."""
        if self.elements and self.elements[-1][0] == "script" and data.strip():
            self.scripts.append(data)


def test_titles_are_data_and_no_markup() -> None:
    """A title cannot end the element with the data, and is read back as it is."""
    page = Elements(build_page(EVIL, b"<svg/>", [HoverTarget(0.1, 0.2, 0.0, 0.0, EVIL)]))
    data, _ = page.scripts
    assert [[0.1, 0.2, 0.0, 0.0, EVIL]] == json.loads(data)
    assert 2 == sum(tag == "script" for tag, _ in page.elements)
    (picture,) = (attributes for tag, attributes in page.elements if tag == "img")
    assert EVIL == picture["alt"]


def test_a_page_loads_nothing() -> None:
    """The policy of a page refuses every other host, and no element names an address."""
    page = Elements(build_page("t", b"<svg/>", []))
    policies = [a["content"] or "" for _, a in page.elements if "http-equiv" in a]
    assert ["default-src 'none'"] == [policy.split(";")[0] for policy in policies]
    addresses = [a.get("src") or a.get("href") for _, a in page.elements]
    assert [] == [address for address in addresses if address and not address.startswith("data:")]


def test_details_lie_on_what_they_describe(tmp_path: Path) -> None:
    """The places of a bar and of a point are where the picture shows them."""
    figure = Figure(figsize=(4, 3), dpi=100, layout="constrained")
    left, right = figure.subplots(1, 2)
    bar = left.barh([0, 1], [1, 3], color=["#ff0000", "#00ff00"])[1]
    right.plot([1, 2, 3], [4, 9, 5], "s", color="#0000ff", markersize=12)
    hover = Hover()
    hover.add_bar(bar, "bar")
    hover.add_point(right, 2, 9, "point")
    save_figure(tmp_path / "a.png", figure)
    pixels = image.imread(tmp_path / "a.png")[:, :, :3]
    height, width = pixels.shape[:2]
    found = {}
    for target in hover.locate(figure):
        x, y = target.left + target.width / 2, target.top + target.height / 2
        found[target.text] = tuple(pixels[int(y * height), int(x * width)].tolist())
    assert {"bar": to_rgb("#00ff00"), "point": to_rgb("#0000ff")} == found


@pytest.mark.parametrize("points", [30, maps.MAX_VECTOR_POINTS + 1])
def test_a_map_shows_titles_under_the_pointer(tmp_path: Path, points: int) -> None:
    """A page has the title, the id and the cluster of each item, and the map as an image."""
    file = tmp_path / "map.html"
    maps.draw_map(file, build_response(3, points), {"0": EVIL})
    page = Elements(file.read_text())
    texts = [target[4] for target in json.loads(page.scripts[0])]
    assert points == len(texts)
    title, item_id, cluster = texts[0].split("\n")
    assert ("0", "cluster: winter, $sea, storms") == (item_id, cluster)
    assert title.startswith("</script><script>alert(1)</script>")
    (picture,) = (attributes["src"] or "" for tag, attributes in page.elements if tag == "img")
    svg = base64.b64decode(picture.partition(",")[2]).decode()
    assert "<svg" in svg


def test_a_picture_is_svg_by_its_ending(tmp_path: Path) -> None:
    """An SVG names no other host except for the names of its formats, and is reproducible."""
    files = [tmp_path / name for name in ("a.svg", "b.SVG")]
    for file in files:
        maps.draw_map(file, build_response(3, 30))
    first, second = (file.read_text() for file in files)
    assert first == second
    assert [] == re.findall(r'(?:href|src)="(?!#|data:)([^"]*)"', first)


@pytest.mark.parametrize("name", ["a.pdf", "a.jpg", "a.json"])
def test_other_endings_are_refused(tmp_path: Path, name: str) -> None:
    """A file whose ending names another format is refused instead of written as PNG."""
    with pytest.raises(PlotError, match=r"must be \.png, \.svg or \.html"):
        require_plotting(tmp_path / name)
