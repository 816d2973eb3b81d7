"""Writes that cannot be stored are refused before their texts are paid for."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from support.catalogs import Catalog, running
from support.clock import FakeClock
from support.embedders import WordEmbedder

from service import errors
from service.domain import limits
from service.domain.items import Item
from service.domain.users import Preference, User
from service.domain.writes import (
    ItemField,
    ItemUpdate,
    ItemUpsert,
    UserField,
    UserUpdate,
    UserUpsert,
)

TEXT = frozenset({ItemField.TEXT})
PREFERENCES = frozenset({UserField.PREFERENCES})
NEW_USER = User("u", (Preference("new"),))
WRONG = 1_000

Write = Callable[[Catalog], Awaitable[object]]

REFUSED: dict[str, tuple[Write, type[errors.AkinError]]] = {
    "UpsertItem": (
        lambda catalog: catalog.items.upsert(ItemUpsert(Item("a", "new"), expected_sequence=WRONG)),
        errors.SequenceMismatch,
    ),
    "UpsertItem that must not exist": (
        lambda catalog: catalog.items.upsert(ItemUpsert(Item("a", "new"), expected_sequence=0)),
        errors.SequenceMismatch,
    ),
    "UpdateItem": (
        lambda catalog: catalog.items.update(
            ItemUpdate(Item("a", "new"), TEXT, expected_sequence=WRONG)
        ),
        errors.SequenceMismatch,
    ),
    "UpdateItem of another item": (
        lambda catalog: catalog.items.update(ItemUpdate(Item("z", "new"), TEXT)),
        errors.ItemNotFound,
    ),
    "UpdateItem with too many attributes": (
        lambda catalog: catalog.items.update(
            ItemUpdate(Item("a", "new"), TEXT, {f"more {n}": n for n in range(10)})
        ),
        errors.InvalidRequest,
    ),
    "UpsertUser": (
        lambda catalog: catalog.users.upsert(UserUpsert(NEW_USER, WRONG)),
        errors.SequenceMismatch,
    ),
    "UpdateUser": (
        lambda catalog: catalog.users.update(UserUpdate(NEW_USER, PREFERENCES, WRONG)),
        errors.SequenceMismatch,
    ),
    "UpdateUser of another user": (
        lambda catalog: catalog.users.update(
            UserUpdate(User("z", NEW_USER.preferences), PREFERENCES)
        ),
        errors.UserNotFound,
    ),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_a_refused_write_embeds_nothing(tmp_path: Path, name: str) -> None:
    """A write with another sequence, or beyond the limits with what is stored, costs nothing."""
    write, error = REFUSED[name]
    embedder = WordEmbedder()
    attributes = {f"attribute {number}": 1.0 for number in range(limits.ATTRIBUTES_KEYS)}
    async with running(tmp_path, embedder, FakeClock()) as catalog:
        await catalog.put_item(Item("a", "tea", attributes))
        await catalog.put_user("u", "coffee")
        with pytest.raises(error):
            await write(catalog)
        assert ["tea", "coffee"] == embedder.texts
