"""The console over a large catalog: the requests of its Explore page, and panning its map.

    python bench/web_console.py [--items N] [--calls N] [--seconds S]

Needs Chromium and the built console. Explore's requests are timed over HTTP from one caller, so the
times include HTTP and JSON. The map is panned with the mouse in headless Chromium, whose own
performance trace says how many frames it has drawn.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.client import HTTPConnection
from itertools import pairwise
from pathlib import Path
from statistics import quantiles
from tempfile import TemporaryDirectory
from typing import Any

import akin
import texts
from playwright.sync_api import Page, sync_playwright
from servers import akin_server
from throughput import settle

CHROMIUM = "/usr/bin/chromium"
RECOMMEND = "/v1/catalogs/default/items:recommend"
FRAMES = "disabled-by-default-devtools.timeline.frame"
PATIENCE_MS = 300_000
MAX_POINTS = 100_000

# What Explore asks for with each request.
SHOWN = {"limit": 10, "explain": True, "view": "ITEM_VIEW_FULL"}

Items = list[dict[str, Any]]
Sources = dict[str, list[dict[str, Any]]]


def sources(items: Items, count: int) -> Sources:
    """By the name of a source, requests of Explore: each for another item, user or text."""
    drawn = random.Random(1)
    chosen = drawn.sample(items, count)
    sizes = sorted(each["attributes"]["size_kb"] for each in items)
    tenth = {"range": {"lte": sizes[len(sizes) // 10]}}
    small = {"all": [{"attribute": "size_kb", **tenth}]}
    words = [" ".join(drawn.sample(each["text"].split(), 5)) for each in chosen]
    pairs = zip(words, reversed(words), strict=True)
    return {
        "item": [{"itemId": each["id"]} for each in chosen],
        "item, a tenth passes": [{"itemId": each["id"], "filter": small} for each in chosen],
        "item, diverse": [{"itemId": each["id"], "diversity": 0.5} for each in chosen],
        "user": [{"userId": f"user:{number}"} for number in range(count)],
        "text": [{"text": text} for text in words],
        "texts, one unwanted": [
            {"examples": {"positive": [{"text": one}], "negative": [{"text": other}]}}
            for one, other in pairs
        ],
        "popular": [{"popular": {}}] * count,
    }


def fill(client: akin.Client, items: Items, users: int) -> None:
    """Import the items, and users who like three of them."""
    messages = (akin.item(each["id"], each["text"], each["attributes"]) for each in items)
    assert all(result.code == 0 for result in client.import_items(messages))
    drawn = random.Random(2)
    for number in range(users):
        liked = [each["id"] for each in drawn.sample(items, 3)]
        client.upsert_user(f"user:{number}", ["tools for the command line"], liked)


def time_request(connection: HTTPConnection, request: dict[str, Any]) -> float:
    """Return how many milliseconds one request takes."""
    body = json.dumps(request | SHOWN)
    begin = time.perf_counter()
    connection.request("POST", RECOMMEND, body, {"content-type": "application/json"})
    response = connection.getresponse()
    response.read()
    assert response.status == HTTPStatus.OK
    return (time.perf_counter() - begin) * 1000


def explore(address: str, requests: Sources) -> None:
    """Time the requests of each source, and print the first and the percentiles of the others."""
    print(f"{'Explore by':24}{'first':>8}{'p50':>8}{'p95':>8}{'slowest':>8} ms")
    connection = HTTPConnection(address)
    for name, bodies in requests.items():
        first, *others = [time_request(connection, body) for body in bodies]
        percentiles = quantiles(others, n=100)
        row = (first, percentiles[49], percentiles[94], max(others))
        print(f"{name:24}" + "".join(f"{each:8.1f}" for each in row))
    connection.close()


@contextmanager
def open_map(url: str, points: int) -> Iterator[Page]:
    """The map with a number of points, at most 100,000."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(PATIENCE_MS)
        page.goto(f"{url}/#/default/map")
        page.get_by_label("Points at most").select_option(str(MAX_POINTS))
        page.get_by_text(f"{points:,} points of").wait_for()
        yield page
        browser.close()


def pan(page: Page, seconds: float) -> list[float]:
    """Drag the map in circles; return when each frame was drawn, in ms, from Chromium's trace."""
    canvas, browser = page.locator("canvas").bounding_box(), page.context.browser
    assert canvas is not None
    assert browser is not None
    x, y = canvas["x"] + canvas["width"] / 2, canvas["y"] + canvas["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    with TemporaryDirectory() as folder:
        file = Path(folder) / "trace.json"
        browser.start_tracing(page=page, path=file, categories=[FRAMES])
        end, turns = time.monotonic() + seconds, 0
        while time.monotonic() < end:
            turns += 1
            page.mouse.move(x + 120 * math.sin(turns / 15), y + 90 * math.cos(turns / 15))
        browser.stop_tracing()
        events = json.loads(file.read_text())["traceEvents"]
    page.mouse.up()
    return sorted(each["ts"] / 1000 for each in events if each["name"] == "DrawFrame")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--calls", type=int, default=200, help="for each source of Explore")
    parser.add_argument("--seconds", type=float, default=10.0, help="of panning")
    options = parser.parse_args()
    items = texts.items(options.items)
    server = akin_server(AKIN_EMBEDDER="local", AKIN_CONSOLE_LISTEN="127.0.0.1:0")
    with server as running, akin.Client(running.address) as client:
        fill(client, items, options.calls)
        settle(running.address)
        address = running.console_address
        explore(address, sources(items, options.calls))
        with open_map(f"http://{address}", min(len(items), MAX_POINTS)) as page:
            drawn = pan(page, options.seconds)
    gaps = [after - before for before, after in pairwise(drawn)]
    rate = 1000 * len(gaps) / (drawn[-1] - drawn[0])
    print(f"panning the map: {rate:.0f} frames/s, p95 {quantiles(gaps, n=20)[-1]:.0f} ms a frame")


if __name__ == "__main__":
    main()
