"""Reads of an index as analyses and recommendations make them, and what they must return."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from service.domain.filters import Filter
from service.domain.generations import Generation
from service.domain.items import Change, Item, JsonValue
from service.domain.own_vectors import make_own_chunks
from service.domain.vectors import Chunk, Vectors
from service.index.index_reader import IndexReader
from service.index.item_index import ItemIndex
from service.index.read_requests import (
    NO_RESTRICTION,
    NearestRequest,
    RankedRequest,
    Restriction,
    plan_items,
    plan_nearest,
)
from service.index.vector_index import merge_hits
from service.storage.records import ItemVectors, ItemWrite
from service.storage.stores import Stores
from support.embedders import DIMENSIONS
from support.filters import passes, random_attributes
from support.stores import all_changes, without_vectors

# The largest difference that rounding makes between scores.
SCORE_TOLERANCE = 1e-5

# The seeds of vectors.
_SEEDS = 2**32


def draw_vectors(count: int, *seed: int) -> Vectors:
    """Return random unit vectors, the same for the same seed."""
    raw = np.random.default_rng(seed).normal(size=(count, DIMENSIONS))
    units: Vectors = (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32)
    return units


def write_vectors(
    item_id: str,
    vectors: Vectors,
    attributes: Mapping[str, JsonValue] | None = None,
    expire_time_us: int | None = None,
    *,
    are_own: bool = False,
) -> ItemWrite:
    """Return an item to store with some vectors."""
    chunks = make_own_chunks([vector.tobytes() for vector in vectors])
    if not are_own:
        # As long as the hash of a text.
        chunks = [Chunk(chunk.text_hash[1:], chunk.vector) for chunk in chunks]
    item = Item(item_id, "text", attributes or {}, expire_time_us)
    return ItemWrite(item, ItemVectors(chunks))


def draw_write(
    choices: random.Random, item_id: str, expire_time_us: int | None = None
) -> ItemWrite:
    """Return an item to store with random vectors and attributes; it can be pending."""
    attributes = random_attributes(choices)
    count = choices.choice((0, 1, 1, 1, 1, 2, 5))
    if not count:
        return ItemWrite(Item(item_id, "text", attributes, expire_time_us), without_vectors())
    return write_vectors(
        item_id,
        draw_vectors(count, choices.randrange(_SEEDS)),
        attributes,
        expire_time_us,
        are_own=choices.random() < 0.2,
    )


async def read_items(reader: IndexReader, item_ids: Sequence[str]) -> dict[str, list[bytes]]:
    """Return the vectors of those items that are searchable."""

    def read(item_index: ItemIndex) -> dict[str, list[bytes]]:
        return {
            item_id: [vector.tobytes() for vector in item_index.vectors.get([key]).vectors]
            for item_id in item_ids
            if (key := item_index.find_key(item_id)) is not None
        }

    return await reader.read(read, queries=1, plan=plan_items(item_ids))


async def find_nearest(
    reader: IndexReader,
    queries: Vectors,
    limit: int,
    restriction: Restriction = NO_RESTRICTION,
    *,
    exact: bool = False,
) -> list[tuple[str, float]]:
    """Return the nearest items to any query with their scores, best first."""

    def search(item_index: ItemIndex) -> list[tuple[str, float]]:
        excluded_keys = item_index.find_keys(restriction.exclude_ids)
        mask = item_index.compute_mask(restriction.filter or Filter(), excluded_keys)
        hits = merge_hits(item_index.vectors.search(queries, limit, allowed=mask))
        return [(item_id, score) for item_id, score, _ in item_index.rank_hits(hits, limit)]

    request = NearestRequest(queries, limit, restriction, exact)
    return await reader.read(search, len(queries), plan=plan_nearest(request))


async def find_ranked(
    reader: IndexReader,
    item_ids: Sequence[str],
    limit: int,
    restriction: Restriction = NO_RESTRICTION,
) -> list[str]:
    """Return the first of some ranked items that are searchable and not restricted."""

    def read(item_index: ItemIndex) -> list[str]:
        keys = item_index.find_matching_keys(item_ids, restriction.filter)
        return [item_id for item_id in keys if item_id not in restriction.exclude_ids][:limit]

    request = RankedRequest(item_ids, limit, restriction)
    return await reader.read(read, queries=1, plan=lambda _: iter((request,)))


@dataclass(frozen=True, slots=True)
class StoredItems:
    """The items of a store as plain values, and what reads of an index must return of them."""

    items: Mapping[str, Change]

    @property
    def vectors(self) -> dict[str, list[bytes]]:
        """The vectors of the searchable items."""
        return {
            item_id: list(change.vectors)
            for item_id, change in self.items.items()
            if change.vectors
        }

    def list_matching(self, filter_: Filter | None) -> list[str]:
        """Return the ids of items that match, ascending, pending ones included."""
        return sorted(
            item_id
            for item_id, change in self.items.items()
            if passes(filter_ or Filter(), json.loads(change.attributes or ""))
        )

    def list_searchable(self, restriction: Restriction = NO_RESTRICTION) -> list[str]:
        """Return the ids of searchable items that match and are not excluded, ascending."""
        return [
            item_id
            for item_id in self.list_matching(restriction.filter)
            if self.items[item_id].vectors and item_id not in restriction.exclude_ids
        ]

    def find_nearest(
        self, queries: Vectors, limit: int, restriction: Restriction = NO_RESTRICTION
    ) -> list[tuple[str, float]]:
        """Return the nearest items to any query with their scores, best first."""
        scores = []
        for item_id in self.list_searchable(restriction):
            rows = np.frombuffer(b"".join(self.items[item_id].vectors), "<f4")
            score = float((queries @ rows.reshape(-1, DIMENSIONS).T).max())
            scores.append((item_id, score))
        return sorted(scores, key=lambda entry: -entry[1])[:limit]


async def read_store(stores: Stores, generation: Generation, now_us: int) -> StoredItems:
    """Return the items of a store that have not expired."""
    return StoredItems(
        {
            change.item_id: change
            for change in await all_changes(stores, generation)
            if change.attributes is not None
            and (change.expire_time_us is None or change.expire_time_us > now_us)
        }
    )


def assert_equal_hits(
    expected: Sequence[tuple[str, float]], hits: Sequence[tuple[str, float]]
) -> None:
    """Check that hits are the expected ones in order, with the same scores except for rounding."""
    assert [item_id for item_id, _ in expected] == [item_id for item_id, _ in hits]
    differences = [abs(a - b) for (_, a), (_, b) in zip(expected, hits, strict=True)]
    assert max(differences, default=0.0) < SCORE_TOLERANCE
