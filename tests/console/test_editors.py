"""Values that are easily changed by showing and editing them."""

from collections.abc import Callable, Iterator

import akin
import pytest
from google.protobuf.json_format import MessageToDict
from playwright.sync_api import Page
from support.browser import PHONE, WIDE

ATTRIBUTES = {
    "lines": "first\nsecond\n\tthird",
    "windows": "first\r\nsecond",
    "control": "a\u0000b",
    "quoted": "12",
    "price": 10,
}


@pytest.fixture
def stored(client: akin.Client) -> Iterator[None]:
    """An item and a user whose texts have line breaks."""
    client.upsert_item("lines", "A thing", ATTRIBUTES)
    client.upsert_user("lines", ["tea\nand cake"])
    yield
    client.delete_item("lines")
    client.delete_user("lines")


@pytest.mark.usefixtures("stored")
def test_attributes_keep_their_characters(show: Callable[..., Page], client: akin.Client) -> None:
    """Editing one attribute stores the others as they were, and line breaks can be written."""
    page = show("items", "?id=lines")
    page.get_by_role("button", name="Edit attributes").click()
    values = page.get_by_label("Value of attribute")
    for place in range(values.count()):
        # An edit that changes nothing: the page then stores what the control has.
        values.nth(place).press("End")
        values.nth(place).press("x")
        values.nth(place).press("Backspace")
    page.get_by_role("button", name="Add an attribute").click()
    page.get_by_label("Name of attribute").last.fill("new")
    values.last.fill("one\ntwo")
    page.get_by_role("button", name="Save").click()
    page.get_by_role("button", name="Edit attributes").wait_for()
    attributes = MessageToDict(client.get_item("lines").attributes)
    assert {**ATTRIBUTES, "new": "one\ntwo"} == attributes


@pytest.mark.usefixtures("stored")
def test_preferences_keep_their_lines(show: Callable[..., Page], client: akin.Client) -> None:
    """A preference of several lines has them after an edit."""
    page = show("users", "?id=lines")
    page.get_by_role("button", name="Edit", exact=True).click()
    page.get_by_label("Value of preference 1").press("Control+End")
    page.get_by_label("Value of preference 1").press("!")
    page.get_by_role("button", name="Store").click()
    page.get_by_role("button", name="Store").wait_for(state="detached")
    assert "tea\nand cake!" == client.get_user("lines").preferences[0].text


@pytest.mark.parametrize("item_id", [".", ".."])
def test_ids_that_are_steps_of_a_path_can_be_opened_and_deleted(
    show: Callable[..., Page], client: akin.Client, item_id: str
) -> None:
    """Their address cannot be called by a browser, so calls that name them otherwise are used."""
    client.upsert_item(item_id, "A thing with a strange id")
    page = show("items", f"?id={item_id}")
    dialog = page.get_by_role("dialog")
    dialog.get_by_text("A thing with a strange id").first.wait_for()
    dialog.get_by_role("button", name="Edit attributes").click()
    dialog.get_by_role("button", name="Save").click()
    dialog.get_by_role("alert").get_by_text(f"Browsers cannot send the id “{item_id}”").wait_for()
    dialog.get_by_role("button", name="Cancel").click()
    dialog.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_role("button", name="Delete the item").click()
    page.get_by_role("dialog").first.wait_for(state="detached")
    assert [item_id] == list(client.batch_get_items([item_id]).missing_item_ids)


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("Learn vector<int> and Map<K, V>", "Learn vector<int> and Map<K, V>"),
        ("a < b and c > d", "a < b and c > d"),
        ('<p class="x">Tea &amp; <b>cake</b></p>', "Tea & cake"),
        ('<p style="color: red">Tea</p><p>Cake</p>', "Tea Cake"),
        ("<p>Tea</p><script>stop()</script><style>p { }</style>", "Tea"),
        ("<b>Use</b> List<String><br/>", "Use List<String>"),
    ],
)
def test_only_markup_is_left_out_of_titles(
    show: Callable[..., Page], client: akin.Client, text: str, title: str
) -> None:
    """Tags of HTML, scripts and styles are not shown, and other angle brackets are."""
    client.upsert_item("0-markup", text)
    page = show("items")
    entry = page.get_by_role("listitem").filter(has_text="0-markup")
    assert title == entry.get_by_role("link").first.inner_text()
    client.delete_item("0-markup")


# The width that a list of choices takes when nothing limits it, and the width that it has.
MEASURE = """
(select) => {
  const copy = select.cloneNode(true);
  copy.style.cssText = "width: max-content; position: absolute";
  select.after(copy);
  const widths = [copy.getBoundingClientRect().width, select.getBoundingClientRect().width];
  copy.remove();
  return widths;
}
"""


@pytest.mark.parametrize("size", [WIDE, PHONE])
@pytest.mark.parametrize(("name", "query"), [("items", ""), ("explore", "?item=book%3Adune")])
def test_choices_of_a_filter_are_whole(
    show: Callable[..., Page], name: str, query: str, size: tuple[int, int]
) -> None:
    """No choice of a condition is cut, on a wide page, between two settings and on a phone."""
    page = show(name, query, size=size)
    if name == "explore":
        page.get_by_text("Filter · no filter").first.click()
    page.get_by_role("button", name="Add a condition").first.click()
    for choice in ("Group of condition 1", "Test of condition 1"):
        needed, given = page.get_by_label(choice).evaluate(MEASURE)
        assert needed <= given
    assert page.get_by_label("Value of condition 1").bounding_box()["width"] > 60  # type: ignore[index]
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_range_without_a_number_is_refused(show: Callable[..., Page]) -> None:
    """A bound that is no number and no time is named, and no former list is shown for it."""
    page = show("items")
    page.get_by_role("button", name="Add a condition").click()
    page.get_by_label("Attribute of condition 1").fill("year")
    page.get_by_label("Test of condition 1").select_option("lt")
    page.get_by_label("Value of condition 1").fill("1700")
    page.get_by_text("match the filter").wait_for()
    page.get_by_label("Value of condition 1").fill("abc")
    page.get_by_role("alert").get_by_text("“abc” is not a number").wait_for()
    page.get_by_text("336 items", exact=True).wait_for()


def test_number_of_clusters_is_checked(show: Callable[..., Page]) -> None:
    """A number that no map can have is named."""
    page = show("map")
    page.get_by_role("spinbutton", name="Clusters").fill("-3")
    page.get_by_text("enter a whole number from 1 to 1,000").wait_for()


def test_items_without_attributes_are_aligned(
    show: Callable[..., Page], client: akin.Client
) -> None:
    """The links at the end of the entries are below each other."""
    client.upsert_item("0-plain", "A thing without attributes")
    page = show("items")
    links = page.get_by_role("list", name="Items").get_by_role("link", name="Explore")
    ends = {
        round(box["x"] + box["width"])
        for box in (links.nth(place).bounding_box() for place in range(3))
        if box is not None
    }
    assert 1 == len(ends)
    client.delete_item("0-plain")
