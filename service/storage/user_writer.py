"""How users are written: the port of the stores, and what a write means in each generation."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from service.domain.generations import Generation, LiveGeneration
from service.domain.users import StoredUser, User
from service.domain.vectors import Chunk
from service.storage.records import UserWrite
from service.storage.writer import Transaction


class UserWriter(Protocol):
    """Writes users in the transaction of a store."""

    def find(
        self, transaction: Transaction, generation: Generation, user_id: str
    ) -> StoredUser | None:
        """Return a user as the transaction leaves it so far; None if there is none."""

    def upsert(
        self,
        transaction: Transaction,
        generation: Generation,
        live_generations: Sequence[LiveGeneration],
        writes: Sequence[UserWrite],
    ) -> list[StoredUser]:
        """Store users in order, with the vectors of their preferences in every generation.

        The changes of their lists of liked items are counted: see like_changes.py.

        Args:
            transaction: the transaction of the write.
            generation: a generation of the catalog.
            live_generations: all generations of the catalog.
            writes: the users; of two with the same id the later one remains.
        """


class PreferencesWrite(NamedTuple):
    """The chunks that a user's preferences get in a generation; None if they are pending there."""

    generation: Generation
    chunks: Sequence[Chunk] | None


class UserColumns(NamedTuple):
    """The lists of a user as they are stored, and the liked items with their weights."""

    preferences: str
    liked_items: str
    weighted_ids: Sequence[tuple[str, float]]


def split_preferences(
    write: UserWrite, live_generations: Sequence[LiveGeneration]
) -> list[PreferencesWrite]:
    """Return what a write stores in each generation; nothing if the preferences stay."""
    if write.chunks is None:
        return []
    missing = None if write.user.preferences else ()
    return [
        PreferencesWrite(live.generation, write.chunks.get(live.generation.generation_id, missing))
        for live in live_generations
    ]


def encode_user(user: User) -> UserColumns:
    """Return a user's lists as they are stored."""
    weighted_ids = [(liked.item_id, liked.weight) for liked in user.liked_items]
    preferences = [(preference.text, preference.weight) for preference in user.preferences]
    return UserColumns(json.dumps(preferences), json.dumps(weighted_ids), weighted_ids)
