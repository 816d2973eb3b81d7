"""Reads the profile of a query's source: of a text, of examples, or of a user."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from service import errors
from service.domain.generations import Generation
from service.domain.interactions import Interaction, InteractionType
from service.domain.recommendations import (
    Example,
    ExamplesSource,
    ItemSource,
    TextSource,
    UserSource,
)
from service.domain.usage import EmbeddingUsage
from service.domain.users import LikedItem, User
from service.domain.violations import Violation
from service.embedding.text_embedder import TextEmbedder, to_field_error
from service.recommend.profile import Profile, ProfileSource, ProfileText
from service.storage.profiles import ProfileStore

# The latest interactions of a user that are read: it takes 10 ms.
MAX_INTERACTIONS = 10_000


class _WeightedText(NamedTuple):
    """A text to embed, and the request field that an error names."""

    text: str
    weight: float
    path: str


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

    async def read(
        self, source: TextSource | ExamplesSource | UserSource, seen_types: Sequence[str]
    ) -> Profile:
        """Return the profile of a valid source.

        Args:
            source: the source.
            seen_types: the types of a user's interactions whose items are not recommended.

        Raises:
            UserNotFound: the user does not exist.
            InvalidRequest: the model rejects a text, or the catalog has no such type.
            EmbeddingUnavailable: a text cannot be embedded now.
        """
        match source:
            case TextSource(text):
                texts, usage = await self._embed([_WeightedText(text, 1.0, "text")])
                return Profile(texts=texts, usage=usage)
            case ExamplesSource():
                return await self._read_examples(source)
            case UserSource(user_id):
                return await self._read_user(user_id, seen_types)

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
        seen_item_ids = {item.item_id for item in items}
        return Profile(items, texts, seen_item_ids=seen_item_ids, usage=usage)

    async def _read_user(self, user_id: str, seen_types: Sequence[str]) -> Profile:
        self._check_types(seen_types)
        stored, interactions = await self._profiles.read(
            self._generation, user_id, MAX_INTERACTIONS
        )
        if stored is None and not interactions:
            raise errors.UserNotFound(f"user {user_id!r} does not exist")
        user = User(user_id) if stored is None else stored.user
        texts, usage = await self._embed(
            [
                _WeightedText(preference.text, preference.weight, "user_id")
                for preference in user.preferences
            ]
        )
        seen_item_ids = {item.item_id for item in user.liked_items}
        seen_item_ids |= {
            interaction.key.item_id
            for interaction in interactions
            if interaction.key.type in seen_types
        }
        likes = merge_likes(user.liked_items, interactions, self._weights)
        return Profile(likes, texts, oldest_first=True, seen_item_ids=seen_item_ids, usage=usage)

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
