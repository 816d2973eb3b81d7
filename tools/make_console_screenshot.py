"""Draws the Explore page of the console with the sample books, for the README.

make screenshot, or PYTHONPATH=tests python tools/make_console_screenshot.py [FILE]
"""

from __future__ import annotations

import io
import re
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright
from support.browser import CHROMIUM, ConsoleServer, import_samples, open_page

TARGET = Path(__file__).resolve().parents[1] / "docs/images/console.png"

# Height shows two rows of results in full.
SIZE = (1280, 1190)

# With these, the picture has a fifth of the bytes, and nobody sees a difference.
COLORS = 96

# The duration of a call differs from run to run.
DURATION = re.compile(r"[0-9.]+ ms in the server · ")


def show_recommendations(page: Page, address: str) -> None:
    """Open the page with the recommendations for a user, and wait until all of it is drawn."""
    page.goto(address)
    summaries = [
        page.get_by_role("region", name=f"Setting {side}").get_by_role("status") for side in "AB"
    ]
    for summary in summaries:
        summary.wait_for()
    page.wait_for_load_state("networkidle")
    page.evaluate("document.fonts.ready")
    for summary in summaries:
        text = DURATION.sub("", summary.inner_text())
        summary.evaluate("(element, text) => { element.textContent = text; }", text)


def take_screenshot(folder: Path) -> bytes:
    """Return the page as PNG, from a server with its data in a folder."""
    with ConsoleServer(folder) as server, sync_playwright() as playwright:
        with server.client() as client:
            import_samples(client)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        with open_page(browser, size=SIZE) as page:
            show_recommendations(page, server.link("explore", "?user=ann"))
            picture = page.screenshot(animations="disabled")
        browser.close()
    return picture


def main(target: Path) -> None:
    """Write the picture, with a palette."""
    with tempfile.TemporaryDirectory() as folder:
        picture = take_screenshot(Path(folder))
    target.parent.mkdir(parents=True, exist_ok=True)
    palette = (
        Image.open(io.BytesIO(picture)).convert("RGB").quantize(COLORS, dither=Image.Dither.NONE)
    )
    palette.save(target, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else TARGET)
