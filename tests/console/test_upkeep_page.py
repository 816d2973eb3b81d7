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
    page.get_by_text("Items as Book: {text}, queries as {text}").wait_for()
    commit = page.get_by_role("button", name="Commit the new model")
    assert "button-danger" in (commit.get_attribute("class") or "")
    page.get_by_role("button", name="Roll back").click()
    page.get_by_role("dialog").get_by_role("button", name="Roll back").click()
    page.get_by_role("button", name="Estimate").wait_for()
    assert before == client.get_catalog().space


def test_results_are_there_again_after_another_tab(show: Callable[..., Page]) -> None:
    """Tabs keep what was searched for in them."""
    page = show("upkeep")
    page.get_by_label("Minimum similarity").fill("0.5")
    page.get_by_role("button", name="Find near-duplicates").click()
    page.get_by_text("No near-duplicates.").wait_for()
    page.get_by_role("tab", name="Outliers").click()
    page.get_by_role("button", name="Find outliers").wait_for()
    page.get_by_text("No near-duplicates.").wait_for(state="hidden")
    page.get_by_role("tab", name="Near-duplicates").click()
    page.get_by_text("No near-duplicates.").wait_for()
    assert "0.5" == page.get_by_label("Minimum similarity").input_value()


def test_search_needs_a_similarity(show: Callable[..., Page]) -> None:
    """An empty minimum similarity searches for nothing, and does not stand for 0."""
    page = show("upkeep")
    page.get_by_label("Minimum similarity").fill("")
    page.get_by_role("button", name="Find near-duplicates").click()
    assert page.get_by_label("Minimum similarity").evaluate(
        "(field) => field.validity.valueMissing"
    )
    assert page.get_by_role("button", name="Cancel").count() == 0
    assert page.get_by_text("No near-duplicates.").count() == 0


def test_rest_of_a_group_claims_nothing_about_a_deleted_item(
    show: Callable[..., Page], client: akin.Client
) -> None:
    """Without its first item, a group shows no similarities to it and no other first item."""
    for name in ("first", "second", "third"):
        client.upsert_item(f"kite-{name}", "A red kite of paper for windy days at the beach")
    page = show("upkeep")
    page.get_by_role("button", name="Find near-duplicates").click()
    group = page.get_by_role("region", name="Group of 3").filter(has_text="kite-first")
    group.wait_for()
    assert ["created first", "1.000", "1.000"] == group.locator(".tag").all_inner_texts()
    group.get_by_label("Mark to delete: kite-first").check()
    group.get_by_role("button", name="Delete 1 marked item").click()
    page.get_by_role("button", name="Delete 1 item").click()
    rest = page.get_by_role("region", name="Group of 2").filter(has_text="kite-second")
    rest.get_by_text("Search again for their similarities.").wait_for()
    assert rest.locator(".tag").count() == 0
    for name in ("second", "third"):
        client.delete_item(f"kite-{name}")
