"""What recommendations are made from: items' vectors and attributes, and which key is which item.

The item index holds the live items; the index in it exactly those that can be recommended now.
Whoever reads or changes it holds its lock for the whole of one consistent piece of work.
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
from service.domain.items import Change
from service.index.attributes import Attributes
from service.index.vector_index import Hits, IndexState, Keys, Mask, VectorIndex

EXCLUDED_APART = 64
"""More excluded keys than these are taken out of a filter's mask, which costs a copy."""


class ItemIndexState(NamedTuple):
    """What an item index holds as of `sequence`: arrays, and how to write each file."""

    sequence: int
    arrays: Mapping[str, NDArray[Any]]
    files: Mapping[str, Callable[[Path], None]]


class ItemIndex:
    """The live items of one catalog, as of `sequence`.

    It gives each item a key of its own, a small number that is free again once the item is gone.
    """

    def __init__(self, index: VectorIndex, clock_us: Callable[[], int]) -> None:
        self.lock = threading.Lock()
        self.sequence = 0
        self.index = index
        self.attributes = Attributes()
        self._clock_us = clock_us
        self._keys: dict[str, int] = {}
        self._ids: list[str] = []
        self._free: list[int] = []
        self._expiries: dict[int, int] = {}
        self._due: list[tuple[int, int]] = []

    def __len__(self) -> int:
        """How many items can be recommended."""
        return len(self.index)

    def apply(self, changes: Sequence[Change], sequence: int) -> None:
        """Takes in changes, oldest first, of distinct items, that lead up to `sequence`."""
        gone = [change.item_id for change in changes if change.attributes is None]
        self._remove(key for item_id in gone if (key := self._keys.get(item_id)) is not None)
        kept = [change for change in changes if change.attributes is not None]
        keys = [self._key(change.item_id) for change in kept]
        self.attributes.upsert(keys, [json.loads(change.attributes or "") for change in kept])
        self._index(keys, kept)
        for key, change in zip(keys, kept, strict=True):
            self._schedule(key, change.expire_time_us)
        self.sequence = sequence

    def capture(self) -> ItemIndexState:
        """All it holds, for a snapshot; nothing in it changes any more."""
        index = self.index.capture()
        ids = "\n".join(self._ids).encode()
        arrays: dict[str, NDArray[Any]] = {
            "ids": np.frombuffer(ids, np.uint8),
            "expiring": np.fromiter(self._expiries, np.int64),
            "expire_times_us": np.fromiter(self._expiries.values(), np.int64),
            **{f"index/{name}": each for name, each in index.arrays.items()},
            **{f"attributes/{name}": each for name, each in self.attributes.capture().items()},
        }
        return ItemIndexState(self.sequence, arrays, index.files)

    def restore(self, state: ItemIndexState, files: Mapping[str, Path]) -> None:
        """Fills an empty item index from what `capture` gave, with the files that were written.

        Raises:
            KeyError, ValueError: it is not what was captured; the item index is of no use then.
        """
        arrays = state.arrays
        self.index.restore(IndexState(_below(arrays, "index/"), {}), files)
        self.attributes.restore(_below(arrays, "attributes/"))
        text = arrays["ids"].tobytes().decode()
        self._ids = text.split("\n") if text else []
        self._keys = {item_id: key for key, item_id in enumerate(self._ids) if item_id}
        self._free = [key for key, item_id in enumerate(self._ids) if not item_id]
        times = zip(arrays["expiring"].tolist(), arrays["expire_times_us"].tolist(), strict=True)
        for key, time_us in times:
            self._schedule(key, time_us)
        self.sequence = state.sequence

    def expire(self) -> None:
        """Drops the items whose time has come; call it before reading."""
        if not self._due or self._due[0][0] > self._clock_us():
            return
        now_us = self._clock_us()
        expired = []
        while self._due and self._due[0][0] <= now_us:
            time_us, key = heapq.heappop(self._due)
            if self._expiries.get(key) == time_us:
                expired.append(key)
        self._remove(expired)

    def key(self, item_id: str) -> int | None:
        """The index's key of an item, if it can be recommended."""
        key = self._keys.get(item_id)
        return key if key is not None and key in self.index else None

    def keys(self, item_ids: Iterable[str]) -> list[int]:
        """The index's keys of those items that can be recommended."""
        return [key for item_id in item_ids if (key := self.key(item_id)) is not None]

    def ids(self, keys: Iterable[int]) -> list[str]:
        """The ids of keys that are there."""
        ids = self._ids
        return [ids[key] for key in keys]

    def findable(self, wanted: Filter | None) -> Keys:
        """The keys of all items that can be recommended and pass, in no particular order."""
        keys = self.index.keys()
        return keys if wanted is None else keys[self.attributes.matching(wanted)[keys]]

    def allowed(self, wanted: Filter, exclude: Collection[int]) -> Mask:
        """Which keys pass a filter and are not excluded, as a mask by key."""
        mask = self.attributes.matching(wanted).copy()
        mask[list(exclude)] = False
        return mask

    def selection(
        self, wanted: Filter | None, exclude: Collection[int]
    ) -> tuple[Collection[int], Mask | None]:
        """What to leave out and what to allow in a search, for keys to exclude and a filter."""
        if wanted is None:
            return exclude, None
        if len(exclude) > EXCLUDED_APART:
            return (), self.allowed(wanted, exclude)
        return exclude, self.attributes.matching(wanted)

    def best(self, hits: Hits, limit: int) -> list[tuple[str, float, int]]:
        """Ids, scores and keys of the best `limit` hits: highest first, equal ones by id."""
        ids = self._ids
        named = [
            (-score, ids[key], key)
            for key, score in zip(hits.keys.tolist(), hits.scores.tolist(), strict=True)
        ]
        named.sort()
        return [(item_id, -score, key) for score, item_id, key in named[:limit]]

    def passing(self, wanted: Filter, after: str, limit: int) -> tuple[list[str], int]:
        """The first `limit` ids beyond `after` of items that pass, and how many pass in all.

        Items that wait for their vectors are among them.
        """
        keys = np.flatnonzero(self.attributes.matching(wanted)).tolist()
        ids = self._ids
        beyond = (item_id for key in keys if (item_id := ids[key]) > after)
        return heapq.nsmallest(limit, beyond), len(keys)

    def _key(self, item_id: str) -> int:
        """The item's key, a new one if need be."""
        key = self._keys.get(item_id)
        if key is None:
            if self._free:
                key = self._free.pop()
                self._ids[key] = item_id
            else:
                key = len(self._ids)
                self._ids.append(item_id)
            self._keys[item_id] = key
        return key

    def _index(self, keys: Sequence[int], changes: Sequence[Change]) -> None:
        """Brings the vectors of changed items into the index."""
        self.index.delete([k for k, each in zip(keys, changes, strict=True) if not each.vectors])
        several = [
            (key, vector)
            for key, change in zip(keys, changes, strict=True)
            for vector in change.vectors
        ]
        if several:
            vectors = np.frombuffer(b"".join(vector for _, vector in several), "<f4")
            self.index.upsert(
                [key for key, _ in several], vectors.reshape(-1, self.index.dimensions)
            )

    def _schedule(self, key: int, expire_time_us: int | None) -> None:
        if expire_time_us is None:
            self._expiries.pop(key, None)
        elif self._expiries.get(key) != expire_time_us:
            self._expiries[key] = expire_time_us
            heapq.heappush(self._due, (expire_time_us, key))
            if len(self._due) > 2 * len(self._expiries) + 1_000:
                # Mostly outdated: items that keep moving their time must not fill the memory.
                self._due = [(time_us, key) for key, time_us in self._expiries.items()]
                heapq.heapify(self._due)

    def _remove(self, keys: Iterable[int]) -> None:
        # A time that was moved away and back is due twice.
        known = set(keys)
        self.index.delete(known)
        self.attributes.delete(known)
        for key in known:
            del self._keys[self._ids[key]]
            self._ids[key] = ""
            self._expiries.pop(key, None)
        self._free.extend(known)


def _below(arrays: Mapping[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[Any]]:
    return {
        name.removeprefix(prefix): each for name, each in arrays.items() if name.startswith(prefix)
    }
