"""The console while the embedding provider or the server is away."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page
from support.browser import ConsoleServer, open_page
from support.provider import ScriptedProvider, settings_for


@pytest.fixture(scope="module")
def cut_off(tmp_path_factory: pytest.TempPathFactory, browser: Browser) -> Iterator[ConsoleServer]:
    """A server with the item `a`, whose provider has gone."""
    with ScriptedProvider() as provider:
        settings = {"EMBEDDER": "auto", **settings_for(provider)}
        folder = tmp_path_factory.mktemp("cut-off")
        with ConsoleServer(folder, **settings) as server:
            with server.client() as client:
                assert client.upsert_item("a", "tea").embedded
            provider.close()
            yield server


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page for which failed calls are no failure of the test."""
    with open_page(browser, allowed=("Failed to load resource",)) as opened:
        yield opened


def test_an_id_is_found_without_the_provider(page: Page, cut_off: ConsoleServer) -> None:
    """The item with the id that was typed is listed, with the error of the search by text."""
    page.goto(cut_off.link("explore"))
    page.get_by_label("Search items by id or text").fill("a")
    page.get_by_role("button", name="Search").click()
    page.get_by_role("alert").wait_for()
    page.get_by_role("list", name="Items").get_by_role("button", name="tea a").wait_for()


def test_recommendations_can_be_tried_again(page: Page, cut_off: ConsoleServer) -> None:
    """A column whose call failed has a button that makes the call again."""
    page.goto(cut_off.link("explore", "?for=texts"))
    page.get_by_label("Text 1", exact=True).fill("coffee")
    page.get_by_role("button", name="Recommend", exact=True).click()
    side = page.get_by_role("region", name="Setting A")
    retry = side.get_by_role("button", name="Try again")
    with page.expect_response(lambda response: response.url.endswith(":recommend")):
        retry.click()


def test_a_pending_item_is_named_as_such(page: Page, cut_off: ConsoleServer) -> None:
    """Who stores an item during an outage sees that it is stored and not yet recommended."""
    page.goto(cut_off.link("items"))
    page.get_by_role("button", name="New item").click()
    page.get_by_label("Id", exact=True).fill("b")
    page.get_by_label("Text", exact=True).fill("cocoa")
    page.get_by_role("button", name="Store").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_text("The item is stored, but not yet recommended").wait_for()
    dialog.get_by_role("button", name="Done").click()
    page.get_by_text("2 items", exact=True).wait_for()


def test_the_overview_claims_nothing_of_a_server_that_is_away(
    page: Page, cut_off: ConsoleServer
) -> None:
    """While calls fail, the page does not say that the API answers, and says so again later."""
    page.goto(cut_off.link("overview"))
    health = page.get_by_role("region", name="Health")
    health.wait_for()
    page.context.set_offline(True)
    page.get_by_role("button", name="Refresh").click()
    page.get_by_text("The server does not answer").wait_for()
    assert 0 == health.count()
    page.context.set_offline(False)
    page.get_by_role("button", name="Try again").click()
    health.wait_for()
