"""Changes the kind of index of a catalog while it serves."""

from __future__ import annotations

from collections.abc import Callable

from service import errors
from service.domain.index_kinds import IndexKind
from service.storage.generations import GenerationStore


class Reindexing:
    """Starts and cancels changes of the indexes of catalogs.

    Args:
        store: where catalogs are.
        update_soon: applies changes of catalogs in the background.
        can_share: the server has an engine for shared indexes.
    """

    def __init__(
        self, store: GenerationStore, update_soon: Callable[[], None], *, can_share: bool
    ) -> None:
        self._store = store
        self._update_soon = update_soon
        self._can_share = can_share

    async def start(self, name: str, index: IndexKind) -> None:
        """Start to change the index of a catalog; its present kind cancels a change.

        The catalog need not be open: without an engine, one with a shared index cannot be opened.

        A shared index serves once a background task has filled it. For one in memory nothing is
        prepared: each process builds its own, and serves with the shared one until then. This can
        take longer than a call, which does not wait for it.

        Raises:
            CatalogNotFound: the catalog does not exist.
            ReembeddingUnderWay: the catalog has another index, and is being re-embedded.
            ReembeddingNotCommitted: the catalog has another index, and a previous generation.
            SharedIndexOff: the server has no engine for the index.
        """
        check_index_kind(index, can_share=self._can_share)
        catalog = (await self._store.list_catalogs()).get(name)
        if catalog is None:
            raise errors.CatalogNotFound(f"catalog {name!r} does not exist")
        if index is IndexKind.SHARED:
            await self._store.start_index_change(catalog, index)
        else:
            await self._store.change_index(catalog, index)
        self._update_soon()


def check_index_kind(index: IndexKind, *, can_share: bool) -> None:
    """Check that the server can have a kind of index.

    Raises:
        SharedIndexOff: the index is shared, and the server has no engine for it.
    """
    if index is IndexKind.SHARED and not can_share:
        raise errors.SharedIndexOff("a shared index requires the server's setting AKIN_QDRANT_URL")
