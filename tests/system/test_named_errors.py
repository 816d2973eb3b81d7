"""Errors name the item, user or catalog that they are about."""

from collections.abc import Callable
from typing import Any

import akin
import grpc
import pytest
from support.server import RunningServer

MISSING: dict[str, Callable[[akin.Client, str], Any]] = {
    "get_item": lambda client, id_: client.get_item(id_),
    "update_item": lambda client, id_: client.update_item(id_, attributes={"a": 1}),
    "update_item with a text": lambda client, id_: client.update_item(id_, text="tea"),
    "delete_item": lambda client, id_: client.delete_item(id_),
    "recommend by item": lambda client, id_: client.recommend_similar(item_id=id_),
    "find_duplicates": lambda client, id_: list(client.find_duplicates(item_id=id_)),
    "get_user": lambda client, id_: client.get_user(id_),
    "update_user": lambda client, id_: client.update_user(id_, preferences=["tea"]),
    "delete_user": lambda client, id_: client.delete_user(id_),
    "recommend by user": lambda client, id_: client.recommend_similar(user_id=id_),
    "get_catalog": lambda client, id_: client.get_catalog(id_),
    "update_catalog": lambda client, id_: client.update_catalog(id_, new_item_boost=1.0),
    "delete_catalog": lambda client, id_: client.delete_catalog(id_),
    "call in a catalog": lambda client, id_: client.catalog(id_).list_items(),
}


@pytest.mark.parametrize("call", MISSING.values(), ids=MISSING.keys())
def test_missing_things_are_named(
    server: RunningServer, call: Callable[[akin.Client, str], Any]
) -> None:
    """NOT_FOUND names the id that the caller gave."""
    with server.client() as client, pytest.raises(akin.AkinError) as caught:
        call(client, "nobody-has-it")
    assert grpc.StatusCode.NOT_FOUND == caught.value.code
    assert "'nobody-has-it' does not exist" in caught.value.message


def test_sequence_mismatch_names_the_id(server: RunningServer, prefix: str) -> None:
    """ABORTED names the item or user whose sequence differs, and both numbers."""
    item_id = f"{prefix}tea"
    with server.client() as client:
        sequence = client.upsert_item(item_id, "green tea").item.sequence
        for text in ("green tea", "black tea"):
            with pytest.raises(akin.AkinError) as caught:
                client.upsert_item(item_id, text, expected_sequence=1_000_000_000)
            assert grpc.StatusCode.ABORTED == caught.value.code
            assert caught.value.message == (
                f"the sequence of item {item_id!r} is {sequence}, not 1000000000"
            )
        client.upsert_user(item_id, ["tea"])
        with pytest.raises(akin.AkinError, match=f"the sequence of user '{item_id}' is"):
            client.update_user(item_id, preferences=["coffee"], expected_sequence=1_000_000_000)


def test_existing_catalog_is_named(server: RunningServer) -> None:
    """ALREADY_EXISTS names the catalog, and errors of a re-embedding name it too."""
    with server.client() as client:
        with pytest.raises(akin.AkinError, match="catalog 'default' exists already"):
            client.create_catalog("default")
        with pytest.raises(akin.AkinError, match="catalog 'default' is not being re-embedded"):
            client.get_reembedding()


def test_control_characters_of_an_id_are_escaped(server: RunningServer) -> None:
    """An id that is valid but odd is quoted, so that it cannot forge the rest of a message."""
    with server.client() as client, pytest.raises(akin.AkinError) as caught:
        client.get_item("it's \u202e odd")
    assert 'item "it\'s \\u202e odd" does not exist' == caught.value.message
