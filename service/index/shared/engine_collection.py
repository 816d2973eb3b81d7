"""The port of an engine's collection: the items of one generation, for all replicas."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple, Protocol

from service.domain.filters import Filter
from service.domain.items import Anchor, Change
from service.domain.vectors import Vectors
from service.index.read_requests import Restriction


class CollectionMark(NamedTuple):
    """The last write that a collection may reflect, and its place in the history of the store."""

    sequence: int
    anchor: Anchor


class FoundPoint(NamedTuple):
    """A point that a search found, with the inner product of its vector and the query."""

    point_id: str
    score: float


class FoundPoints(NamedTuple):
    """The points nearest to each query, nearest first, and the items of those that came along."""

    hits: Sequence[Sequence[FoundPoint]]
    items: Mapping[str, Change]


class CollectionReads(Protocol):
    """Reads of a collection. Every method can raise IndexUnavailable."""

    async def fetch(self, item_ids: Sequence[str]) -> list[Change]:
        """Return those items that are there, pending ones included."""

    async def fetch_allowed(
        self, item_ids: Sequence[str], restriction: Restriction
    ) -> list[Change]:
        """Return those items that are there, are searchable, and that a restriction allows."""

    async def search(
        self,
        queries: Vectors,
        limit: int,
        restriction: Restriction,
        *,
        exact: bool,
        with_items: bool,
    ) -> FoundPoints:
        """Return the `limit` nearest points to each query.

        Args:
            queries: float32 [queries, dimensions].
            limit: the number of points for each query. An item can have several.
            restriction: which items may be found.
            exact: compare with every vector.
            with_items: bring the items of points along, as far as they have one vector.
        """

    async def fetch_points(self, point_ids: Sequence[str]) -> Mapping[str, Change]:
        """Return the items of those points that are there, by the ids of the points."""

    async def count(
        self,
        filter_: Filter | None,
        *,
        searchable: bool,
        exclude_ids: Collection[str] = (),
        now_us: int = 0,
    ) -> int:
        """Return the number of items that match a filter, with or without pending ones.

        Args:
            filter_: what they must match.
            searchable: whether to leave out pending ones.
            exclude_ids: items that do not count.
            now_us: the time in microseconds since 1970 UTC; items that have expired by then do not
                count.
        """

    async def list_ids(
        self, filter_: Filter | None, limit: int, *, searchable: bool, now_us: int = 0
    ) -> list[str]:
        """Return the ids of up to `limit` items that `count` counts, in the order of hashes."""

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
