"""Values that only the stores and their callers exchange."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from service import errors
from service.domain.items import Item, StoredItem
from service.domain.users import StoredUser, User
from service.domain.vectors import Chunk

# The time of the next attempt for an item that is not tried again before it is written again or the
# server restarts.
NEVER_US = 2**62

# Why an item is pending in a generation for which its write had no vectors.
NOT_YET_REASON = errors.EmbeddingUnavailable.reason
NOT_YET_MESSAGE = "the text is not embedded with the new model yet"


@dataclass(frozen=True, slots=True)
class ItemVectors:
    """The chunks of an item's text in the generation of a write, or why there are none.

    Vectors that the caller gave are chunks, too, at addresses of their own.

    `pending_reason` is the reason code of the error and `pending_message` its explanation; both are
    empty if there are chunks. `others` are the chunks in other generations, by generation id. If
    they are `required`, the item is not stored without chunks in the generation that serves then.
    """

    chunks: Sequence[Chunk] = ()
    pending_reason: str = ""
    pending_message: str = ""
    others: Mapping[int, Sequence[Chunk]] = field(default_factory=dict)
    required: bool = False


@dataclass(frozen=True, slots=True)
class ItemWrite:
    """An item to store, with its vectors: those of its text, or the caller's."""

    item: Item
    vectors: ItemVectors


@dataclass(frozen=True, slots=True)
class UserWrite:
    """A user to store, with the chunks of the preferences by generation id.

    In generations without chunks, the preferences are pending. If `chunks` is None, the preferences
    stay as they are stored, and with them their vectors.
    """

    user: User
    chunks: Mapping[int, Sequence[Chunk]] | None = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ItemPage:
    """Items by ascending id, the number of items on all pages, and whether more items follow."""

    items: Sequence[StoredItem]
    total: int
    more: bool


@dataclass(frozen=True, slots=True)
class UserPage:
    """Users by ascending id, the number of users on all pages, and whether more users follow."""

    users: Sequence[StoredUser]
    total: int
    more: bool


class Deletion(NamedTuple):
    """The number of deleted items, and the sequence number of the last deletion or 0."""

    deleted_count: int
    sequence: int


@dataclass(frozen=True, slots=True)
class ItemExcerpt:
    """The beginning of an item's text, and its attributes as JSON, for analyses.

    Of two items, the one with the lower `item_key` was created first. `is_pending` tells that the
    text has no vectors yet.
    """

    text: str
    attributes: str
    sequence: int
    item_key: int
    is_pending: bool


@dataclass(frozen=True, slots=True)
class UnembeddedItem:
    """An item whose text has to be embedded.

    `attempts` is the number of attempts that failed in a row for the same `reason`.
    """

    item_key: int
    text: str
    attempts: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class UserPreferences:
    """The texts of a user's preferences as of a read of the user."""

    user_key: int
    texts: Sequence[str]


class FillProgress(NamedTuple):
    """The number of items in a catalog, and how many a generation has vectors for or rejects."""

    item_count: int
    embedded: int
    rejected: int


def require_sequence(
    noun: str, id_: str, stored: StoredItem | StoredUser | None, expected_sequence: int | None
) -> None:
    """Check the sequence number of an item or user; 0 expects none, None expects nothing.

    Args:
        noun: item or user.
        id_: its id.
        stored: the item or user; None if it does not exist.
        expected_sequence: the sequence number that the caller expects.

    Raises:
        SequenceMismatch: it has another sequence number.
    """
    sequence = 0 if stored is None else stored.sequence
    if expected_sequence not in {None, sequence}:
        raise errors.SequenceMismatch(
            f"the sequence of {noun} {id_!r} is {sequence}, not {expected_sequence}"
        )
