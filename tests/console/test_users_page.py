"""Users: store, edit, delete, upload."""

from collections.abc import Callable
from pathlib import Path

import akin
import pytest
from playwright.sync_api import Page
from support.browser import PHONE


def test_user_is_stored_edited_and_deleted(show: Callable[..., Page], client: akin.Client) -> None:
    """Preferences and liked items are stored with their weights."""
    page = show("users")
    page.get_by_role("button", name="New user").click()
    page.get_by_label("Id", exact=True).fill("eve")
    page.get_by_role("button", name="Add a preference").click()
    page.get_by_label("Value of preference 1").fill("quiet novels")
    page.get_by_role("button", name="Add a liked item").click()
    page.get_by_label("Value of liked item 1").fill("book:dune")
    page.get_by_label("Weight of liked item 1").fill("-0.5")
    page.get_by_role("button", name="Store").click()
    page.get_by_role("link", name="eve", exact=True).click()
    page.get_by_role("button", name="Edit").click()
    page.get_by_label("Value of preference 1").fill("loud novels")
    page.get_by_role("button", name="Store").click()
    page.get_by_text("loud novels").first.wait_for()
    user = client.get_user("eve")
    assert ["loud novels"] == [preference.text for preference in user.preferences]
    assert [("book:dune", -0.5)] == [(liked.item_id, liked.weight) for liked in user.liked_items]
    page.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_role("button", name="Delete the user").click()
    page.get_by_role("dialog").first.wait_for(state="detached")
    with pytest.raises(akin.AkinError, match="eve"):
        client.get_user("eve")


def test_dislikes_are_no_likes(show: Callable[..., Page]) -> None:
    """The list says which preferences of a user are dislikes."""
    entry = show("users").get_by_role("listitem").filter(has_text="ann")
    entry.get_by_text("and the sea; dislikes science fiction").wait_for()


def test_times_of_interactions_fit_a_phone(show: Callable[..., Page], client: akin.Client) -> None:
    """The table of interactions is not wider than the dialog."""
    client.record_interactions([akin.interaction("zoe", "book:dune", "PURCHASE")])
    page = show("users", "?id=zoe", size=PHONE, allowed=("/users/zoe",))
    table = page.get_by_role("region", name="Interactions")
    table.get_by_text("Dune").wait_for()
    assert table.evaluate("element => element.scrollWidth <= element.clientWidth")
    client.delete_interactions(user_id="zoe")


def test_users_are_uploaded(show: Callable[..., Page], client: akin.Client, tmp_path: Path) -> None:
    """Plain strings stand for preferences and liked items with the weight 1."""
    file = tmp_path / "users.jsonl"
    file.write_text(
        '{"user_id": "up-ann", "preferences": ["tea", {"text": "war", "weight": -1}], '
        '"liked_items": ["book:dune"]}\n{"preferences": []}\n'
    )
    page = show("users")
    page.get_by_role("button", name="Upload a file").click()
    page.get_by_label("File").set_input_files(file)
    page.get_by_role("button", name="Upload", exact=True).click()
    page.get_by_text("Done: 1 stored, 1 refused.").wait_for()
    user = client.get_user("up-ann")
    assert [("tea", 1), ("war", -1)] == [(each.text, each.weight) for each in user.preferences]
    client.delete_user("up-ann")


def test_interactions_fit_a_phone(show: Callable[..., Page], client: akin.Client) -> None:
    """The time of an interaction is not cut off."""
    client.record_interactions([akin.Interaction(user_id="cy", item_id="book:dune", type="LIKE")])
    # A person with interactions alone is not stored, which browsers log.
    page = show("users", "?id=cy", size=PHONE, allowed=("/users/cy",))
    table = page.get_by_role("region", name="Interactions")
    table.wait_for()
    assert table.evaluate("(region) => region.scrollWidth <= region.clientWidth")
