"""What holds for each page, in both schemes of color and in both sizes."""

from collections.abc import Callable

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page
from support.browser import PHONE, WIDE

PAGES = {
    "overview": "",
    "explore": "?item=book%3Adune",
    "items": "",
    "users": "",
    "map": "",
    "upkeep": "",
}

SEVERE = {"serious", "critical"}


def violations(page: Page) -> list[str]:
    """The severe problems of accessibility that axe finds, with the elements."""
    return [
        f"{found['id']}: {[node['target'] for node in found['nodes']]}"
        for found in Axe().run(page).response["violations"]
        if found["impact"] in SEVERE
    ]


def overflow(page: Page) -> int:
    """By how many pixels the page is wider than its window."""
    width = page.evaluate(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    return int(width)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
@pytest.mark.parametrize("name", PAGES)
def test_page_is_sound(
    show: Callable[..., Page], name: str, size: tuple[int, int], scheme: str
) -> None:
    """Each page fits its window, is accessible, and causes no error in the browser."""
    page = show(name, PAGES[name], size=size, scheme=scheme)
    assert 0 == overflow(page)
    assert [] == violations(page)


@pytest.mark.parametrize(
    ("name", "query"),
    [("items", "?id=book%3Adune"), ("users", "?id=ann"), ("explore", "?user=ann")],
    ids=["item", "user", "explore a user"],
)
def test_dialogs_are_sound(show: Callable[..., Page], name: str, query: str) -> None:
    """Dialogs and the other ways to explore fit a phone and are accessible, too."""
    page = show(name, query, size=PHONE)
    assert 0 == overflow(page)
    assert [] == violations(page)


@pytest.mark.parametrize("tab", ["Outliers", "Re-embedding"])
def test_tabs_are_sound(show: Callable[..., Page], tab: str) -> None:
    """Each tab of the upkeep fits a phone and is accessible."""
    # That nothing is under way is the answer NOT_FOUND, which browsers log.
    page = show("upkeep", size=PHONE, allowed=("/reembedding",))
    page.get_by_role("tab", name=tab).click()
    page.wait_for_load_state("networkidle")
    assert 0 == overflow(page)
    assert [] == violations(page)


def test_keyboard_reaches_the_content(show: Callable[..., Page]) -> None:
    """The first stop of the Tab key skips the navigation."""
    page = show("items")
    page.keyboard.press("Tab")
    assert "Skip to the content" == page.evaluate("document.activeElement.textContent")
    page.keyboard.press("Enter")
    assert "content" == page.evaluate("document.activeElement.id")
    assert "#/default/items" in page.url
