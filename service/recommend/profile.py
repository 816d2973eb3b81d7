"""A query's source as what it comes down to: items and texts that count for or against."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from service import errors
from service.domain.generations import Generation
from service.domain.recommendations import (
    Example,
    ExamplesSource,
    ItemSource,
    Source,
    TextSource,
    UserSource,
)
from service.domain.usage import EmbeddingUsage
from service.domain.users import LikedItem, Preference
from service.domain.vectors import Vectors
from service.embedding.text_embedder import TextEmbedder, at_field
from service.index.item_index import ItemIndex
from service.index.vector_index import OwnedVectors
from service.recommend.pooled_retrieval import SOURCES
from service.recommend.scoring import Sources
from service.storage.users import UserStore

LEAST_WEIGHT = 1e-6
"""A weight below this share of the largest counts as this."""


@dataclass(frozen=True, slots=True)
class ProfileText:
    """One text and the vectors of its chunks, float32 [chunks, dimensions]."""

    text: str
    weight: float
    vectors: Vectors


@dataclass(frozen=True, slots=True)
class Profile:
    """Items and texts that count, dislikes with negative weights.

    `alone` marks a source that is one item or text and goes by the plain cosine; `ordered` items
    that come oldest first, so that they have an age.
    """

    items: Sequence[LikedItem] = ()
    texts: Sequence[ProfileText] = ()
    alone: bool = False
    ordered: bool = False
    usage: EmbeddingUsage = field(default_factory=EmbeddingUsage)

    @property
    def number(self) -> int:
        """How many sources count at most."""
        return min(len(self.items) + sum(len(each.vectors) for each in self.texts), SOURCES)


@dataclass(frozen=True, slots=True)
class QueryVectors:
    """The profile that an item index has vectors for: texts, then items.

    `sources` has one for each chunk, and `owners` the place of its taste in `origins`.
    """

    origins: Sequence[ItemSource | TextSource]
    sources: Sources
    owners: NDArray[np.int64]
    own_keys: Sequence[int]
    missing_item_ids: tuple[str, ...]


def present(profile: Profile, item_index: ItemIndex) -> QueryVectors:
    """Finds the vectors of the profile' items, as many as count."""
    here: list[LikedItem] = []
    missing: list[LikedItem] = []
    for each in profile.items:
        (missing if item_index.find_key(each.item_id) is None else here).append(each)
    counting = _strongest(here, SOURCES - len(profile.texts))
    found = [
        *(each.vectors for each in profile.texts),
        *_split(
            item_index.vectors.get(item_index.find_keys(each.item_id for each in counting)),
            len(counting),
        ),
    ]
    return QueryVectors(
        origins=[
            *(TextSource(each.text) for each in profile.texts),
            *(ItemSource(each.item_id) for each in counting),
        ],
        sources=_sources(profile, counting, chunks := _spread(found)),
        owners=np.repeat(np.arange(len(chunks)), [len(each) for each in chunks]),
        own_keys=item_index.find_keys(each.item_id for each in here),
        missing_item_ids=tuple(dict.fromkeys(each.item_id for each in missing)),
    )


def _sources(profile: Profile, counting: Sequence[LikedItem], chunks: Sequence[Vectors]) -> Sources:
    weights = np.array(
        [*(each.weight for each in profile.texts), *(each.weight for each in counting)]
    )
    largest = np.abs(weights).max(initial=0.0) or 1.0
    # Only proportions count, and none vanishes.
    weights = np.copysign(np.maximum(np.abs(weights) / largest, LEAST_WEIGHT), weights)
    ages = np.zeros(len(weights))
    if profile.ordered and len(counting) > 1:
        ages[len(profile.texts) :] = np.linspace(1.0, 0.0, len(counting))
    numbers = [len(each) for each in chunks]
    per_taste = np.stack([weights, 1 / np.maximum(numbers, 1), ages]).astype(np.float32)
    per_source = np.repeat(per_taste, numbers, axis=1)
    vectors = np.concatenate(chunks) if chunks else np.empty((0, 0), np.float32)
    return Sources(vectors, *per_source)


def _spread(chunks: Sequence[Vectors]) -> list[Vectors]:
    """At most SOURCES vectors in all: of long texts evenly spread chunks."""
    most = max(1, SOURCES // max(len(chunks), 1))
    return [
        each if len(each) <= most else each[np.linspace(0, len(each) - 1, most).astype(int)]
        for each in chunks
    ]


def _split(owned: OwnedVectors, number: int) -> list[Vectors]:
    """The vectors of each of `number` items."""
    if not number:
        return []
    return np.split(owned.vectors, np.searchsorted(owned.owners, np.arange(1, number)))


def _strongest(items: Sequence[LikedItem], number: int) -> Sequence[LikedItem]:
    """The heaviest `number` likes or dislikes, and of equal ones the latest, in their order."""
    if len(items) <= number:
        return items
    latest_first = reversed(range(len(items)))
    heaviest = sorted(latest_first, key=lambda position: -abs(items[position].weight))
    return [items[position] for position in sorted(heaviest[:number])]


class ProfileReader:
    """Reads the profile of sources, from the store and the embedder."""

    def __init__(
        self, users: UserStore, generation: Generation, text_embedder: TextEmbedder
    ) -> None:
        self._users = users
        self._generation = generation
        self._text_embedder = text_embedder

    async def read(self, source: Source) -> Profile:
        """The profile of a source that keeps the contract.

        Raises:
            UserNotFound: there is no such user.
            InvalidRequest: a text can never be embedded.
            EmbeddingUnavailable: a text cannot be embedded for now.
        """
        match source:
            case ItemSource(item_id):
                return Profile((LikedItem(item_id),), alone=True)
            case TextSource(text):
                texts, usage = await self._texts([(text, 1.0, "text")])
                return Profile(texts=texts, alone=True, usage=usage)
            case ExamplesSource():
                return await self._examples(source)
            case UserSource(user_id):
                stored = await self._users.get(self._generation, user_id)
                if stored is None:
                    raise errors.UserNotFound("there is no such user")
                texts, usage = await self._texts(_preferred(stored.user.preferences))
                return Profile(stored.user.liked_items, texts, ordered=True, usage=usage)

    async def _examples(self, source: ExamplesSource) -> Profile:
        signed = [
            *_signed(source.positive, 1.0, "examples.positive"),
            *_signed(source.negative, -1.0, "examples.negative"),
        ]
        items = [
            LikedItem(origin.item_id, weight)
            for origin, weight, _ in signed
            if isinstance(origin, ItemSource)
        ]
        texts, usage = await self._texts(
            [
                (origin.text, weight, path)
                for origin, weight, path in signed
                if isinstance(origin, TextSource)
            ]
        )
        return Profile(items, texts, usage=usage)

    async def _texts(
        self, wanted: Sequence[tuple[str, float, str]]
    ) -> tuple[list[ProfileText], EmbeddingUsage]:
        """Texts, weights and the fields they came in, with their vectors."""
        if not wanted:
            return [], EmbeddingUsage()
        outcome = await self._text_embedder.queries(text for text, _, _ in wanted)
        for text, _, path in wanted:
            if text in outcome.failures:
                raise at_field(outcome.failures[text], path)
        texts = [ProfileText(text, weight, outcome.vectors(text)) for text, weight, _ in wanted]
        return texts, outcome.usage


def _preferred(preferences: Iterable[Preference]) -> list[tuple[str, float, str]]:
    return [(each.text, each.weight, "user_id") for each in preferences]


def _signed(
    examples: Sequence[Example], sign: float, path: str
) -> list[tuple[ItemSource | TextSource | None, float, str]]:
    return [
        (each.example, sign * each.weight, f"{path}[{number}].text")
        for number, each in enumerate(examples)
    ]
