"""The index of a catalog's items: their vectors and attributes, and which key is which item.

It holds the live items; its vector index holds exactly those that are searchable: pending items
have no vectors yet. Whoever reads or changes it holds its lock for one consistent piece of work.
"""

from __future__ import annotations

import heapq
import json
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.domain.filters import Filter
from service.domain.items import BEGINNING, Anchor, Change
from service.domain.vectors import Keys, Mask, Vectors
from service.index.attributes import Attributes
from service.index.corpus_sample import CorpusSample
from service.index.corpus_statistics import CorpusStatistics
from service.index.expiry_queue import ExpiryQueue
from service.index.own_vector_keys import OwnVectorKeys
from service.index.recent_changes import RecentChanges
from service.index.term_index import TermIndex
from service.index.vector_index import (
    Hits,
    IndexState,
    StateFile,
    VectorIndex,
    VectorMaintenance,
    VectorSearch,
)

# More excluded keys than these are removed from a filter's mask, which costs a copy of the mask.
MAX_SEPARATE_EXCLUSIONS = 64


class ItemIndexState(NamedTuple):
    """The content of an item index as of `sequence`: arrays and files by name.

    `anchor` is its place in the history of the store.
    """

    sequence: int
    arrays: Mapping[str, NDArray[Any]]
    files: Mapping[str, StateFile]
    anchor: Anchor = BEGINNING


class ItemIndex:
    """The live items of one catalog, as of `sequence`.

    `anchor` is its place in the history of the store.
    It gives each item a key of its own, a small number that is free again once the item is gone.
    `rekeyed_ids` are the items that became searchable or no longer are.
    `vectors` searches the vectors of the searchable items by key, `maintenance` builds and
    describes that index, and `attributes` has the attributes of all live items by key. `sample`
    represents the vectors. `terms` has the words of the items' texts; None if the index is for
    searches by vectors alone. `written_keys` are the keys whose vectors changed last.
    `is_temporary` tells that it has a few items for one read only.
    `lacks_own_vector_keys` tells that the index is from a snapshot that does not say which items
    have vectors of their callers.

    Args:
        index: an empty vector index.
        clock_ns: returns the time in nanoseconds since 1970.
        terms: an empty index of words, if changes have terms.
    """

    is_temporary = False

    def __init__(
        self, index: VectorIndex, clock_ns: Callable[[], int], terms: TermIndex | None = None
    ) -> None:
        self.lock = threading.Lock()
        self.sequence = 0
        self.anchor = BEGINNING
        self.rekeyed_ids = RecentChanges[str]()
        self.vectors: VectorSearch = index
        self.maintenance: VectorMaintenance = index
        self.sample = CorpusSample(index, self.get_ids)
        self.written_keys = RecentChanges[int]()
        self.attributes = Attributes()
        self.terms = terms
        self.lacks_own_vector_keys = False
        self._own_vector_keys = OwnVectorKeys()
        self._clock_ns = clock_ns
        self._deletions_sequence = 0
        self._keys: dict[str, int] = {}
        self._ids: list[str] = []
        self._free_keys: list[int] = []
        self._expiries = ExpiryQueue()

    def __len__(self) -> int:
        """Return the number of searchable items."""
        return len(self.vectors)

    def compute_statistics(self) -> CorpusStatistics:
        """Return the statistics of all vectors."""
        return CorpusStatistics(len(self), self.vectors.mean(), self.read_sample())

    def read_sample(self) -> Vectors:
        """Return vectors that represent the catalog: see CorpusSample."""
        return self.sample.read()

    @property
    def present_seconds(self) -> float:
        """The time in seconds since 1970 UTC."""
        return self._clock_ns() / 1e9

    @property
    def is_empty(self) -> bool:
        """Whether there is no item, not even a pending one."""
        return not self._keys

    @property
    def complete_deletions(self) -> int:
        """The sequence number up to which no deleted item is left in the index."""
        return max(self.sequence, self._deletions_sequence)

    def drop_deleted(self, item_ids: Collection[str], sequence: int) -> int:
        """Drop the items that are not among `item_ids`, and return their number.

        Args:
            item_ids: all items that exist as of `sequence`; none if the index is empty.
            sequence: a sequence number of the store, beyond that of the index.
        """
        with self.lock:
            keys = [key for item_id, key in self._keys.items() if item_id not in item_ids]
            self._remove(keys)
            self._deletions_sequence = sequence
        return len(keys)

    def apply(self, changes: Sequence[Change], sequence: int, anchor: Anchor = BEGINNING) -> None:
        """Apply changes of distinct items, oldest first, that lead up to `sequence`.

        Args:
            changes: the changes.
            sequence: the last sequence number that they reflect.
            anchor: its place in the history of the store.
        """
        deleted_ids = [change.item_id for change in changes if change.attributes is None]
        if deleted_ids:
            keys_by_id = self._keys
            self._remove(keys_by_id[item_id] for item_id in deleted_ids if item_id in keys_by_id)
        upserts = [change for change in changes if change.attributes is not None]
        keys = [self._assign_key(change.item_id) for change in upserts]
        for key, change in zip(keys, upserts, strict=True):
            self._expiries.schedule(key, change.expire_time_us)
        self._write_vectors(keys, upserts)
        self._own_vector_keys.update(keys, [change.has_own_vectors for change in upserts])
        self.attributes.upsert(keys, [json.loads(change.attributes or "") for change in upserts])
        if self.terms is not None:
            self.terms.upsert(keys, [change.term_counts for change in upserts])
        self.sequence, self.anchor = sequence, anchor

    @property
    def lacks_terms(self) -> bool:
        """Whether words are to be searched for, but the index is from a snapshot without any."""
        return self.terms is not None and not len(self.terms) and not self.is_empty

    def add_terms(self, changes: Sequence[Change]) -> None:
        """Add the terms of the items among `changes` that are in the index."""
        assert self.terms is not None  # noqa: S101  (the caller has asked `lacks_terms`)
        own = [change for change in changes if change.item_id in self._keys]
        keys = [self._keys[change.item_id] for change in own]
        self.terms.upsert(keys, [change.term_counts for change in own])

    def add_own_vector_keys(self, item_ids: Collection[str]) -> None:
        """Note which items have vectors of their callers; ids that are not in it are ignored."""
        keys = [self._keys[item_id] for item_id in item_ids if item_id in self._keys]
        self._own_vector_keys.update(keys, [True] * len(keys))
        self.lacks_own_vector_keys = False

    def drop_expired(self) -> None:
        """Remove the items whose expire time has come."""
        if self._expiries.is_empty:
            return
        expired_keys = self._expiries.pop_expired(self._clock_ns() // 1_000)
        if expired_keys:
            self._remove(expired_keys)

    def capture(self) -> ItemIndexState:
        """Return the whole content for a snapshot; later writes do not change it."""
        index = self.maintenance.capture()
        ids = "\n".join(self._ids).encode()
        arrays: dict[str, NDArray[Any]] = {
            "ids": np.frombuffer(ids, np.uint8),
            "expiring": np.fromiter(self._expiries.times_us, np.int64),
            "expire_times_us": np.fromiter(self._expiries.times_us.values(), np.int64),
            "own_vector_keys": self._own_vector_keys.capture(),
            **{f"index/{name}": array for name, array in index.arrays.items()},
            **{f"attributes/{name}": array for name, array in self.attributes.capture().items()},
        }
        if self.terms is not None:
            arrays |= {f"terms/{name}": array for name, array in self.terms.capture().items()}
        return ItemIndexState(self.sequence, arrays, index.files, self.anchor)

    def restore(self, state: ItemIndexState, files: Mapping[str, Path]) -> None:
        """Fill an empty item index from a captured state and the files that were written for it.

        After an error the item index must not be used.

        Raises:
            KeyError: an array or a file is missing.
            ValueError: the arrays and files do not belong together.
        """
        arrays = state.arrays
        self.maintenance.restore(IndexState(_select(arrays, "index/"), {}), files)
        self.attributes.restore(_select(arrays, "attributes/"))
        term_arrays = _select(arrays, "terms/")
        if self.terms is not None and term_arrays:
            self.terms.restore(term_arrays)
        text = arrays["ids"].tobytes().decode()
        self._ids = text.split("\n") if text else []
        self._keys = {item_id: key for key, item_id in enumerate(self._ids) if item_id}
        self.sample.replace(())  # chosen now, while no read waits for it
        self._free_keys = [key for key, item_id in enumerate(self._ids) if not item_id]
        times = zip(arrays["expiring"].tolist(), arrays["expire_times_us"].tolist(), strict=True)
        for key, time_us in times:
            self._expiries.schedule(key, time_us)
        self.lacks_own_vector_keys = "own_vector_keys" not in arrays
        if not self.lacks_own_vector_keys:
            own_keys = arrays["own_vector_keys"].tolist()
            self._own_vector_keys.update(own_keys, [True] * len(own_keys))
        self.sequence, self.anchor = state.sequence, state.anchor
        self.rekeyed_ids.note_unlisted()

    def find_key(self, item_id: str) -> int | None:
        """Return the key of an item, None if it is not searchable."""
        key = self._keys.get(item_id)
        return key if key is not None and key in self.vectors else None

    def find_keys(self, item_ids: Iterable[str]) -> list[int]:
        """Return the keys of those items that are searchable."""
        return [key for item_id in item_ids if (key := self.find_key(item_id)) is not None]

    def find_matching_keys(self, item_ids: Iterable[str], filter_: Filter | None) -> dict[str, int]:
        """Return the keys, by id, of those items that are searchable and pass a filter."""
        keys = {item_id: key for item_id in item_ids if (key := self.find_key(item_id)) is not None}
        if filter_ is None:
            return keys
        allowed = self.attributes.compute_mask(filter_)
        return {item_id: key for item_id, key in keys.items() if allowed[key]}

    def get_ids(self, keys: Iterable[int]) -> list[str]:
        """Return the item ids of keys."""
        ids = self._ids
        return [ids[key] for key in keys]

    def list_keys(self, filter_: Filter | None) -> Keys:
        """Return the keys of all searchable items that pass a filter, in no particular order."""
        keys = self.vectors.keys()
        return keys if filter_ is None else keys[self.attributes.compute_mask(filter_)[keys]]

    def list_ids(self, filter_: Filter, after: str, limit: int) -> tuple[list[str], int]:
        """Return the first `limit` ids beyond `after` of items that pass, and how many pass in all.

        Pending items are included.
        """
        keys = np.flatnonzero(self.attributes.compute_mask(filter_)).tolist()
        ids = self._ids
        ids_beyond = (item_id for key in keys if (item_id := ids[key]) > after)
        return heapq.nsmallest(limit, ids_beyond), len(keys)

    def compute_mask(self, filter_: Filter, exclude: Collection[int]) -> Mask:
        """Return a mask by key of what passes a filter and is not excluded."""
        mask = self.attributes.compute_mask(filter_).copy()
        mask[list(exclude)] = False
        return mask

    def compute_text_vector_mask(
        self, filter_: Filter | None, exclude: Collection[int]
    ) -> Mask | None:
        """Return a mask like `compute_mask`, without items whose callers gave the vectors.

        Returns:
            The mask; None if there is no such item, so that `restrict_search` does.
        """
        if not self._own_vector_keys:
            return None
        mask = self.compute_mask(filter_ or Filter(), exclude)
        self._own_vector_keys.exclude_from(mask)
        return mask

    def restrict_search(
        self, filter_: Filter | None, exclude: Collection[int]
    ) -> tuple[Collection[int], Mask | None]:
        """Return `exclude` and `allowed` for a search with a filter and keys to leave out."""
        if filter_ is None:
            return exclude, None
        if len(exclude) > MAX_SEPARATE_EXCLUSIONS:
            return (), self.compute_mask(filter_, exclude)
        return exclude, self.attributes.compute_mask(filter_)

    def rank_hits(self, hits: Hits, limit: int) -> list[tuple[str, float, int]]:
        """Return ids, scores and keys of the best `limit` hits: highest first, equal ones by id."""
        ids = self._ids
        ranked = [
            (-score, ids[key], key)
            for key, score in zip(hits.keys.tolist(), hits.scores.tolist(), strict=True)
        ]
        ranked.sort()
        return [(item_id, -score, key) for score, item_id, key in ranked[:limit]]

    def _assign_key(self, item_id: str) -> int:
        """Return the item's key, a new one for a new item."""
        key = self._keys.get(item_id)
        if key is None:
            if self._free_keys:
                key = self._free_keys.pop()
                self._ids[key] = item_id
            else:
                key = len(self._ids)
                self._ids.append(item_id)
            self._keys[item_id] = key
        return key

    def _write_vectors(self, keys: Sequence[int], changes: Sequence[Change]) -> None:
        """Write the vectors of changed items to the vector index."""
        keyed_changes = list(zip(keys, changes, strict=True))
        pending_keys = [key for key, change in keyed_changes if not change.vectors]
        if pending_keys:
            self.maintenance.delete(pending_keys)
            self.sample.discard(pending_keys)
            self.written_keys.note(pending_keys)
        keyed_vectors = [
            (key, vector)
            for key, change in keyed_changes
            if not self._has_vectors(key, change.vectors)
            for vector in change.vectors
        ]
        self._note_rekeyed(pending_keys)
        self._note_rekeyed([key for key, _ in keyed_vectors if key not in self.vectors])
        if keyed_vectors:
            vectors = np.frombuffer(b"".join(vector for _, vector in keyed_vectors), "<f4")
            owners = [key for key, _ in keyed_vectors]
            self.maintenance.upsert(owners, vectors.reshape(-1, self.vectors.dimensions))
            self.sample.replace(owners)
            self.written_keys.note(dict.fromkeys(owners))

    def _has_vectors(self, key: int, vectors: Sequence[bytes]) -> bool:
        """Return whether an item has these vectors already, as after a change of attributes.

        What is written is searched beside the graphs, until the next one is built.
        """
        if key not in self.vectors:
            return False
        present = np.frombuffer(b"".join(vectors), "<f4").reshape(-1, self.vectors.dimensions)
        return self.vectors.has_vectors(key, present)

    def _note_rekeyed(self, keys: Collection[int]) -> None:
        """Note that the items with these keys become searchable or no longer are."""
        self.rekeyed_ids.note([self._ids[key] for key in keys])

    def _remove(self, keys: Iterable[int]) -> None:
        # A key whose expire time was moved away and back can be there twice.
        distinct = set(keys)
        self._note_rekeyed(distinct)
        self.maintenance.delete(distinct)
        self.sample.discard(distinct)
        self.written_keys.note(distinct)
        self.attributes.delete(distinct)
        self._own_vector_keys.discard(distinct)
        if self.terms is not None:
            self.terms.delete(distinct)
        for key in distinct:
            del self._keys[self._ids[key]]
            self._ids[key] = ""
            self._expiries.discard(key)
        self._free_keys.extend(distinct)


def _select(arrays: Mapping[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[Any]]:
    """Return the arrays whose names begin with a prefix, without the prefix."""
    return {
        name.removeprefix(prefix): array
        for name, array in arrays.items()
        if name.startswith(prefix)
    }
