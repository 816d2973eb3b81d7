"""Turns the source of a query into a profile: weighted items and texts, and their vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from service import errors
from service.domain.generations import Generation
from service.domain.recommendations import (
    Example,
    ExamplesSource,
    ItemSource,
    TextSource,
    UserSource,
)
from service.domain.usage import EmbeddingUsage
from service.domain.users import LikedItem
from service.domain.vectors import Vectors
from service.embedding.text_embedder import TextEmbedder, to_field_error
from service.index.item_index import ItemIndex
from service.index.vector_index import OwnedVectors
from service.recommend.scoring import Sources
from service.storage.users import UserStore

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

    With `oldest_first`, older items weigh less.
    """

    items: Sequence[LikedItem] = ()
    texts: Sequence[ProfileText] = ()
    oldest_first: bool = False
    usage: EmbeddingUsage = field(default_factory=EmbeddingUsage)

    @property
    def max_source_count(self) -> int:
        """The number of vectors that a query for the profile has at most."""
        text_vectors = sum(len(text.vectors) for text in self.texts)
        return min(len(self.items) + text_vectors, MAX_SOURCES)


@dataclass(frozen=True, slots=True)
class QueryVectors:
    """The vectors of a profile in one item index: those of the texts, then those of the items.

    `sources` has an entry for each chunk, and `owners` the position of its text or item in
    `origins`. `own_keys` are the profile's items, which are not recommended. `missing_item_ids` are
    those that have no vector.
    """

    origins: Sequence[ProfileSource]
    sources: Sources
    owners: NDArray[np.int64]
    own_keys: Sequence[int]
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
        own_keys=item_index.find_keys(item.item_id for item in indexed_items),
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


class _WeightedText(NamedTuple):
    """A text to embed, and the request field that an error names."""

    text: str
    weight: float
    path: str


class ProfileReader:
    """Reads the profiles of sources from the store, and embeds their texts."""

    def __init__(
        self, users: UserStore, generation: Generation, text_embedder: TextEmbedder
    ) -> None:
        self._users = users
        self._generation = generation
        self._text_embedder = text_embedder

    async def read(self, source: TextSource | ExamplesSource | UserSource) -> Profile:
        """Return the profile of a valid source.

        Raises:
            UserNotFound: the user does not exist.
            InvalidRequest: the model rejects a text.
            EmbeddingUnavailable: a text cannot be embedded now.
        """
        match source:
            case TextSource(text):
                texts, usage = await self._embed([_WeightedText(text, 1.0, "text")])
                return Profile(texts=texts, usage=usage)
            case ExamplesSource():
                return await self._read_examples(source)
            case UserSource(user_id):
                return await self._read_user(user_id)

    async def _read_examples(self, source: ExamplesSource) -> Profile:
        examples = [
            *_add_signs(source.positive, 1.0, "examples.positive"),
            *_add_signs(source.negative, -1.0, "examples.negative"),
        ]
        items = [
            LikedItem(origin.item_id, weight)
            for origin, weight, _ in examples
            if isinstance(origin, ItemSource)
        ]
        texts, usage = await self._embed(
            [
                _WeightedText(origin.text, weight, path)
                for origin, weight, path in examples
                if isinstance(origin, TextSource)
            ]
        )
        return Profile(items, texts, usage=usage)

    async def _read_user(self, user_id: str) -> Profile:
        stored = await self._users.get(self._generation, user_id)
        if stored is None:
            raise errors.UserNotFound("there is no such user")
        texts, usage = await self._embed(
            [
                _WeightedText(preference.text, preference.weight, "user_id")
                for preference in stored.user.preferences
            ]
        )
        return Profile(stored.user.liked_items, texts, oldest_first=True, usage=usage)

    async def _embed(
        self, texts: Sequence[_WeightedText]
    ) -> tuple[list[ProfileText], EmbeddingUsage]:
        if not texts:
            return [], EmbeddingUsage()
        outcome = await self._text_embedder.embed_queries(text.text for text in texts)
        for text in texts:
            if text.text in outcome.failures:
                raise to_field_error(outcome.failures[text.text], text.path)
        profile_texts = [
            ProfileText(text.text, text.weight, outcome.stack_vectors(text.text)) for text in texts
        ]
        return profile_texts, outcome.usage


def _add_signs(
    examples: Sequence[Example], sign: float, path: str
) -> list[tuple[ProfileSource | None, float, str]]:
    """Return the item or text of each example, its signed weight, and the field of its text."""
    return [
        (example.example, sign * example.weight, f"{path}[{position}].text")
        for position, example in enumerate(examples)
    ]
