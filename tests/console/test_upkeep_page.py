"""Upkeep: near-duplicates, outliers, re-embedding."""

from collections.abc import Callable

import akin
from playwright.sync_api import Page


def test_the_worse_of_a_pair_is_deleted(show: Callable[..., Page], client: akin.Client) -> None:
    """The copy of an item is found, and only the marked one of the pair is deleted."""
    original = client.get_item("book:dune")
    client.upsert_item("copy-of-dune", original.text)
    page = show("upkeep")
    page.get_by_role("button", name="Find near-duplicates").click()
    group = page.get_by_role("region", name="Group of 2").filter(has_text="copy-of-dune")
    group.get_by_label("Mark to delete: copy-of-dune").check()
    group.get_by_role("button", name="Delete 1 marked item").click()
    page.get_by_role("button", name="Delete 1 item").click()
    group.wait_for(state="detached")
    assert original.text == client.get_item("book:dune").text
    assert ["copy-of-dune"] == list(client.batch_get_items(["copy-of-dune"]).missing_item_ids)


def test_outliers_are_those_of_the_api(show: Callable[..., Page], client: akin.Client) -> None:
    """The strongest outlier comes first."""
    page = show("upkeep")
    page.get_by_role("tab", name="Outliers").click()
    page.get_by_role("button", name="Find outliers").click()
    shown = page.get_by_role("list", name="Outliers").locator(".entry-name .id")
    shown.first.wait_for()
    expected = [outlier.item_id for outlier in client.find_outliers(limit=50).outliers]
    assert expected == shown.all_inner_texts()


def test_reembedding_is_started_and_rolled_back(
    show: Callable[..., Page], client: akin.Client
) -> None:
    """An estimate, the start, the switch and the way back, all from the page."""
    before = client.get_catalog().space
    # That nothing is under way is the answer NOT_FOUND, which browsers log.
    page = show("upkeep", allowed=("/reembedding",))
    page.get_by_role("tab", name="Re-embedding").click()
    page.get_by_text("Templates", exact=True).click()
    page.get_by_label("Text of an item").fill("Book: {text}")
    page.get_by_role("button", name="Estimate").click()
    page.get_by_text("336, of which 0 are embedded already").wait_for()
    page.get_by_role("button", name="Start re-embedding").click()
    page.get_by_role("button", name="Start", exact=True).click()
    page.get_by_role("heading", name="The new model serves").wait_for()
    assert "Book: {text}" == client.get_catalog().space.template
    page.get_by_role("button", name="Roll back").click()
    page.get_by_role("dialog").get_by_role("button", name="Roll back").click()
    page.get_by_role("button", name="Estimate").wait_for()
    assert before == client.get_catalog().space
