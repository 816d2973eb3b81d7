"""The catalogs of this process: opened, changed and closed as the store says.

What a call needs is found once, when it begins; so each is answered from one layer, whatever
becomes of it meanwhile. A layer that is done with is closed only after the calls that may use it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from service.analysis.analyst import Analyst
from service.catalog.handle import Layers, LayerWriter, OpenLayer
from service.catalog.items import Catalogue
from service.domain.generations import (
    DEFAULT_CATALOG,
    CatalogRecord,
    Layer,
    LayerRecord,
    LayerState,
)
from service.domain.spaces import VectorStorage
from service.embedding.pool import Spawn
from service.recommend.recommender import Recommender
from service.storage import Registry, Store

Work = Coroutine[Any, Any, None]

LINGER_SECONDS = 60.0
"""So long a call may go on with a layer that was dropped meanwhile."""


@dataclass(frozen=True, slots=True)
class CatalogServices:
    """The use cases of one catalog."""

    catalogue: Catalogue
    recommender: Recommender
    analyst: Analyst


class Assembly(Protocol):
    """Puts together what a catalog and its layers are made of."""

    async def writer(self, record: LayerRecord) -> LayerWriter:
        """A layer that texts are embedded for."""

    def opened(
        self, writer: LayerWriter, storage: VectorStorage
    ) -> tuple[OpenLayer, Sequence[Work]]:
        """A layer that can serve once it has caught up, and what works for it."""

    def services(self, layers: Layers) -> CatalogServices:
        """The use cases of a catalog whose serving layer is as it is now."""

    def background(self, catalog: OpenCatalog, layer: LayerWriter, state: LayerState) -> list[Work]:
        """What works for a layer in this state."""

    async def forget(self, layer: Layer) -> None:
        """Removes what was derived of a layer that is gone."""


@dataclass(slots=True)
class _OpenedLayer:
    """A layer with the tasks that work for it."""

    layer: LayerWriter
    state: LayerState | None = None
    following: list[asyncio.Task[None]] = field(default_factory=list)
    background: list[asyncio.Task[None]] = field(default_factory=list)

    def rest(self) -> None:
        """Ends what is done for it in the background."""
        for task in self.background:
            task.cancel()
        self.background.clear()


@dataclass(slots=True)
class OpenCatalog:
    """A catalog with its layers and use cases, of which the store said `record`."""

    record: CatalogRecord
    layers: Layers
    services: CatalogServices
    opened: dict[int, _OpenedLayer]


class Catalogs:
    """The catalogs that are open.

    Args:
        store: whose last write they catch up with.
        registry: where they are.
        assembly: what makes them.
        spawn: starts what works for them.
    """

    def __init__(self, store: Store, registry: Registry, assembly: Assembly, spawn: Spawn) -> None:
        self._store = store
        self._registry = registry
        self._assembly = assembly
        self._spawn = spawn
        self._open: dict[str, OpenCatalog] = {}
        self._version = -1
        self._updating = asyncio.Lock()

    def __iter__(self) -> Iterator[OpenCatalog]:
        """Those that are open, by name."""
        return iter([self._open[name] for name in sorted(self._open)])

    async def named(self, name: str) -> OpenCatalog | None:
        """The catalog of this name, empty meaning the default one; None if there is none."""
        catalog = self._open.get(name or DEFAULT_CATALOG)
        if catalog is None:
            await self.update()  # another process may just have made it
            catalog = self._open.get(name or DEFAULT_CATALOG)
        return catalog

    async def caught_up(self) -> None:
        """Waits until every catalog can answer from all that was written so far."""
        last = self._store.last_sequence
        for catalog in self:
            await catalog.layers.serving.indexer.reached(last)

    async def update(self) -> None:
        """Takes in what this process or another has changed."""
        async with self._updating:
            version = await self._registry.version()
            if version == self._version:
                return
            records = await self._registry.catalogs()
            for name, catalog in tuple(self._open.items()):
                known = records.get(name)
                if known is None or known.catalog_id != catalog.record.catalog_id:
                    del self._open[name]
                    for opened in catalog.opened.values():
                        self._spawn(self._close(opened))
            for name, record in records.items():
                if name in self._open:
                    await self._bring(self._open[name], record)
                else:
                    self._open[name] = await self._opened(record)
            self._version = version

    async def _opened(self, record: CatalogRecord) -> OpenCatalog:
        opened: dict[int, _OpenedLayer] = {}
        serving = await self._serving(opened, record)
        layers = Layers(serving)
        catalog = OpenCatalog(record, layers, self._assembly.services(layers), opened)
        await self._bring(catalog, record)
        return catalog

    async def _bring(self, catalog: OpenCatalog, record: CatalogRecord) -> None:
        """Makes a catalog what a record says."""
        serving = await self._serving(catalog.opened, record)
        other = None
        if record.other is not None:
            other = await self._layer(catalog.opened, record, record.other)
        layers = catalog.layers
        if serving is not layers.serving:
            # Until the new one knows every write, the former one answers.
            await serving.indexer.reached(self._store.last_sequence)
            layers.serving = serving
            catalog.services = self._assembly.services(layers)
        if other is not layers.other:
            layers.other, layers.current = other, False
        catalog.record = record
        for each in record.layers:
            self._work(catalog, catalog.opened[each.layer.layer_id], each.state)
        live = {each.layer.layer_id for each in record.layers}
        for layer_id in catalog.opened.keys() - live:
            self._spawn(self._close(catalog.opened.pop(layer_id)))

    async def _serving(self, opened: dict[int, _OpenedLayer], record: CatalogRecord) -> OpenLayer:
        layer = await self._layer(opened, record, record.serving)
        assert isinstance(layer, OpenLayer)  # noqa: S101  (only one that is filled is not)
        return layer

    async def _layer(
        self, opened: dict[int, _OpenedLayer], record: CatalogRecord, wanted: LayerRecord
    ) -> LayerWriter:
        """A layer as its state wants it: for writing only while it is filled, else followed."""
        known = opened.get(wanted.layer.layer_id)
        if known is None:
            known = _OpenedLayer(await self._assembly.writer(wanted))
            opened[wanted.layer.layer_id] = known
        if wanted.state is not LayerState.EMBEDDING and not isinstance(known.layer, OpenLayer):
            known.layer, works = self._assembly.opened(known.layer, record.vector_storage)
            known.following += map(self._spawn, works)
        return known.layer

    def _work(self, catalog: OpenCatalog, opened: _OpenedLayer, state: LayerState) -> None:
        """Starts what works for a layer in a state that is new."""
        if opened.state is state:
            return
        opened.state = state
        opened.rest()
        works = self._assembly.background(catalog, opened.layer, state)
        if isinstance(opened.layer, OpenLayer) and opened.layer is catalog.layers.other:
            works.append(self._follow(catalog.layers, opened.layer))
        opened.background += map(self._spawn, works)

    async def _follow(self, layers: Layers, layer: OpenLayer) -> None:
        await layer.indexer.reached(self._store.last_sequence)
        if layers.other is layer:
            layers.current = True

    async def _close(self, opened: _OpenedLayer) -> None:
        opened.rest()
        await asyncio.sleep(LINGER_SECONDS)
        for task in opened.following:
            task.cancel()
        await asyncio.gather(*opened.following, return_exceptions=True)
        await self._assembly.forget(opened.layer.layer)
