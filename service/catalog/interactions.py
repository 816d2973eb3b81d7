"""Writes and reads of a catalog's interactions."""

from __future__ import annotations

from collections.abc import Sequence

from service.domain.generations import Generation
from service.domain.interactions import Interaction, InteractionKey
from service.storage.interactions import InteractionPage, InteractionStore, Recording
from service.storage.records import Deletion


class CatalogInteractions:
    """The interactions of one catalog; `generation` is any generation of it."""

    def __init__(self, store: InteractionStore, generation: Generation) -> None:
        self._store = store
        self._generation = generation

    async def record(self, interactions: Sequence[Interaction]) -> Recording:
        """Store the interactions that are not stored yet, all or none."""
        if not interactions:
            return Recording(0, 0)
        return await self._store.record_many(self._generation, interactions)

    async def list_page(
        self, user_id: str, after: InteractionKey | None, page_size: int
    ) -> InteractionPage:
        """Return the interactions after a key, of one user or with an empty id of all users."""
        return await self._store.list_page(self._generation, user_id, after, page_size)

    async def delete_of_user(self, user_id: str) -> Deletion:
        """Delete all interactions of a user."""
        return await self._store.delete_of_user(self._generation, user_id)
