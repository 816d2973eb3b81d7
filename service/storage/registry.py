"""The catalogs of a store and their layers, as the layers above see them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from service.domain.generations import CatalogRecord, Layer, LayerState
from service.domain.spaces import Model, VectorStorage
from service.domain.usage import Spend
from service.domain.vectors import Passage
from service.storage import filling, layers, removal
from service.storage.core import Core
from service.storage.filling import Filled
from service.storage.records import PendingItem
from service.storage.writer import Transaction


class Registry:
    """Catalogs and layers on disk.

    Every method may raise what those of Store may, and those that name a catalog CatalogNotFound.
    """

    def __init__(self, core: Core) -> None:
        self._core = core

    async def catalogs(self) -> Mapping[str, CatalogRecord]:
        """All catalogs, by name."""
        return await self._core.read(layers.catalogs)

    async def version(self) -> int:
        """A number that grows with every change of catalogs and layers."""
        return await self._core.read(layers.version)

    async def open_default(self, model: Model) -> CatalogRecord:
        """The default catalog, made if need be, for the model of the settings.

        Raises:
            SpaceMismatch: its vectors belong to another space.
        """
        return await self._core.write(lambda t: layers.open_default(t, model))

    async def create(self, name: str, model: Model, storage: VectorStorage) -> CatalogRecord:
        """Makes a catalog with a model of its own.

        Raises:
            CatalogExists: there is one of that name.
            TooManyCatalogs: there are as many as there may be.
        """
        return await self._core.write(lambda t: layers.create(t, name, model, storage))

    async def delete(self, name: str) -> bool:
        """Deletes a catalog; what was in it goes little by little. False if there is none."""
        return await self._core.write(lambda t: layers.delete(t, name))

    async def unmade(self, catalog: CatalogRecord, model: Model) -> Layer:
        """What a second layer would be: one of no number, and of no space where that is new."""
        space_id = await self._core.read(layers.space_id, model.space)
        return Layer(catalog.catalog_id, catalog.name, 0, space_id)

    async def add_layer(self, catalog: CatalogRecord, model: Model) -> None:
        """Starts a second layer.

        Raises:
            ReembeddingUnderWay: there is a second one already.
        """
        await self._core.write(lambda t: layers.add_layer(t, catalog, model))

    async def set_state(self, layer: Layer, state: LayerState) -> None:
        """Notes how far a layer is."""
        await self._core.write(lambda t: layers.set_state(t, layer, state))

    async def note_problem(self, layer: Layer, problem: str) -> None:
        """Notes why a layer is not filled for now; empty: it is."""
        await self._core.write(lambda t: layers.note_problem(t, layer, problem))

    async def switch(self, serving: Layer, new: Layer) -> bool:
        """Has a new layer serve; False if items wait for their vectors in it."""
        return await self._core.write(lambda t: layers.switch(t, serving, new))

    async def cancel(self, catalog: CatalogRecord) -> None:
        """Has the new layer removed; the former one serves, again if need be.

        Raises:
            ReembeddingNotFound: there is no second layer.
        """
        await self._core.write(lambda t: layers.cancel(t, catalog))

    async def finish(self, catalog: CatalogRecord) -> None:
        """Has the former layer removed, with the vectors that nothing else uses.

        Raises:
            ReembeddingNotFound: there is no second layer.
            ReembeddingUnderWay: the new layer does not serve yet.
        """
        await self._core.write(lambda t: layers.finish(t, catalog))

    async def remove_some(self) -> bool:
        """Removes some of what was dropped; False if there is nothing."""
        return await self._core.write(removal.remove_some)

    async def unfilled(self, layer: Layer, after: int, limit: int) -> list[PendingItem]:
        """Items beyond a key that have no vectors in a layer, nor wait for them, by key."""
        return await self._core.read(filling.unfilled, layer, after, limit)

    async def fill(
        self, layer: Layer, filled: Sequence[tuple[PendingItem, Sequence[Passage]]], spent: Spend
    ) -> None:
        """Gives items that were not written again meanwhile their vectors in a new layer."""
        await self._core.write(lambda t: filling.fill(t, layer, filled, spent))

    async def refuse(self, layer: Layer, item: PendingItem, reason: str) -> None:
        """Has an item wait in a layer, for its text was refused."""
        await self._core.write(lambda t: filling.refuse(t, layer, item, reason))

    async def preferences(
        self, layer: Layer, after: int, limit: int
    ) -> tuple[Sequence[str], int | None]:
        """The texts of some users' preferences, and the last one's key; None: there are none."""
        return await self._core.read(filling.preferences, layer, after, limit)

    async def keep(self, layer: Layer, passages: Sequence[Passage], spent: Spend) -> None:
        """Keeps vectors of a layer's space that no item has, and notes what they took."""

        def operation(transaction: Transaction) -> None:
            filling.keep(transaction, layer, passages, spent)

        await self._core.write(operation)

    async def filled(self, layer: Layer) -> Filled:
        """How far a layer is filled."""
        return await self._core.read(filling.filled, layer)

    async def text_count(self, layer: Layer) -> int:
        """How many items a catalog has, those that have just expired included."""
        return await self._core.read(filling.text_count, layer)
