"""`akin console` in the browser: pages without a key of their own use the one of the command."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser
from support.browser import ConsoleServer, console_command, open_page
from support.security import entry, write_keys

# The answers that say what the key may not do are errors for the browser's own log.
REFUSALS = ("/v1/catalogs",)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, browser: Browser) -> Iterator[ConsoleServer]:
    """A server with the catalogs `default` and `shop`, and keys that may not do everything."""
    folder = tmp_path_factory.mktemp("lent")
    write_keys(
        folder / "keys.json",
        entry("owner", "read", "write", "admin"),
        entry("writer", "read", "write"),
        entry("seller", "read", catalogs=["shop"]),
    )
    with ConsoleServer(folder, API_KEYS=str(folder / "keys.json")) as running:
        with running.client(api_key="owner-key") as client:
            client.create_catalog("shop")
        yield running


@pytest.mark.parametrize(("key", "may_manage"), [("writer-key", 0), ("owner-key", 1)])
def test_only_what_the_key_of_the_command_may_do_is_offered(
    browser: Browser,
    guarded: ConsoleServer,
    tmp_path_factory: pytest.TempPathFactory,
    key: str,
    may_manage: int,
) -> None:
    """A key that may write without managing catalogs does not get their settings offered."""
    folder = tmp_path_factory.mktemp("command")
    with (
        console_command(guarded.address, folder, AKIN_API_KEY=key) as (url, _),
        open_page(browser, allowed=REFUSALS) as page,
    ):
        page.goto(f"{url}/#/default/items")
        page.get_by_role("button", name="Upload a file").wait_for()
        page.get_by_role("link", name="Overview").click()
        page.get_by_role("heading", name="How the catalog recommends").wait_for()
        assert may_manage == page.get_by_role("button", name="Change the settings").count()


def test_another_catalog_can_be_chosen(
    browser: Browser, guarded: ConsoleServer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """If the key of the command is for another catalog, the page says so and asks for its name."""
    folder = tmp_path_factory.mktemp("command")
    with (
        console_command(guarded.address, folder, AKIN_API_KEY="seller-key") as (url, _),
        open_page(browser, allowed=REFUSALS) as page,
    ):
        page.goto(f"{url}/#/default/items")
        page.get_by_role("alert").get_by_text("not for this catalog").wait_for()
        assert 0 == page.get_by_label("API key").count()
        page.get_by_label("Catalog").fill("shop")
        page.get_by_role("button", name="Open").click()
        page.get_by_text("0 items").wait_for()
        assert "#/shop/items" in page.url
