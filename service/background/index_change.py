"""Changes the index of a catalog to a shared one while the catalog serves with its former index."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

import structlog

from service import errors
from service.domain.generations import CatalogRecord
from service.storage.generations import GenerationStore

# The pause between two looks whether the shared index is ready.
INDEX_READY_SECONDS = 0.2


class IndexFiller(Protocol):
    """Fills a shared index."""

    @property
    def settled_sequence(self) -> int:
        """The last write that is in the index, once it is ready; -1 before."""

    async def run(self) -> None:
        """Fill the index, and keep it current until cancelled."""


class IndexChange:
    """The change of a catalog to a shared index.

    Args:
        generations: where the change is noted.
        catalog: the catalog.
        filler: of the shared index of its serving generation.
        on_changed: is called at the end.
    """

    def __init__(
        self,
        generations: GenerationStore,
        catalog: CatalogRecord,
        filler: IndexFiller,
        on_changed: Callable[[], None],
    ) -> None:
        self._generations = generations
        self._catalog = catalog
        self._filler = filler
        self._on_changed = on_changed

    async def run(self) -> None:
        """Fill the index, and let the catalog use it once it is ready."""
        filling = asyncio.create_task(self._filler.run())
        try:
            while self._filler.settled_sequence < 0 or not await self._try_finish():
                if (await asyncio.wait({filling}, timeout=INDEX_READY_SECONDS))[0]:
                    filling.result()  # raises what ended it
        finally:
            filling.cancel()
            await asyncio.wait({filling})
        self._on_changed()

    async def _try_finish(self) -> bool:
        """Let the catalog use the index; return False if the store cannot be written now."""
        log = structlog.get_logger().bind(catalog=self._catalog.name)
        try:
            if await self._generations.finish_index_change(self._catalog):
                log.info("index_changed")
        except errors.AkinError as exc:
            log.warning("index_change_failed", reason=exc.reason)
            return False
        return True
