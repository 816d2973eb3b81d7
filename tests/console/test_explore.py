"""Explore: the source, two settings side by side, and the request as code."""

import json
import subprocess
import sys
from collections.abc import Callable

import akin
import pytest
from playwright.sync_api import Locator, Page, expect
from support.browser import PHONE, ConsoleServer
from support.server import WAIT_SECONDS

ITEM = "?item=book%3Adune"


def ranked(page: Page, side: str) -> list[str]:
    """The ids of the results of a side, best first."""
    cards = list_results(page, side)
    cards.first.wait_for()
    return cards.locator("a.id").all_inner_texts()


def list_results(page: Page, side: str) -> Locator:
    """The cards of a side."""
    return page.get_by_role("region", name=f"Setting {side}").locator(".result")


def snippet(page: Page, language: str) -> str:
    """The request of side A as code."""
    side = page.get_by_role("region", name="Setting A")
    side.get_by_text("Request A as code").click()
    return snippet_text(page, language)


def snippet_text(page: Page, language: str) -> str:
    """The request of side A in another language, once it is open."""
    side = page.get_by_role("region", name="Setting A")
    side.get_by_role("tab", name=language).click()
    return side.locator("pre").inner_text()


def test_an_item_is_found_and_explored(show: Callable[..., Page], client: akin.Client) -> None:
    """Words find an item, and its cards are what RecommendSimilar gives for the two settings."""
    page = show("explore")
    page.get_by_label("Search items by id or text").fill("desert planet with spice and sandworms")
    page.get_by_role("button", name="Search").click()
    page.get_by_role("button", name="Dune book:dune", exact=True).click()
    plain = client.recommend_similar(item_id="book:dune")
    diverse = client.recommend_similar(item_id="book:dune", diversity=0.5)
    assert [hit.item_id for hit in plain.recommendations] == ranked(page, "A")
    assert [hit.item_id for hit in diverse.recommendations] == ranked(page, "B")


def test_the_source_is_the_one_of_the_address(
    show: Callable[..., Page], server: ConsoleServer
) -> None:
    """With the id of no item in the address, the title and text of the former item are gone."""
    page = show("explore", ITEM, allowed=("/items",))
    source = page.get_by_role("region", name="Source")
    source.get_by_role("heading", name="Dune", exact=True).wait_for()
    page.goto(server.link("explore", "?item=gone"))
    source.get_by_role("alert").wait_for()
    assert source.get_by_role("heading", name="gone", exact=True).is_visible()
    assert 0 == source.locator(".excerpt").count()


def test_a_picked_item_is_in_the_address(show: Callable[..., Page]) -> None:
    """A page that is loaded again has the same source, and so has the one before in the history."""
    page = show("explore")
    page.get_by_role("list", name="Items").get_by_role("button").first.click()
    shown = ranked(page, "A")
    page.reload()
    assert shown == ranked(page, "A")
    page.get_by_label("Popular").check(force=True)
    page.get_by_text("The items with the most interactions").wait_for()
    page.go_back()
    expect(list_results(page, "A").locator("a.id")).to_have_text(shown)


def test_an_address_that_returns_at_once_is_followed(show: Callable[..., Page]) -> None:
    """The page shows what its address says, though another one was replaced before it was seen."""
    page = show("explore", ITEM)
    shown = ranked(page, "A")
    page.get_by_label("Popular").evaluate(
        """radio => {
            const former = location.href;
            radio.click();
            history.replaceState(null, "", former);
        }"""
    )
    page.get_by_role("heading", name="Dune", exact=True).wait_for()
    expect(list_results(page, "A").locator("a.id")).to_have_text(shown)


def test_exploring_from_a_result_starts_at_the_top(show: Callable[..., Page]) -> None:
    """The link below a card leads to the source, which is at the top of the page."""
    page = show("explore", ITEM)
    link = page.get_by_role("region", name="Setting A").get_by_text("Explore from this item").last
    link.click()
    page.get_by_role("heading", name="Dune", exact=True).wait_for(state="detached")
    page.wait_for_function("scrollY === 0")


def test_missing_input_is_named(show: Callable[..., Page]) -> None:
    """Asking for recommendations without a text says that one is needed."""
    page = show("explore", "?for=texts")
    page.get_by_role("button", name="Recommend", exact=True).click()
    page.get_by_role("alert").get_by_text("Type a text").wait_for()


def test_an_empty_result_has_a_reason(show: Callable[..., Page], client: akin.Client) -> None:
    """Without interactions, nothing is popular, which no filter has caused."""
    client.create_catalog("unvisited")
    page = show("explore", "?for=popular", catalog="unvisited")
    page.get_by_text("The catalog has not learned enough").first.wait_for()
    assert 0 == page.get_by_text("filter and the minimum score").count()
    client.delete_catalog("unvisited")


def test_an_id_is_found_exactly(show: Callable[..., Page]) -> None:
    """An item's own id finds it first."""
    page = show("explore")
    page.get_by_label("Search items by id or text").fill("book:hyperion")
    page.get_by_role("button", name="Search").click()
    first = page.get_by_role("list", name="Items").get_by_role("button").first
    first.get_by_text("book:hyperion").wait_for()


def test_a_filter_changes_one_side_only(show: Callable[..., Page], client: akin.Client) -> None:
    """A condition on side A is part of its request, and side B stays as it is."""
    page = show("explore", ITEM)
    before = ranked(page, "B")
    side = page.get_by_role("region", name="Setting A")
    side.get_by_text("Filter · no filter").click()
    side.get_by_role("button", name="Add a condition").click()
    side.get_by_label("Attribute of condition 1").fill("language")
    with page.expect_response(lambda response: '"filter"' in (response.request.post_data or "")):
        side.get_by_label("Value of condition 1").fill("ja")
    side.get_by_text("Haruki Murakami").first.wait_for()
    where = akin.filters.equals("language", "ja")
    expected = client.recommend_similar(item_id="book:dune", where=where).recommendations
    assert [hit.item_id for hit in expected] == ranked(page, "A")
    assert before == ranked(page, "B")


def test_texts_with_weights_are_examples(show: Callable[..., Page], client: akin.Client) -> None:
    """A text with a negative weight is one to be unlike, and cards explain the others."""
    page = show("explore")
    page.get_by_label("Texts", exact=True).check(force=True)
    page.get_by_label("Text 1", exact=True).fill("expeditions at sea")
    page.get_by_role("button", name="Add a text").click()
    page.get_by_label("Text 2", exact=True).fill("war")
    page.get_by_label("Weight of text 2").fill("-2")
    page.get_by_role("button", name="Recommend", exact=True).click()
    examples = akin.examples(
        [akin.Example(text="expeditions at sea")], [akin.Example(text="war", weight=2)]
    )
    hits = client.recommend_similar(examples=examples).recommendations
    assert [hit.item_id for hit in hits] == ranked(page, "A")
    page.get_by_text("Similar to “expeditions at sea”").first.wait_for()


def test_a_user_is_explored_on_a_phone(show: Callable[..., Page], client: akin.Client) -> None:
    """A phone shows one side at a time."""
    page = show("explore", "?user=ann", size=PHONE)
    page.get_by_text("expeditions, mountains and the sea; dislikes science fiction").wait_for()
    hits = client.recommend_similar(user_id="ann").recommendations
    assert [hit.item_id for hit in hits] == ranked(page, "A")
    assert page.get_by_role("region", name="Setting B").count() == 0
    page.get_by_role("radio", name="Setting B").check(force=True)
    page.get_by_role("region", name="Setting B").wait_for()


def test_python_snippet_gives_the_same_items(
    show: Callable[..., Page], server: ConsoleServer
) -> None:
    """The Python program that the page shows runs as it is, and prints what the page shows."""
    page = show("explore", ITEM)
    program = snippet(page, "Python")
    assert server.address in snippet_text(page, "gRPC")
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True, timeout=WAIT_SECONDS
    )
    printed = [line.split()[1] for line in done.stdout.decode().splitlines()]
    assert ranked(page, "A") == printed


@pytest.mark.parametrize("name", ['It\'s "quoted" $HOME', "A plain text"])
def test_curl_snippet_gives_the_same_items(show: Callable[..., Page], name: str) -> None:
    """The curl command that the page shows gets the items that the page shows, for any text."""
    page = show("explore")
    page.get_by_label("Texts", exact=True).check(force=True)
    page.get_by_label("Text 1", exact=True).fill(name)
    page.get_by_role("button", name="Recommend", exact=True).click()
    shown = ranked(page, "A")
    command = snippet(page, "curl").replace("curl ", "curl -sS --noproxy '*' ", 1)
    done = subprocess.run(
        ["/bin/sh", "-c", command], capture_output=True, check=True, timeout=WAIT_SECONDS
    )
    assert shown == [each["itemId"] for each in json.loads(done.stdout)["recommendations"]]
