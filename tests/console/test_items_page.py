"""Items: list, filter, view, edit, delete, and the upload of a file."""

from collections.abc import Callable
from pathlib import Path

import akin
import pytest
from google.protobuf.json_format import MessageToDict
from playwright.sync_api import Page


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
    page.get_by_role("dialog").wait_for(state="detached")
    with pytest.raises(akin.AkinError, match="deleted"):
        client.get_item("deleted")


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
