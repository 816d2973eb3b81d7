"""Reads the profile of a query's source: of a text, of examples, or of a user.

A profile is first drafted without the vectors of its texts, so that the users and the texts of
several queries are read and embedded together.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from service import errors
from service.domain.generations import Generation
from service.domain.interactions import Interaction, InteractionType
from service.domain.recommendations import (
    Example,
    ExamplesSource,
    ItemSource,
    TextSource,
    UserSource,
    VectorSource,
)
from service.domain.usage import EmbeddingUsage
from service.domain.users import LikedItem, User
from service.domain.vectors import Vectors, width_violations
from service.domain.violations import Violation
from service.embedding.text_embedder import TextEmbedder, to_field_error
from service.embedding.text_vectors import TextVectors
from service.recommend.profile import Profile, ProfileSource, ProfileText
from service.storage.profiles import ProfileStore, UserHistory

# The latest interactions of a user that are read: it takes 10 ms.
MAX_INTERACTIONS = 10_000


class WeightedText(NamedTuple):
    """A text to embed, and the request field that an error names."""

    text: str
    weight: float
    path: str


@dataclass(frozen=True, slots=True)
class ProfileDraft:
    """A profile whose texts have no vectors yet.

    `vector` is that of the source itself, float32 [1, dimensions], if it is one.
    """

    items: Sequence[LikedItem] = ()
    texts: Sequence[WeightedText] = ()
    oldest_first: bool = False
    seen_item_ids: Collection[str] = ()
    vector: Vectors | None = None

    def complete(self, embedded: TextVectors) -> Profile:
        """Return the profile with the vectors of its texts.

        Raises:
            InvalidRequest: the model rejects a text.
            EmbeddingUnavailable: a text cannot be embedded now.
        """
        for text in self.texts:
            if text.text in embedded.failures:
                raise to_field_error(embedded.failures[text.text], text.path)
        texts = [
            ProfileText(text.text, text.weight, embedded.stack_vectors(text.text))
            for text in self.texts
        ]
        if self.vector is not None:
            texts.append(ProfileText("", 1.0, self.vector))
        return Profile(self.items, texts, self.oldest_first, self.seen_item_ids)


class ProfileReader:
    """Reads the profiles of sources from the store, and embeds their texts."""

    def __init__(
        self,
        profiles: ProfileStore,
        generation: Generation,
        text_embedder: TextEmbedder,
        weights: Mapping[str, float],
    ) -> None:
        self._profiles = profiles
        self._generation = generation
        self._text_embedder = text_embedder
        self._weights = weights

    async def read_users(self, user_ids: Collection[str]) -> Mapping[str, UserHistory]:
        """Return what is stored of users, by id; without those of whom nothing is known."""
        if not user_ids:
            return {}
        return await self._profiles.read_many(self._generation, user_ids, MAX_INTERACTIONS)

    async def embed(self, texts: Iterable[str]) -> TextVectors:
        """Embed the texts of profiles.

        Raises:
            Overloaded: the embedding queue is full.
        """
        distinct = dict.fromkeys(texts)
        if not distinct:
            return TextVectors({}, {}, frozenset(), EmbeddingUsage())
        return await self._text_embedder.embed_queries(distinct)

    def draft(
        self,
        source: TextSource | VectorSource | ExamplesSource | UserSource,
        seen_types: Sequence[str],
        users: Mapping[str, UserHistory],
    ) -> ProfileDraft:
        """Return the profile of a valid source.

        Args:
            source: the source.
            seen_types: the types of a user's interactions whose items are not recommended.
            users: what is stored of the user.

        Raises:
            UserNotFound: the user does not exist.
            InvalidRequest: the catalog has no such type, or its vectors have other dimensions.
        """
        match source:
            case VectorSource(values):
                return ProfileDraft(vector=self._scale(values))
            case TextSource(text):
                return ProfileDraft(texts=[WeightedText(text, 1.0, "text")])
            case ExamplesSource():
                return _draft_examples(source)
            case UserSource(user_id):
                self._check_types(seen_types)
                if user_id not in users:
                    raise errors.UserNotFound(f"user {user_id!r} does not exist")
                return self._draft_user(user_id, seen_types, users[user_id])

    def _draft_user(
        self, user_id: str, seen_types: Sequence[str], history: UserHistory
    ) -> ProfileDraft:
        user = User(user_id) if history.stored is None else history.stored.user
        texts = [
            WeightedText(preference.text, preference.weight, "user_id")
            for preference in user.preferences
        ]
        seen_item_ids = {item.item_id for item in user.liked_items}
        seen_item_ids |= {
            interaction.key.item_id
            for interaction in history.interactions
            if interaction.key.type in seen_types
        }
        likes = merge_likes(user.liked_items, history.interactions, self._weights)
        return ProfileDraft(likes, texts, oldest_first=True, seen_item_ids=seen_item_ids)

    def _scale(self, values: Sequence[float]) -> Vectors:
        """Return a vector with unit length, float32 [1, dimensions].

        Raises:
            InvalidRequest: the vectors of the catalog have other dimensions.
        """
        dimensions = self._text_embedder.space.dimensions
        errors.raise_if_invalid(width_violations(len(values), dimensions, "vector.values"))
        # In float64, neither the largest nor the smallest float32 values lose their length.
        vector = np.array([values], np.float64)
        return (vector / np.linalg.norm(vector)).astype(np.float32)

    def _check_types(self, seen_types: Sequence[str]) -> None:
        """Check that the catalog has these types of interactions.

        Raises:
            InvalidRequest: it has not.
        """
        errors.raise_if_invalid(
            [
                Violation(
                    f"exclude_interactions.types[{position}]",
                    f"must be one of {', '.join(sorted(self._weights))}",
                )
                for position, type_ in enumerate(seen_types)
                if type_ not in self._weights
            ]
        )


def _draft_examples(source: ExamplesSource) -> ProfileDraft:
    examples = [
        *_add_signs(source.positive, 1.0, "examples.positive"),
        *_add_signs(source.negative, -1.0, "examples.negative"),
    ]
    items = [
        LikedItem(origin.item_id, weight)
        for origin, weight, _ in examples
        if isinstance(origin, ItemSource)
    ]
    texts = [
        WeightedText(origin.text, weight, path)
        for origin, weight, path in examples
        if isinstance(origin, TextSource)
    ]
    return ProfileDraft(items, texts, seen_item_ids={item.item_id for item in items})


def _add_signs(
    examples: Sequence[Example], sign: float, path: str
) -> list[tuple[ProfileSource | None, float, str]]:
    """Return the item or text of each example, its signed weight, and the field of its text."""
    return [
        (example.example, sign * example.weight, f"{path}[{position}].text")
        for position, example in enumerate(examples)
    ]


def merge_likes(
    liked_items: Sequence[LikedItem],
    interactions: Sequence[Interaction],
    weights: Mapping[str, float],
) -> Sequence[LikedItem]:
    """Return what a user likes and dislikes, oldest first, each item once.

    Of several interactions with an item, the one with the largest absolute weight counts, and of
    equal ones the latest. The item stands where its latest interaction does, as in
    `collect_histories`.

    Args:
        liked_items: oldest first; they are older than all interactions, and count as interactions
            of the types LIKE and DISLIKE.
        interactions: oldest first.
        weights: of the types of interactions.
    """
    like, dislike = weights[InteractionType.LIKE], weights[InteractionType.DISLIKE]
    if not interactions and like == 1 and dislike == -1:
        return liked_items
    likes: dict[str, float] = {}
    events = [
        *(
            LikedItem(item.item_id, item.weight * (like if item.weight > 0 else -dislike))
            for item in liked_items
        ),
        *(LikedItem(it.key.item_id, weights.get(it.key.type, 0.0)) for it in interactions),
    ]
    for event in events:
        if not event.weight:
            continue
        weight = likes.pop(event.item_id, 0.0)
        likes[event.item_id] = event.weight if abs(event.weight) >= abs(weight) else weight
    return [LikedItem(item_id, weight) for item_id, weight in likes.items()]
