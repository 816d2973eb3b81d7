"""Items: list, filter, view, edit, delete, and the upload of a file."""

from collections.abc import Callable
from pathlib import Path

import akin
import pytest
from google.protobuf.json_format import MessageToDict
from playwright.sync_api import Page, expect
from support.browser import ConsoleServer


def test_filter_lists_matching_items(show: Callable[..., Page], client: akin.Client) -> None:
    """A condition on a number keeps the items that the API keeps for it."""
    page = show("items")
    page.get_by_role("button", name="Add a condition").click()
    page.get_by_label("Attribute of condition 1").fill("year")
    page.get_by_label("Test of condition 1").select_option("lt")
    page.get_by_label("Value of condition 1").fill("1700")
    total = client.list_items(1, where=akin.filters.between("year", lt=1700)).total_size
    page.get_by_text(f"{total} items match the filter", exact=True).wait_for()
    assert total == page.get_by_role("list", name="Items").locator("> li").count()


def test_attributes_are_edited(show: Callable[..., Page], client: akin.Client) -> None:
    """A changed value, a new attribute and a removed one are stored; the others stay."""
    client.upsert_item("edited", "A thing to edit", {"price": 10, "color": "red", "size": "M"})
    page = show("items", "?id=edited")
    page.get_by_role("button", name="Edit attributes").click()
    names = page.get_by_label("Name of attribute")
    values = {names.nth(place).input_value(): place for place in range(names.count())}
    page.get_by_label("Value of attribute").nth(values["price"]).fill("12.5")
    page.get_by_label("Remove attribute").nth(values["color"]).click()
    page.get_by_role("button", name="Add an attribute").click()
    page.get_by_label("Name of attribute").last.fill("tags")
    page.get_by_label("Value of attribute").last.fill('["a", "b"]')
    page.get_by_role("button", name="Save").click()
    page.get_by_role("button", name="Edit attributes").wait_for()
    attributes = MessageToDict(client.get_item("edited").attributes)
    assert {"price": 12.5, "size": "M", "tags": ["a", "b"]} == attributes
    client.delete_item("edited")


def test_a_dialog_is_about_the_item_of_the_address(
    show: Callable[..., Page], server: ConsoleServer
) -> None:
    """With another id in the address, nothing of the former item is shown or offered to delete."""
    page = show("items", "?id=book%3Adune", allowed=("/items/gone",))
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Delete", exact=True).wait_for()
    page.goto(server.link("items", "?id=gone"))
    dialog.get_by_role("alert").wait_for()
    assert dialog.get_by_role("heading", name="gone", exact=True).is_visible()
    assert 0 == dialog.get_by_role("button", name="Delete", exact=True).count()


def test_numbers_of_items_follow_the_writes(show: Callable[..., Page], client: akin.Client) -> None:
    """Once an item is stored, here with the Enter key, the number at the top has it."""
    client.create_catalog("counted")
    page = show("items", catalog="counted")
    page.get_by_role("button", name="New item").click()
    page.get_by_label("Text", exact=True).fill("A text")
    page.get_by_label("Id", exact=True).fill("first")
    page.get_by_label("Id", exact=True).press("Enter")
    page.get_by_label("Catalog").get_by_text("counted (1)").wait_for(state="attached")
    client.delete_catalog("counted")


@pytest.mark.parametrize("address", ["nowhere", "%"])
def test_a_missing_catalog_offers_nothing(show: Callable[..., Page], address: str) -> None:
    """An address without a catalog, or with a wrong escape, says so and offers no writes."""
    page = show("items", catalog=address)
    page.get_by_text(f"There is no catalog {address}.").wait_for()
    assert 0 == page.get_by_role("button", name="Upload a file").count()


def test_an_item_is_deleted_after_a_question(
    show: Callable[..., Page], client: akin.Client
) -> None:
    """Deleting asks first; without the answer nothing happens."""
    client.upsert_item("deleted", "A thing to delete")
    page = show("items", "?id=deleted")
    page.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_role("button", name="Keep").click()
    assert "A thing to delete" == client.get_item("deleted").text
    page.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_role("button", name="Delete the item").click()
    page.get_by_role("dialog").first.wait_for(state="detached")
    with pytest.raises(akin.AkinError, match="deleted"):
        client.get_item("deleted")


def test_one_item_matches(show: Callable[..., Page]) -> None:
    """The line above the list says in good English how many items match."""
    page = show("items")
    page.get_by_role("button", name="Add a condition").click()
    page.get_by_label("Attribute of condition 1").fill("title")
    page.get_by_label("Value of condition 1").fill("Dune")
    page.get_by_text("1 item matches the filter", exact=True).wait_for()


def test_focus_returns_from_dialogs(show: Callable[..., Page]) -> None:
    """A dialog that closes gives the focus back to what opened it, also one within another."""
    page = show("items")
    link = page.get_by_role("list", name="Items").get_by_role("link").first
    link.press("Enter")
    delete = page.get_by_role("button", name="Delete", exact=True)
    delete.press("Enter")
    page.get_by_role("button", name="Keep").wait_for()
    page.keyboard.press("Escape")
    expect(delete).to_be_focused()
    page.keyboard.press("Escape")
    expect(link).to_be_focused()


def test_first_field_has_the_focus(show: Callable[..., Page]) -> None:
    """What is typed after a dialog opens goes to its first field."""
    page = show("items")
    opener = page.get_by_role("button", name="New item")
    opener.press("Enter")
    expect(page.get_by_label("Id", exact=True)).to_be_focused()
    page.keyboard.press("Escape")
    expect(opener).to_be_focused()


def test_a_new_page_of_the_list_starts_at_its_top(show: Callable[..., Page]) -> None:
    """The button for the next page is below the list, which is then shown from its start."""
    page = show("items")
    page.get_by_role("button", name="Next").click()
    page.get_by_text("Page 2").wait_for()
    page.wait_for_function("scrollY === 0")


def test_direction_follows_the_text(show: Callable[..., Page], client: akin.Client) -> None:
    """A text in Hebrew is read from right to left, and one in English is not."""
    for item_id, text, direction in (("he", "ספר טוב (1)", "rtl"), ("en", "A good book", "ltr")):
        client.upsert_item(item_id, text)
        page = show("items", f"?id={item_id}")
        found = page.get_by_role("dialog").locator(".item-text")
        assert direction == found.evaluate("element => getComputedStyle(element).direction")
        client.delete_item(item_id)


def test_new_item_is_stored(show: Callable[..., Page], client: akin.Client) -> None:
    """An id and a text make an item."""
    page = show("items")
    page.get_by_role("button", name="New item").click()
    page.get_by_label("Id", exact=True).fill("typed/in by hand")
    page.get_by_label("Text", exact=True).fill("A text of two\nlines")
    page.get_by_role("button", name="Store").click()
    page.get_by_role("dialog").wait_for(state="detached")
    assert "A text of two\nlines" == client.get_item("typed/in by hand").text
    client.delete_item("typed/in by hand")


FILES = {
    "lines.jsonl": '{"id": "up-1", "text": "One", "attributes": {"n": 1}}\n'
    '{"id": "up-2", "text": ""}\n'
    "\n"
    "no JSON\n"
    '{"id": "up-3", "text": "Three"}\n',
    "table.csv": 'id,text,n\nup-1,"One, with ""quotes""\nand a line",1\n'
    "up-2,,2\nup-3,Three,3\n,No id,4\n",
}


@pytest.mark.parametrize(("name", "lines"), [("lines.jsonl", [2, 4]), ("table.csv", [4, 6])])
def test_upload_lists_refused_lines(
    show: Callable[..., Page], client: akin.Client, tmp_path: Path, name: str, lines: list[int]
) -> None:
    """The valid lines of a file are stored, and the others are listed by number."""
    file = tmp_path / name
    file.write_text(FILES[name])
    page = show("items")
    page.get_by_role("button", name="Upload a file").click()
    page.get_by_label("File").set_input_files(file)
    page.get_by_role("button", name="Upload", exact=True).click()
    page.get_by_text("Done: 2 stored, 2 refused.").wait_for()
    listed = page.get_by_role("region", name="Refused lines").locator("tbody td.number")
    assert lines == [int(number) for number in listed.all_inner_texts()]
    assert 1 == client.get_item("up-1").attributes["n"]
    assert ["up-2"] == list(client.batch_get_items(["up-1", "up-2", "up-3"]).missing_item_ids)
    client.batch_delete_items(["up-1", "up-3"])


def test_checking_a_file_stores_nothing(
    show: Callable[..., Page], client: akin.Client, tmp_path: Path
) -> None:
    """With the check alone, lines are counted, and the catalog stays as it is."""
    file = tmp_path / "lines.jsonl"
    file.write_text(FILES["lines.jsonl"])
    page = show("items")
    page.get_by_role("button", name="Upload a file").click()
    page.get_by_label("File").set_input_files(file)
    page.get_by_label("Only check the lines; store nothing").check()
    page.get_by_role("button", name="Check", exact=True).click()
    page.get_by_text("Done: 2 valid, 2 refused.").wait_for()
    assert ["up-1", "up-3"] == list(client.batch_get_items(["up-1", "up-3"]).missing_item_ids)
