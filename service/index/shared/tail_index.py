"""The latest changes of a catalog, which the engine of its shared index may still lack.

Reads take the items in it from here, and not from the engine: so a read sees every write that this
process has followed, however far behind the engine is.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import takewhile
from typing import NamedTuple

from service.domain.filters import Filter
from service.domain.items import BEGINNING, Anchor, Change
from service.domain.vectors import Mask
from service.index.faiss_exact import ExactIndex
from service.index.item_index import ItemIndex
from service.index.read_requests import NearestRequest, Restriction
from service.index.vector_index import merge_hits

# Changes that are kept. Beyond it they are dropped, and reads wait until the engine has them: about
# 100 MB with 256 dimensions.
MAX_TAIL_CHANGES = 50_000

# The same for the bytes of vectors: long texts have many. They are there twice, as changes and to
# be searched.
MAX_TAIL_BYTES = 128 * 1024 * 1024


class LatestChange(NamedTuple):
    """The last change of an item, which a write up to `sequence` made."""

    sequence: int
    change: Change


class TailIndex(ItemIndex):
    """The items that have changed after `start`. Not thread-safe.

    Args:
        dimensions: the width of every vector.
        clock_ns: returns the time in nanoseconds since 1970.
        start: the sequence number up to which changes are missing.
        max_changes: the number of changes that are kept.
        max_bytes: the size of the vectors that are kept.
    """

    def __init__(
        self,
        dimensions: int,
        clock_ns: Callable[[], int],
        start: int,
        max_changes: int = MAX_TAIL_CHANGES,
        max_bytes: int = MAX_TAIL_BYTES,
    ) -> None:
        super().__init__(ExactIndex(dimensions), clock_ns)
        self._max_changes = max_changes
        self._max_bytes = max_bytes
        self._vector_bytes = 0
        self.start = self.sequence = start
        # Those that changed first come first.
        self._latest: dict[str, LatestChange] = {}

    @property
    def change_count(self) -> int:
        """The number of items that have changed, deleted ones included."""
        return len(self._latest)

    def apply(self, changes: Sequence[Change], sequence: int, anchor: Anchor = BEGINNING) -> None:
        """Apply changes of distinct items, oldest first, that lead up to `sequence`."""
        super().apply(changes, sequence, anchor)
        for change in changes:
            self._forget(change.item_id)
            self._latest[change.item_id] = LatestChange(sequence, change)
            self._vector_bytes += _count_bytes(change)
        if len(self._latest) > self._max_changes or self._vector_bytes > self._max_bytes:
            self._clear()

    def drop_deleted(self, item_ids: Collection[str], sequence: int) -> int:
        """Drop everything: which items were deleted in the meantime is not known.

        Returns:
            0, because no item is left over.
        """
        del item_ids
        with self.lock:
            self.sequence = max(self.sequence, sequence)
            self._clear()
            self._deletions_sequence = sequence
        return 0

    def trim(self, reached: int) -> None:
        """Drop the changes that the engine has: those up to a sequence number."""
        if reached <= self.start:
            return
        old = [
            item_id
            for item_id, _ in takewhile(
                lambda entry: entry[1].sequence <= reached, self._latest.items()
            )
        ]
        for item_id in old:
            self._forget(item_id)
        self._remove(self._find_present_keys(old))
        self.start = min(reached, self.sequence)

    def select_unchanged(self, changes: Iterable[Change]) -> list[Change]:
        """Return those items of the engine that have not changed after `start`."""
        return [change for change in changes if change.item_id not in self._latest]

    def find(self, item_ids: Iterable[str]) -> list[Change]:
        """Return those items that are here and not deleted, pending ones included."""
        return [
            latest.change
            for item_id in item_ids
            if (latest := self._latest.get(item_id)) is not None
            and latest.change.attributes is not None
            and item_id in self._keys
        ]

    def find_nearest(self, request: NearestRequest) -> list[Change]:
        """Return the items here that are nearest to the queries of a request."""
        if not len(self):
            return []
        allowed = self._compute_allowed(request.restriction)
        hits = self.vectors.search(request.queries, request.limit, allowed=allowed)
        return self.find(self.get_ids(merge_hits(hits).keys.tolist()))

    def find_allowed(self, item_ids: Iterable[str], restriction: Restriction) -> list[Change]:
        """Return those items that are here, are searchable, and that a restriction allows."""
        allowed = self._compute_allowed(restriction)
        allowed_ids = [
            item_id
            for item_id in item_ids
            if (key := self.find_key(item_id)) is not None and allowed[key]
        ]
        return self.find(allowed_ids)

    def find_matching(self, filter_: Filter | None, *, searchable: bool) -> list[str]:
        """Return the ids of items here that match a filter, with or without pending ones."""
        mask = self.attributes.compute_mask(filter_ or Filter())
        return [
            item_id
            for item_id, key in self._keys.items()
            if mask[key] and (not searchable or key in self.vectors)
        ]

    def has_changed(self, item_id: str) -> bool:
        """Return whether an item has changed after `start`."""
        return item_id in self._latest

    def list_changed_ids(self) -> list[str]:
        """Return the ids of all items that have changed, deleted ones included."""
        return list(self._latest)

    def _compute_allowed(self, restriction: Restriction) -> Mask:
        """Return a mask by key of what a restriction allows."""
        filter_ = restriction.filter or Filter()
        allowed = self.compute_mask(filter_, self._find_present_keys(restriction.exclude_ids))
        if restriction.text_vectors_only:
            self._own_vector_keys.exclude_from(allowed)
        if restriction.excluded_values:
            allowed &= ~self.attributes.compute_value_mask(
                restriction.excluded_attribute, restriction.excluded_values
            )
        return allowed

    def _find_present_keys(self, item_ids: Iterable[str]) -> list[int]:
        return [self._keys[item_id] for item_id in item_ids if item_id in self._keys]

    def _forget(self, item_id: str) -> None:
        """Drop the last change of an item, if there is one."""
        latest = self._latest.pop(item_id, None)
        if latest is not None:
            self._vector_bytes -= _count_bytes(latest.change)

    def _clear(self) -> None:
        self._remove(list(self._keys.values()))
        self._latest.clear()
        self._vector_bytes = 0
        self.start = self.sequence


def _count_bytes(change: Change) -> int:
    return sum(map(len, change.vectors))
