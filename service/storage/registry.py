"""The catalogs of a store and their generations, as the layers above see them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from service.domain.generations import CatalogRecord, Generation, GenerationState
from service.domain.spaces import Model, VectorStorage
from service.domain.usage import TokenUsage
from service.domain.vectors import Chunk
from service.storage import filling, generations, removal
from service.storage.core import Core
from service.storage.filling import Filled
from service.storage.records import PendingItem
from service.storage.writer import Transaction


class Registry:
    """Catalogs and generations on disk.

    Every method may raise what those of Store may, and those that name a catalog CatalogNotFound.
    """

    def __init__(self, core: Core) -> None:
        self._core = core

    async def catalogs(self) -> Mapping[str, CatalogRecord]:
        """All catalogs, by name."""
        return await self._core.read(generations.catalogs)

    async def version(self) -> int:
        """A number that grows with every change of catalogs and generations."""
        return await self._core.read(generations.version)

    async def open_default(self, model: Model) -> CatalogRecord:
        """The default catalog, made if need be, for the model of the settings.

        Raises:
            SpaceMismatch: its vectors belong to another space.
        """
        return await self._core.write(lambda t: generations.open_default(t, model))

    async def create(self, name: str, model: Model, storage: VectorStorage) -> CatalogRecord:
        """Makes a catalog with a model of its own.

        Raises:
            CatalogExists: there is one of that name.
            TooManyCatalogs: there are as many as there may be.
        """
        return await self._core.write(lambda t: generations.create(t, name, model, storage))

    async def delete(self, name: str) -> bool:
        """Deletes a catalog; what was in it goes little by little. False if there is none."""
        return await self._core.write(lambda t: generations.delete(t, name))

    async def unmade(self, catalog: CatalogRecord, model: Model) -> Generation:
        """A second generation that is not stored: without an id, and without a space if new."""
        space_id = await self._core.read(generations.space_id, model.space)
        return Generation(catalog.catalog_id, catalog.name, 0, space_id)

    async def add_generation(self, catalog: CatalogRecord, model: Model) -> None:
        """Starts a second generation.

        Raises:
            ReembeddingUnderWay: there is a second one already.
        """
        await self._core.write(lambda t: generations.add_generation(t, catalog, model))

    async def set_state(self, generation: Generation, state: GenerationState) -> None:
        """Notes how far a generation is."""
        await self._core.write(lambda t: generations.set_state(t, generation, state))

    async def note_problem(self, generation: Generation, problem: str) -> None:
        """Notes why a generation is not filled for now; empty: it is."""
        await self._core.write(lambda t: generations.note_problem(t, generation, problem))

    async def switch(self, serving: Generation, new: Generation) -> bool:
        """Has a new generation serve; False if items wait for their vectors in it."""
        return await self._core.write(lambda t: generations.switch(t, serving, new))

    async def cancel(self, catalog: CatalogRecord) -> None:
        """Has the new generation removed; the former one serves, again if need be.

        Raises:
            ReembeddingNotFound: there is no second generation.
        """
        await self._core.write(lambda t: generations.cancel(t, catalog))

    async def finish(self, catalog: CatalogRecord) -> None:
        """Has the former generation removed, with the vectors that nothing else uses.

        Raises:
            ReembeddingNotFound: there is no second generation.
            ReembeddingUnderWay: the new generation does not serve yet.
        """
        await self._core.write(lambda t: generations.finish(t, catalog))

    async def remove_some(self) -> bool:
        """Removes some of what was dropped; False if there is nothing."""
        return await self._core.write(removal.remove_some)

    async def unfilled(self, generation: Generation, after: int, limit: int) -> list[PendingItem]:
        """Items beyond a key that have no vectors in a generation, nor wait for them, by key."""
        return await self._core.read(filling.unfilled, generation, after, limit)

    async def fill(
        self,
        generation: Generation,
        filled: Sequence[tuple[PendingItem, Sequence[Chunk]]],
        spent: TokenUsage,
    ) -> None:
        """Gives items that were not written again meanwhile their vectors in a new generation."""
        await self._core.write(lambda t: filling.fill(t, generation, filled, spent))

    async def refuse(self, generation: Generation, item: PendingItem, reason: str) -> None:
        """Has an item wait in a generation, for its text was refused."""
        await self._core.write(lambda t: filling.refuse(t, generation, item, reason))

    async def preferences(
        self, generation: Generation, after: int, limit: int
    ) -> tuple[Sequence[str], int | None]:
        """The texts of some users' preferences, and the last one's key; None: there are none."""
        return await self._core.read(filling.preferences, generation, after, limit)

    async def keep(
        self, generation: Generation, chunks: Sequence[Chunk], spent: TokenUsage
    ) -> None:
        """Keeps vectors of a generation's space that no item has, and notes what they took."""

        def operation(transaction: Transaction) -> None:
            filling.keep(transaction, generation, chunks, spent)

        await self._core.write(operation)

    async def filled(self, generation: Generation) -> Filled:
        """How far a generation is filled."""
        return await self._core.read(filling.filled, generation)

    async def text_count(self, generation: Generation) -> int:
        """How many items a catalog has, those that have just expired included."""
        return await self._core.read(filling.text_count, generation)
