"""Embeds pending preferences: those that a generation's model did not embed within their write.

A write of a user waits for the serving generation only. Another one gets the vectors here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from service.background.rounds import run_rounds
from service.domain.generations import Generation
from service.embedding.text_embedder import TextEmbedder
from service.embedding.text_vectors import TextVectors
from service.storage.records import UserPreferences
from service.storage.reembedding import ReembeddingStore

# Users whose preferences are read and embedded at once.
USERS_PER_ROUND = 100

# The interval of looks for generations with users that are due, and the delay before the next
# attempt at one. No call waits for these vectors, but the purge must not remove late ones before a
# round uses them.
PREFERENCES_SECONDS = 10.0


class PreferenceEmbedder:
    """Embeds the pending preferences of one generation while `run` runs."""

    def __init__(
        self, store: ReembeddingStore, generation: Generation, text_embedder: TextEmbedder
    ) -> None:
        self._store = store
        self._generation = generation
        self._text_embedder = text_embedder

    async def run(self, wait_until_due: Callable[[], Awaitable[None]]) -> None:
        """Embed preferences until cancelled.

        Args:
            wait_until_due: waits until a user is due.
        """
        await run_rounds(self.run_round, USERS_PER_ROUND, wait_until_due)

    async def run_round(self) -> int:
        """Try the users that are due; return their number.

        Raises:
            AkinError: the store failed, or the embedding queue is full.
        """
        users = await self._store.list_pending_preferences(self._generation, USERS_PER_ROUND)
        if users:
            outcome = await embed_preferences(
                self._store, self._generation, self._text_embedder, users
            )
            await self._store.defer_preferences(
                self._generation,
                [user for user in users if not outcome.is_final(user.texts)],
                PREFERENCES_SECONDS,
            )
        return len(users)


async def embed_preferences(
    store: ReembeddingStore,
    generation: Generation,
    text_embedder: TextEmbedder,
    users: Sequence[UserPreferences],
) -> TextVectors:
    """Embed the preferences of users, and store those of which no text has to be tried again.

    Raises:
        AkinError: the store failed, or the embedding queue is full.
    """
    outcome = await text_embedder.embed_queries({text for user in users for text in user.texts})
    filled = [
        (user, outcome.list_chunks(user.texts)) for user in users if outcome.is_final(user.texts)
    ]
    await store.fill_preferences(generation, filled, outcome.usage.token_usage)
    return outcome
