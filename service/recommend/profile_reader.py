"""Reads the profile of a query's source: of a text, of examples, or of a user."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

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
from service.embedding.text_embedder import TextEmbedder, to_field_error
from service.recommend.profile import Profile, ProfileSource, ProfileText
from service.storage.users import UserStore


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
