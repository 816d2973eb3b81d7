"""The map: points, clusters, selection, and a browser without WebGL."""

from collections.abc import Callable
from contextlib import closing

from playwright.sync_api import Browser, Page
from support.browser import ConsoleServer, launch, open_page

# Draws what the canvas shows as an image in the page, and counts the pixels that are not empty.
COUNT_PIXELS = """
async (canvas) => {
  await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  const gl = canvas.getContext("webgl");
  const pixels = new Uint8Array(canvas.width * canvas.height * 4);
  canvas.dispatchEvent(new WheelEvent("wheel", { deltaY: 0, cancelable: true }));
  await new Promise((done) => requestAnimationFrame(() => {
    gl.readPixels(0, 0, canvas.width, canvas.height, gl.RGBA, gl.UNSIGNED_BYTE, pixels);
    done();
  }));
  return pixels.reduce((sum, value, index) => sum + (index % 4 === 3 && value > 0), 0);
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


def test_a_browser_without_webgl_says_so(browser: Browser, server: ConsoleServer) -> None:
    """Without WebGL the clusters are still listed, and the page says what is missing."""
    with closing(launch(browser.browser_type, "--disable-3d-apis")) as limited:
        with open_page(limited) as page:
            page.goto(server.link("map"))
            page.get_by_text("This browser has no WebGL").wait_for()
            assert page.get_by_role("list", name="Clusters").get_by_role("button").count() > 1
