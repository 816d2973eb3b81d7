"""The map: points, clusters, selection, colors and keys."""

from collections.abc import Callable

import akin
from playwright.sync_api import Page

# Counts the pixels of the canvas that differ from its corner, which no point reaches.
COUNT_PIXELS = """
async (canvas) => {
  await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const pixels = new Uint32Array(data.buffer);
  return pixels.reduce((sum, pixel) => sum + (pixel !== pixels[0]), 0);
}
"""

# The image of the points.
READ_IMAGE = """
async (canvas) => {
  await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  return canvas.toDataURL();
}
"""

# Finds a pixel of a point.
FIND_POINT = """
async (canvas) => {
  await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const pixels = new Uint32Array(data.buffer);
  const place = pixels.findIndex((pixel) => pixel !== pixels[0]);
  return { x: place % canvas.width, y: Math.floor(place / canvas.width) };
}
"""


def drag(page: Page, corners: list[tuple[float, float]]) -> None:
    """Drags over the map along corners, in shares of its width and height."""
    box = page.locator("canvas").bounding_box()
    assert box is not None
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in corners]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=8)
    page.mouse.up()


def test_points_are_drawn(show: Callable[..., Page]) -> None:
    """The canvas shows points, and a cluster of the list shows its nearest items."""
    page = show("map")
    assert page.locator("canvas").evaluate(COUNT_PIXELS) > 1000
    clusters = page.get_by_role("list", name="Clusters").get_by_role("button")
    clusters.first.click()
    page.get_by_text("Nearest to it").wait_for()
    assert page.locator(".group-body a").count() > 1


def test_lasso_lists_the_items(show: Callable[..., Page]) -> None:
    """A line around everything selects all items, and a part of it fewer."""
    page = show("map")
    page.get_by_label("Select", exact=True).check(force=True)
    drag(page, [(0.01, 0.12), (0.99, 0.12), (0.99, 0.99), (0.01, 0.99), (0.01, 0.12)])
    page.get_by_role("heading", name="336 selected items").wait_for()
    drag(page, [(0.01, 0.5), (0.99, 0.5), (0.99, 0.99), (0.01, 0.99)])
    page.get_by_role("heading", name="336 selected items").wait_for(state="detached")
    assert page.get_by_role("region", name="Selected items").get_by_role("link").count() > 1


def test_other_points_start_without_a_selection(show: Callable[..., Page]) -> None:
    """A selection ends with the points that it is of."""
    page = show("map")
    page.get_by_label("Select", exact=True).check(force=True)
    drag(page, [(0.01, 0.12), (0.99, 0.12), (0.99, 0.99), (0.01, 0.99), (0.01, 0.12)])
    page.get_by_role("heading", name="336 selected items").wait_for()
    page.get_by_role("spinbutton", name="Clusters").fill("3")
    page.get_by_role("heading", name="336 selected items").wait_for(state="detached")
    page.locator("canvas").wait_for()
    assert 3 == page.get_by_role("list", name="Clusters").get_by_role("button").count()


def test_colors_show_an_attribute(show: Callable[..., Page]) -> None:
    """The values of an attribute replace the clusters, most frequent first."""
    page = show("map")
    page.get_by_label("Color by attribute").fill("language")
    page.get_by_role("button", name="Color").click()
    values = page.get_by_role("list", name="Values").locator(".group-name")
    values.first.wait_for()
    assert "en" == values.first.inner_text()


def test_keys_move_the_map(show: Callable[..., Page]) -> None:
    """Keys zoom and move the map, which moves its labels, and 0 shows all of it again."""
    page = show("map")
    label = page.locator(".map-overlay text").first
    page.locator("canvas").focus()

    def place() -> tuple[str | None, str | None]:
        page.evaluate(
            "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
        )
        return label.get_attribute("x"), label.get_attribute("y")

    start = place()
    page.keyboard.press("ArrowUp")
    assert start != place()
    page.keyboard.press("0")
    assert start == place()


def test_hover_shows_the_item(show: Callable[..., Page]) -> None:
    """The pointer over a point shows the item, with its text."""
    page = show("map")
    box = page.locator("canvas").bounding_box()
    assert box is not None
    place = page.locator("canvas").evaluate(FIND_POINT)
    page.mouse.move(box["x"] + place["x"], box["y"] + place["y"])
    page.locator(".map-tip .excerpt").wait_for()
    assert "book:" in page.locator(".map-tip .id").inner_text()


def test_selection_is_marked(show: Callable[..., Page]) -> None:
    """The points of a selection stand out, and its end draws all points as before."""
    page = show("map")
    page.get_by_label("Select", exact=True).check(force=True)
    before = page.locator("canvas").evaluate(READ_IMAGE)
    drag(page, [(0.01, 0.5), (0.99, 0.5), (0.99, 0.99), (0.01, 0.99)])
    page.get_by_role("region", name="Selected items").wait_for()
    assert before != page.locator("canvas").evaluate(READ_IMAGE)
    page.get_by_role("button", name="Clear").click()
    assert before == page.locator("canvas").evaluate(READ_IMAGE)


def test_legend_names_the_rest(show: Callable[..., Page], client: akin.Client) -> None:
    """Every color of the map has a line, also the one of rare values, and the counts add up."""
    page = show("map")
    page.get_by_label("Color by attribute").fill("year")
    page.get_by_role("button", name="Color").click()
    values = page.get_by_role("list", name="Values")
    values.get_by_role("button", name="Other values, or none").click()
    counts = values.locator(".muted").all_inner_texts()
    assert client.get_catalog().item_count == sum(map(int, counts))


def test_colors_follow_the_scheme(show: Callable[..., Page]) -> None:
    """Points and legend get the colors of a dark page when the page becomes dark."""
    page = show("map")
    swatch = page.locator(".groups circle").first
    light, image = swatch.get_attribute("fill"), page.locator("canvas").evaluate(READ_IMAGE)
    page.emulate_media(color_scheme="dark")
    page.wait_for_function(
        "([light]) => document.querySelector('.groups circle').getAttribute('fill') !== light",
        arg=[light],
    )
    assert image != page.locator("canvas").evaluate(READ_IMAGE)


def test_controls_cover_no_label(show: Callable[..., Page]) -> None:
    """The buttons of the map are beside the points and their labels."""
    page = show("map")
    controls = page.locator(".map-controls").bounding_box()
    canvas = page.locator("canvas").bounding_box()
    assert controls is not None
    assert canvas is not None
    assert controls["y"] + controls["height"] <= canvas["y"]
