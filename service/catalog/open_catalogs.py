"""The catalogs of this process: opened, changed and closed as the store says.

What a call needs is found once, when it begins; so each is answered from one generation, whatever
becomes of it meanwhile. A generation that is done with is closed only after the calls that may use
it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from service.analysis.analyst import Analyst
from service.catalog.handle import Generations, GenerationWriter, OpenGeneration
from service.catalog.items import CatalogItems
from service.domain.generations import (
    DEFAULT_CATALOG,
    CatalogRecord,
    Generation,
    GenerationRecord,
    GenerationState,
)
from service.domain.spaces import VectorStorage
from service.embedding.pool import Spawn
from service.recommend.recommender import Recommender
from service.storage import Registry, Store

Work = Coroutine[Any, Any, None]

LINGER_SECONDS = 60.0
"""So long a call may go on with a generation that was dropped meanwhile."""


@dataclass(frozen=True, slots=True)
class CatalogServices:
    """The use cases of one catalog."""

    catalog_items: CatalogItems
    recommender: Recommender
    analyst: Analyst


class Assembly(Protocol):
    """Puts together what a catalog and its generations are made of."""

    async def writer(self, record: GenerationRecord) -> GenerationWriter:
        """A generation that texts are embedded for."""

    def opened(
        self, writer: GenerationWriter, storage: VectorStorage
    ) -> tuple[OpenGeneration, Sequence[Work]]:
        """A generation that can serve once it has caught up, and what works for it."""

    def services(self, generations: Generations) -> CatalogServices:
        """The use cases of a catalog whose serving generation is as it is now."""

    def background(
        self, catalog: OpenCatalog, generation: GenerationWriter, state: GenerationState
    ) -> list[Work]:
        """What works for a generation in this state."""

    async def forget(self, generation: Generation) -> None:
        """Removes what was derived of a generation that is gone."""


@dataclass(slots=True)
class _OpenedGeneration:
    """A generation with the tasks that work for it."""

    generation: GenerationWriter
    state: GenerationState | None = None
    following: list[asyncio.Task[None]] = field(default_factory=list)
    background: list[asyncio.Task[None]] = field(default_factory=list)

    def rest(self) -> None:
        """Ends what is done for it in the background."""
        for task in self.background:
            task.cancel()
        self.background.clear()


@dataclass(slots=True)
class OpenCatalog:
    """A catalog with its generations and use cases, of which the store said `record`."""

    record: CatalogRecord
    generations: Generations
    services: CatalogServices
    opened: dict[int, _OpenedGeneration]


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
            await catalog.generations.serving.follower.wait_for(last)

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
        opened: dict[int, _OpenedGeneration] = {}
        serving = await self._serving(opened, record)
        generations = Generations(serving)
        catalog = OpenCatalog(record, generations, self._assembly.services(generations), opened)
        await self._bring(catalog, record)
        return catalog

    async def _bring(self, catalog: OpenCatalog, record: CatalogRecord) -> None:
        """Makes a catalog what a record says."""
        serving = await self._serving(catalog.opened, record)
        other = None
        if record.other is not None:
            other = await self._generation(catalog.opened, record, record.other)
        generations = catalog.generations
        if serving is not generations.serving:
            # Until the new one knows every write, the former one answers.
            await serving.follower.wait_for(self._store.last_sequence)
            generations.serving = serving
            catalog.services = self._assembly.services(generations)
        if other is not generations.other:
            generations.other, generations.current = other, False
        catalog.record = record
        for each in record.generations:
            self._work(catalog, catalog.opened[each.generation.generation_id], each.state)
        live = {each.generation.generation_id for each in record.generations}
        for generation_id in catalog.opened.keys() - live:
            self._spawn(self._close(catalog.opened.pop(generation_id)))

    async def _serving(
        self, opened: dict[int, _OpenedGeneration], record: CatalogRecord
    ) -> OpenGeneration:
        generation = await self._generation(opened, record, record.serving)
        assert isinstance(generation, OpenGeneration)  # noqa: S101  (only one that is filled is not)
        return generation

    async def _generation(
        self, opened: dict[int, _OpenedGeneration], record: CatalogRecord, wanted: GenerationRecord
    ) -> GenerationWriter:
        """Open a generation as its state needs it: for writing while filled, else followed."""
        known = opened.get(wanted.generation.generation_id)
        if known is None:
            known = _OpenedGeneration(await self._assembly.writer(wanted))
            opened[wanted.generation.generation_id] = known
        if wanted.state is not GenerationState.EMBEDDING and not isinstance(
            known.generation, OpenGeneration
        ):
            known.generation, works = self._assembly.opened(known.generation, record.vector_storage)
            known.following += map(self._spawn, works)
        return known.generation

    def _work(
        self, catalog: OpenCatalog, opened: _OpenedGeneration, state: GenerationState
    ) -> None:
        """Starts what works for a generation in a state that is new."""
        if opened.state is state:
            return
        opened.state = state
        opened.rest()
        works = self._assembly.background(catalog, opened.generation, state)
        if (
            isinstance(opened.generation, OpenGeneration)
            and opened.generation is catalog.generations.other
        ):
            works.append(self._follow(catalog.generations, opened.generation))
        opened.background += map(self._spawn, works)

    async def _follow(self, generations: Generations, generation: OpenGeneration) -> None:
        await generation.follower.wait_for(self._store.last_sequence)
        if generations.other is generation:
            generations.current = True

    async def _close(self, opened: _OpenedGeneration) -> None:
        opened.rest()
        await asyncio.sleep(LINGER_SECONDS)
        for task in opened.following:
            task.cancel()
        await asyncio.gather(*opened.following, return_exceptions=True)
        await self._assembly.forget(opened.generation.generation)
