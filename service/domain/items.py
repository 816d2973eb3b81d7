"""Items, as callers write them and as the store holds them.

Times are whole microseconds since 1970-01-01 UTC, which SQLite stores and compares exactly.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple, TypeAlias

# Any JSON value; numbers are doubles, as in google.protobuf.Struct.
JsonValue: TypeAlias = "bool | float | str | Sequence[JsonValue] | Mapping[str, JsonValue] | None"


class ItemState(Enum):
    """Whether the item's present text has vectors and can be recommended."""

    INDEXED = "indexed"
    PENDING = "pending"


@dataclass(frozen=True, slots=True)
class Item:
    """An item as a caller writes it.

    `vectors` are float32 bytes of vectors that replace those of the text; if there are none, the
    text is embedded. Items that the store returns have none: see StoredItem.
    """

    item_id: str
    text: str
    attributes: Mapping[str, JsonValue] = field(default_factory=dict)
    expire_time_us: int | None = None
    vectors: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class StoredItem:
    """An item as the store holds it: the version that `sequence` wrote.

    `pending_reason` is the reason code of the error that keeps it pending, and `pending_message`
    its explanation; both are empty if it is not pending. `vectors` are those of its chunks, as
    float32 bytes, if they were requested. `has_own_vectors` tells that the caller gave them; a
    pending item has none, even if those of its former version still serve.
    """

    item: Item
    state: ItemState
    sequence: int
    update_time_us: int
    pending_reason: str = ""
    pending_message: str = ""
    vectors: Sequence[bytes] = ()
    has_own_vectors: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """A change of one item, for a follower: its vectors as float32 bytes, empty if not served.

    `attributes` are JSON; None means that the item is deleted. `term_counts` say how often its text
    has each term, if the follower requests them. `has_own_vectors` tells that a caller gave the
    vectors, those of a former version if the item is pending.
    """

    item_id: str
    attributes: str | None
    vectors: Sequence[bytes]
    expire_time_us: int | None
    term_counts: Mapping[str, int] = field(default_factory=dict)
    has_own_vectors: bool = False


class Anchor(NamedTuple):
    """A place in the history of a store: a commit's last sequence number, and its random token.

    A failover can take the last numbers back and give them to other writes. As long as the store
    still has a reader's anchor, the reader has read the history of this store, and no other.
    """

    sequence: int
    token: int


# Before the first write, and in a store that never loses a commit: confirmed by every store.
BEGINNING = Anchor(0, 0)


class ChangedCatalogs(NamedTuple):
    """The catalogs that have changed up to the sequence number `reached`.

    `anchor` is a place in the store's history at `reached` or later. `confirmed_anchors` are it and
    those of the asked ones that are in that history, too.
    """

    catalog_ids: Collection[int]
    reached: int
    anchor: Anchor = BEGINNING
    confirmed_anchors: Collection[Anchor] = (BEGINNING,)


class ChangeBatch(NamedTuple):
    """Changes of distinct items that lead up to the sequence number `reached`.

    Deletions up to `purged_sequence` can be missing in it: their tombstones are gone. `anchor` is a
    place in the store's history at `reached` or later. If the store does not confirm the reader's
    own anchor, `is_confirmed` is False, and there are no changes.
    """

    changes: Sequence[Change]
    reached: int
    purged_sequence: int
    anchor: Anchor = BEGINNING
    is_confirmed: bool = True
