"""Writes and reads of a catalog's interactions."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from service.domain.generations import Generation
from service.domain.interactions import Interaction, InteractionKey
from service.domain.recommendation_ids import SignalKind, SourceKind
from service.storage.interactions import InteractionPage, InteractionStore, Recording
from service.storage.records import Deletion


class CatalogInteractions:
    """The interactions of one catalog.

    Args:
        store: where they are.
        generation: any generation of the catalog.
        click_types: the types that count for the response that an interaction names.
        observe_click: is called for each response that an interaction is the first to name.
    """

    def __init__(
        self,
        store: InteractionStore,
        generation: Generation,
        click_types: Collection[str],
        observe_click: Callable[[SourceKind, SignalKind], None],
    ) -> None:
        self._store = store
        self._generation = generation
        self._click_types = click_types
        self._observe_click = observe_click

    async def record(self, interactions: Sequence[Interaction]) -> Recording:
        """Store the interactions that are not stored yet, all or none."""
        if not interactions:
            return Recording(0, 0)
        recording = await self._store.record_many(self._generation, interactions, self._click_types)
        for kind in recording.clicked:
            self._observe_click(kind.source, kind.signals)
        return recording

    async def list_page(
        self, user_id: str, after: InteractionKey | None, page_size: int
    ) -> InteractionPage:
        """Return the interactions after a key, of one user or with an empty id of all users."""
        return await self._store.list_page(self._generation, user_id, after, page_size)

    async def delete_of_user(self, user_id: str) -> Deletion:
        """Delete all interactions of a user."""
        return await self._store.delete_of_user(self._generation, user_id)
