"""The overview: what is pending, and since when."""

from pathlib import Path

from playwright.sync_api import Browser
from support.browser import ConsoleServer, open_page
from support.provider import ScriptedProvider, settings_for


def test_pending_items_have_a_reason_and_an_age(browser: Browser, tmp_path: Path) -> None:
    """While the provider is down, the page has the number of items, why, and the oldest one."""
    with ScriptedProvider() as provider:
        settings = {"EMBEDDER": "auto", **settings_for(provider)}
        with ConsoleServer(tmp_path, **settings) as server, server.client() as client:
            provider.close()
            for item_id in ("a", "b"):
                assert not client.upsert_item(item_id, "tea").embedded
            with open_page(browser) as page:
                page.goto(server.link("overview"))
                row = page.get_by_role("listitem").filter(has_text="EMBEDDING_UNAVAILABLE")
                row.get_by_text("2 items").wait_for()
                row.get_by_text("The oldest was written").wait_for()
                time = row.locator("time").get_attribute("datetime")
            assert time == client.get_item("a").update_time.ToJsonString()
