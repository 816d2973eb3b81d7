"""What opening a catalog asks for; the wiring of the server provides it."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from typing import Any, Protocol

from service.catalog.generations import CatalogGenerations, GenerationWriter, OpenGeneration
from service.catalog.handle import CatalogHandle
from service.domain.generations import CatalogRecord, Generation, GenerationRecord, GenerationState
from service.domain.spaces import VectorStorage

Work = Coroutine[Any, Any, None]


class CatalogFactory(Protocol):
    """Makes handles and generations, and the tasks that work for them."""

    async def open_writer(self, record: GenerationRecord) -> GenerationWriter:
        """Return a generation that texts are embedded for."""

    def open_generation(
        self, writer: GenerationWriter, storage: VectorStorage
    ) -> tuple[OpenGeneration, Sequence[Work]]:
        """Return a generation that can serve once it has caught up, and its tasks."""

    def make_handle(self, record: CatalogRecord, generations: CatalogGenerations) -> CatalogHandle:
        """Return the use cases of a catalog."""

    def make_background(
        self, serving: OpenGeneration, writer: GenerationWriter, state: GenerationState
    ) -> list[Work]:
        """Return the background tasks of a generation in a state."""

    async def remove_files(self, generation: Generation) -> None:
        """Remove the files of a generation that is gone."""
