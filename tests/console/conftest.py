from collections.abc import Callable, Iterator
from contextlib import ExitStack

import akin
import pytest
from playwright.sync_api import Browser, Page, sync_playwright
from support.browser import (
    CHROMIUM,
    ConsoleServer,
    import_samples,
    open_page,
    require_console,
)

OpenPage = Callable[..., Page]


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsoleServer]:
    require_console()
    with ConsoleServer(tmp_path_factory.mktemp("console")) as running:
        with running.client() as client:
            import_samples(client)
        yield running


@pytest.fixture(scope="module")
def browser(server: ConsoleServer) -> Iterator[Browser]:
    """Chromium, for one file of tests: while Playwright runs, no asynchronous test can."""
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def client(server: ConsoleServer) -> Iterator[akin.Client]:
    with server.client() as connected:
        yield connected


@pytest.fixture
def show(browser: Browser, server: ConsoleServer) -> Iterator[OpenPage]:
    """Opens a page of the console by name, with the options of `open_page`."""
    with ExitStack() as stack:

        def open_it(
            name: str, query: str = "", catalog: str = "default", **options: object
        ) -> Page:
            page = stack.enter_context(open_page(browser, **options))  # type: ignore[arg-type]
            page.goto(server.link(name, query, catalog))
            page.get_by_role("heading", level=1).wait_for()
            page.wait_for_load_state("networkidle")
            return page

        yield open_it
