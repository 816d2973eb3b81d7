"""The profile of a query: weighted items and texts, and their vectors in an item index."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.domain.recommendations import ItemSource, TextSource
from service.domain.users import LikedItem
from service.domain.vectors import Vectors
from service.index.item_index import ItemIndex
from service.index.vector_index import OwnedVectors
from service.recommend.scoring import Sources

# Vectors of a profile that are used; it bounds the work of one query.
MAX_SOURCES = 256

# A weight below this share of the largest weight is raised to it.
MIN_WEIGHT_SHARE = 1e-6

ProfileSource = ItemSource | TextSource


@dataclass(frozen=True, slots=True)
class ProfileText:
    """A text and the vectors of its chunks, float32 [chunks, dimensions]."""

    text: str
    weight: float
    vectors: Vectors


@dataclass(frozen=True, slots=True)
class Profile:
    """The items and texts of a source; dislikes have negative weights.

    With `oldest_first`, older items weigh less. `seen_item_ids` are not recommended.
    """

    items: Sequence[LikedItem] = ()
    texts: Sequence[ProfileText] = ()
    oldest_first: bool = False
    seen_item_ids: Collection[str] = ()

    @property
    def has_likes(self) -> bool:
        """Whether anything is liked."""
        return any(item.weight > 0 for item in self.items) or any(
            text.weight > 0 for text in self.texts
        )

    @property
    def max_source_count(self) -> int:
        """The number of vectors that a query for the profile has at most."""
        text_vectors = sum(len(text.vectors) for text in self.texts)
        return min(len(self.items) + text_vectors, MAX_SOURCES)


@dataclass(frozen=True, slots=True)
class QueryVectors:
    """The vectors of a profile in one item index: those of the texts, then those of the items.

    `sources` has an entry for each chunk, and `owners` the position of its text or item in
    `origins`. `missing_item_ids` are the items that have no vector.
    """

    origins: Sequence[ProfileSource]
    sources: Sources
    owners: NDArray[np.int64]
    missing_item_ids: tuple[str, ...]


def build_query_vectors(profile: Profile, item_index: ItemIndex) -> QueryVectors:
    """Look up the vectors of a profile's items, at most MAX_SOURCES with those of the texts."""
    indexed_items: list[LikedItem] = []
    missing_item_ids: list[str] = []
    for item in profile.items:
        if item_index.find_key(item.item_id) is None:
            missing_item_ids.append(item.item_id)
        else:
            indexed_items.append(item)
    items = _select_heaviest(indexed_items, MAX_SOURCES - len(profile.texts))
    owned = item_index.vectors.get(item_index.find_keys(item.item_id for item in items))
    chunks = _limit_chunks(
        [*(text.vectors for text in profile.texts), *_split_by_owner(owned, len(items))]
    )
    return QueryVectors(
        origins=[
            *(TextSource(text.text) for text in profile.texts),
            *(ItemSource(item.item_id) for item in items),
        ],
        sources=_build_sources(profile, items, chunks),
        owners=np.repeat(np.arange(len(chunks)), [len(vectors) for vectors in chunks]),
        missing_item_ids=tuple(dict.fromkeys(missing_item_ids)),
    )


def _build_sources(
    profile: Profile, items: Sequence[LikedItem], chunks: Sequence[Vectors]
) -> Sources:
    weights = np.array([*(text.weight for text in profile.texts), *(item.weight for item in items)])
    largest = np.abs(weights).max(initial=0.0) or 1.0
    # Only the proportions of weights matter, and none of them becomes 0.
    weights = np.copysign(np.maximum(np.abs(weights) / largest, MIN_WEIGHT_SHARE), weights)
    ages = np.zeros(len(weights))
    if profile.oldest_first and len(items) > 1:
        ages[len(profile.texts) :] = np.linspace(1.0, 0.0, len(items))
    chunk_counts = [len(vectors) for vectors in chunks]
    by_origin = np.stack([weights, 1 / np.maximum(chunk_counts, 1), ages]).astype(np.float32)
    by_source = np.repeat(by_origin, chunk_counts, axis=1)
    vectors = np.concatenate(chunks) if chunks else np.empty((0, 0), np.float32)
    return Sources(vectors, *by_source)


def _limit_chunks(chunks: Sequence[Vectors]) -> list[Vectors]:
    """Return at most MAX_SOURCES vectors in all; of long texts, evenly spread chunks."""
    limit = max(1, MAX_SOURCES // max(len(chunks), 1))
    return [
        vectors
        if len(vectors) <= limit
        else vectors[np.linspace(0, len(vectors) - 1, limit).astype(int)]
        for vectors in chunks
    ]


def _split_by_owner(owned: OwnedVectors, owner_count: int) -> list[Vectors]:
    """Return the vectors of each owner."""
    if not owner_count:
        return []
    return np.split(owned.vectors, np.searchsorted(owned.owners, np.arange(1, owner_count)))


def _select_heaviest(items: Sequence[LikedItem], limit: int) -> Sequence[LikedItem]:
    """Return the items with the largest absolute weights, of equal ones the latest, in order."""
    if len(items) <= limit:
        return items
    latest_first = reversed(range(len(items)))
    heaviest = sorted(latest_first, key=lambda position: -abs(items[position].weight))
    return [items[position] for position in sorted(heaviest[:limit])]
