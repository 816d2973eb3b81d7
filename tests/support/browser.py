"""Chromium, the console of a running server, and what its pages must never do."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import akin
import pytest
from playwright.sync_api import Browser, Page

from service.cli.demo import SAMPLE_BOOKS
from service.console.site import INDEX_FILE, STATIC_FOLDER
from support.processes import AKIN
from support.server import RunningServer, environment

CHROMIUM = Path("/usr/bin/chromium")

# How long a step may take before a test gives up: far more than it takes on a busy machine.
STEP_SECONDS = 60.0

# The console finds out what a key may do by a change of no setting, which is invalid if it is
# permitted. Browsers log the answer.
PROBE = re.compile(r"status of 400 .*/v1/catalogs/[^/]*$")

WIDE = (1280, 900)
PHONE = (390, 844)


class ConsoleServer(RunningServer):
    """A server with a console on a free port; `url` is its address."""

    def __init__(self, folder: Path, **settings: str) -> None:
        defaults = {"CONSOLE_LISTEN": "127.0.0.1:0", "EMBEDDER": "local"}
        super().__init__(folder, **defaults | settings)
        port = self.wait_for("console_listening")["address"].rpartition(":")[2]
        self.url = f"http://127.0.0.1:{port}"

    def link(self, page: str, query: str = "", catalog: str = "default") -> str:
        """The address of a page."""
        return f"{self.url}/#/{catalog}/{page}{query}"


@contextmanager
def console_command(
    address: str, folder: Path, **variables: str
) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A running `akin console` for a server: its address and its process."""
    process = subprocess.Popen(
        [*AKIN, "console", "--address", address],
        env=environment(folder) | variables,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        found = re.search(r"http://\S+?(?=/#/)", process.stdout.readline())
        assert found is not None
        yield found[0], process
    finally:
        process.kill()
        process.communicate()


def import_samples(client: akin.Client) -> None:
    """Stores the sample books and two readers."""
    rows = [json.loads(line) for line in SAMPLE_BOOKS.read_text().splitlines()]
    books = (akin.item(row["id"], row["text"], row["attributes"]) for row in rows)
    assert all(result.code == 0 for result in client.import_items(books))
    client.upsert_user(
        "ann",
        ["expeditions, mountains and the sea", akin.Preference(text="science fiction", weight=-1)],
        ["book:winnie-the-pooh"],
    )
    client.upsert_user("bob", ["how to cook well"], ["book:dune", "book:hyperion"])


def require_console() -> None:
    """Skips a test, and says why, where Chromium or the build of the console is missing."""
    if not CHROMIUM.exists():
        pytest.skip(f"no browser: {CHROMIUM} is missing")
    if not (STATIC_FOLDER / INDEX_FILE).exists():
        pytest.skip("the console is not built: run `make console`")


@contextmanager
def open_page(
    browser: Browser,
    *,
    size: tuple[int, int] = WIDE,
    scheme: str = "light",
    allowed: tuple[str, ...] = (),
) -> Iterator[Page]:
    """A page of a session of its own, which fails the test at its end if it had errors.

    A breach of the Content-Security-Policy is such an error, too. `allowed` are parts of the
    errors, or of the addresses they are about, that are no failure.
    """
    errors: list[str] = []
    viewport = {"width": size[0], "height": size[1]}
    context = browser.new_context(viewport=viewport, color_scheme=scheme)  # type: ignore[arg-type]
    context.set_default_timeout(STEP_SECONDS * 1000)
    page = context.new_page()
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on(
        "console",
        lambda message: (
            errors.append(f"{message.text} {message.location.get('url', '')}")
            if message.type in {"error", "warning"}
            else None
        ),
    )
    yield page
    context.close()
    errors = [error for error in errors if not PROBE.search(error)]
    assert [] == [error for error in errors if not any(part in error for part in allowed)]
