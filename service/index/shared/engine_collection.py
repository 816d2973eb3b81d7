"""The port of an engine's collection: the items of one generation, for all replicas."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple, Protocol

from service.domain.filters import Filter
from service.domain.items import Anchor, Change
from service.domain.vectors import Vectors
from service.index.read_requests import Restriction


class CollectionMark(NamedTuple):
    """The last write that a collection may reflect, and its place in the history of the store."""

    sequence: int
    anchor: Anchor


class FoundItem(NamedTuple):
    """An item that a search found, with the inner product of a vector and the query."""

    item_id: str
    score: float


class CollectionReads(Protocol):
    """Reads of a collection. Every method can raise IndexUnavailable."""

    async def fetch(self, item_ids: Sequence[str]) -> list[Change]:
        """Return those items that are there, pending ones included."""

    async def fetch_allowed(
        self, item_ids: Sequence[str], restriction: Restriction
    ) -> list[Change]:
        """Return those items that are there, are searchable, and that a restriction allows."""

    async def search(
        self, queries: Vectors, limit: int, restriction: Restriction, *, exact: bool
    ) -> list[list[FoundItem]]:
        """Return for each query the items of the `limit` nearest vectors, nearest first.

        An item can occur several times, with several of its vectors.
        """

    async def count(
        self, filter_: Filter | None, *, searchable: bool, exclude_ids: Collection[str] = ()
    ) -> int:
        """Return the number of items that match a filter, with or without pending ones.

        Args:
            filter_: what they must match.
            searchable: whether to leave out pending ones.
            exclude_ids: items that do not count.
        """

    async def list_ids(self, filter_: Filter | None, limit: int, *, searchable: bool) -> list[str]:
        """Return the ids of up to `limit` items that match a filter, in the order of hashes."""

    async def read_first_vectors(self, limit: int) -> tuple[list[str], Vectors]:
        """Return the first `limit` vectors in the order of hashes, each with the id of its item."""

    async def fetch_attributes(self, item_ids: Sequence[str]) -> list[str]:
        """Return the attributes of items as JSON, in no particular order."""


class CollectionWrites(Protocol):
    """Writes to a collection. Every method can raise IndexUnavailable."""

    async def create(self) -> None:
        """Create the collection, without an error if it is there."""

    async def drop(self) -> None:
        """Drop the collection, without an error if it is gone."""

    async def read_mark(self) -> CollectionMark | None:
        """Return what the collection may reflect; None if it is lost or another one."""

    async def apply(self, changes: Sequence[Change], mark: CollectionMark) -> None:
        """Apply changes of distinct items that lead up to a mark.

        Applying them again changes nothing, nor does it later than changes that lead further.
        """

    async def forget_deleted(self, before_seconds: int) -> None:
        """Drop what items leave that were deleted before a time, in seconds since 1970 UTC."""
