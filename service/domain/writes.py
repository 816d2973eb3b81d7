"""Writes of items and users as callers request them, already validated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from service.domain.filters import Filter
from service.domain.items import Item, JsonValue
from service.domain.users import User


class ItemField(Enum):
    """A field that an update can change as a whole."""

    TEXT = "text"
    ATTRIBUTES = "attributes"
    EXPIRE_TIME = "expire_time"
    VECTORS = "vectors"


class UserField(Enum):
    """A field that an update can change as a whole."""

    PREFERENCES = "preferences"
    LIKED_ITEMS = "liked_items"


@dataclass(frozen=True, slots=True)
class ItemUpsert:
    """An item to store.

    `expected_sequence` is the sequence number that the stored item must have, 0 meaning no item;
    None means any.
    """

    item: Item
    require_indexed: bool = False
    expected_sequence: int | None = None


@dataclass(frozen=True, slots=True)
class ItemUpdate:
    """Changes of an item: `fields` are taken from `item`, other fields keep their values.

    `attributes` maps attributes at the top level to their new values; `removed_attributes` go.
    Neither is set if `fields` has all attributes.
    """

    item: Item
    fields: frozenset[ItemField] = frozenset()
    attributes: Mapping[str, JsonValue] = field(default_factory=dict)
    removed_attributes: frozenset[str] = frozenset()
    require_indexed: bool = False
    expected_sequence: int | None = None

    @property
    def changes_vectors(self) -> bool:
        """Whether the item gets other vectors: those of its text, or some of its own."""
        return bool(self.fields & {ItemField.TEXT, ItemField.VECTORS})

    def apply_to(self, stored: Item) -> Item:
        """Return the stored item with the changes."""
        attributes: Mapping[str, JsonValue]
        if ItemField.ATTRIBUTES in self.fields:
            attributes = self.item.attributes
        else:
            attributes = {
                name: value
                for name, value in {**stored.attributes, **self.attributes}.items()
                if name not in self.removed_attributes
            }
        return Item(
            stored.item_id,
            self.item.text if ItemField.TEXT in self.fields else stored.text,
            attributes,
            self.item.expire_time_us
            if ItemField.EXPIRE_TIME in self.fields
            else stored.expire_time_us,
            self.item.vectors if ItemField.VECTORS in self.fields else (),
        )


@dataclass(frozen=True, slots=True)
class ItemsDeletion:
    """Items to delete: those with these ids, or with a filter those that match it."""

    item_ids: tuple[str, ...] = ()
    filter: Filter | None = None
    validate_only: bool = False


@dataclass(frozen=True, slots=True)
class UserUpsert:
    """A user to store; `expected_sequence` as for items."""

    user: User
    expected_sequence: int | None = None


@dataclass(frozen=True, slots=True)
class UserUpdate:
    """Changes of a user: `fields` are taken from `user`, other fields keep their values."""

    user: User
    fields: frozenset[UserField]
    expected_sequence: int | None = None

    def apply_to(self, stored: User) -> User:
        """Return the stored user with the changes."""
        source = {field: self.user if field in self.fields else stored for field in UserField}
        return User(
            stored.user_id,
            source[UserField.PREFERENCES].preferences,
            source[UserField.LIKED_ITEMS].liked_items,
        )
