"""The catalogs that are open in this process: opened, changed and closed as the store says.

A call takes a handle of its catalog and returns it at its end. A generation is closed when the
last handle that uses it is replaced and returned.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

from service import errors
from service.catalog.generations import CatalogGenerations, OpenGeneration
from service.catalog.handle import CatalogHandle
from service.catalog.handle_counts import CountedHandle, HandleCounts, TrackedGeneration
from service.catalog.other_generation import GenerationWriter, OtherGeneration
from service.domain.generations import (
    DEFAULT_CATALOG,
    CatalogRecord,
    Generation,
    GenerationRecord,
    GenerationState,
)
from service.domain.spaces import VectorStorage
from service.domain.stats import CatalogStats
from service.embedding.pool import Spawn
from service.index.follower import WriteBarrier
from service.storage.database import Database
from service.storage.generations import GenerationStore

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


@dataclass(slots=True)
class _OpenCatalog:
    """A catalog as the store last described it."""

    record: CatalogRecord
    barrier: WriteBarrier = field(default_factory=WriteBarrier)
    generations: dict[int, TrackedGeneration] = field(default_factory=dict)
    current: CountedHandle[CatalogHandle] | None = None


class OpenCatalogs:
    """The open catalogs.

    Args:
        database: whose last write they catch up with.
        store: where catalogs and generations are.
        factory: makes their parts.
        spawn: starts their tasks.
    """

    def __init__(
        self, database: Database, store: GenerationStore, factory: CatalogFactory, spawn: Spawn
    ) -> None:
        self._database = database
        self._store = store
        self._factory = factory
        self._spawn = spawn
        self._open: dict[str, _OpenCatalog] = {}
        self._version = -1
        self._updating = asyncio.Lock()
        self._counts: HandleCounts[CatalogHandle] = HandleCounts(factory.remove_files, spawn)

    def use(self, name: str, min_sequence: int = 0) -> CatalogUse:
        """Return a context that holds a handle of a catalog.

        Args:
            name: a valid name; empty means the default catalog.
            min_sequence: the write that the handle must reflect.
        """
        return CatalogUse(self, name or DEFAULT_CATALOG, min_sequence)

    def names(self) -> list[str]:
        """Return the names of the open catalogs, ascending."""
        return sorted(self._open)

    async def acquire(self, name: str) -> CountedHandle[CatalogHandle]:
        """Return the present handle of a catalog, counted as used until it is released.

        Raises:
            CatalogNotFound: the catalog does not exist.
        """
        if name not in self._open:
            await self.update()  # another process may have just created it
        catalog = self._open.get(name)
        if catalog is None or catalog.current is None:
            raise errors.CatalogNotFound("there is no such catalog")
        catalog.current.users += 1
        return catalog.current

    def release(self, counted: CountedHandle[CatalogHandle]) -> None:
        """End a call's use of a handle."""
        counted.users -= 1
        if counted.is_replaced:
            self._counts.free_if_unused(counted)

    async def wait_for(self, handle: CatalogHandle, sequence: int) -> None:
        """Wait until reads through a handle reflect a write.

        Raises:
            InvalidRequest: there is no such write.
            NotReady: the service shuts down first.
        """
        last = self._database.commits.last_sequence
        if sequence > last:
            last = await self._database.refresh()
        if sequence > last:
            rule = f"must be between 0 and the last write, {last}"
            raise errors.invalid_field("min_sequence", rule)
        await handle.generations.serving.follower.wait_for(sequence)

    async def read_stats(self, min_sequence: int = 0) -> list[CatalogStats]:
        """Return the statistics of all catalogs, by ascending name.

        Args:
            min_sequence: the write that the statistics of every catalog must reflect.

        Raises:
            InvalidRequest: there is no such write.
            NotReady: the service shuts down first.
        """
        await self.update()  # another process may have just created or deleted a catalog
        stats = []
        for name in self.names():
            with suppress(errors.CatalogNotFound):  # it may be deleted at any await
                async with self.use(name, min_sequence) as catalog:
                    stats.append(await catalog.stats.read())
        return stats

    def count_items(self) -> int:
        """Return the number of items that can be recommended, in all catalogs."""
        handles = [catalog.current.handle for catalog in self._open.values() if catalog.current]
        return sum(handle.generations.serving.follower.item_count for handle in handles)

    async def wait_until_caught_up(self) -> None:
        """Wait until every catalog reflects all writes so far."""
        last = self._database.commits.last_sequence
        for name in self.names():
            with suppress(errors.CatalogNotFound):  # it may be deleted at any await
                async with self.use(name) as catalog:
                    await catalog.generations.serving.follower.wait_for(last)

    async def update(self) -> None:
        """Apply changes of catalogs and generations by this process or another one."""
        async with self._updating:
            version = await self._store.get_version()
            if version == self._version:
                return
            records = await self._store.list_catalogs()
            for name, catalog in tuple(self._open.items()):
                record = records.get(name)
                if record is None or record.catalog_id != catalog.record.catalog_id:
                    del self._open[name]
                    self._close_catalog(catalog)
            for name, record in records.items():
                # Before it is complete, so that an attempt that fails leaves nothing behind.
                catalog = self._open.setdefault(name, _OpenCatalog(record))
                await self._apply(catalog, record)
            self._version = version

    async def _apply(self, catalog: _OpenCatalog, record: CatalogRecord) -> None:
        """Bring a catalog to the state that a record describes."""
        serving = await self._track(catalog, record, record.serving)
        other_record = record.next or record.previous
        other = await self._track(catalog, record, other_record) if other_record else None
        if catalog.current is not None and serving is not catalog.current.generations[0]:
            await self._wait_until_current(_open(serving))
        catalog.record = record
        tracked = (serving,) if other is None else (serving, other)
        if catalog.current is None or not _uses(catalog.current, tracked):
            self._replace_handle(catalog, tracked)
        for generation in record.generations:
            self._enter_state(catalog, generation)
        live = {generation.generation.generation_id for generation in record.generations}
        for generation_id in catalog.generations.keys() - live:
            self._counts.drop(catalog.generations.pop(generation_id))

    async def _track(
        self, catalog: _OpenCatalog, record: CatalogRecord, generation: GenerationRecord
    ) -> TrackedGeneration:
        """Return a generation, followed unless it is still being filled."""
        generation_id = generation.generation.generation_id
        tracked = catalog.generations.get(generation_id)
        if tracked is None:
            tracked = TrackedGeneration(await self._factory.open_writer(generation))
            catalog.generations[generation_id] = tracked
        is_filling = generation.state is GenerationState.EMBEDDING
        if not is_filling and not isinstance(tracked.writer, OpenGeneration):
            tracked.writer, tasks = self._factory.open_generation(
                tracked.writer, record.vector_storage
            )
            tracked.following += map(self._spawn, tasks)
        return tracked

    async def _wait_until_current(self, generation: OpenGeneration) -> None:
        """Wait until a generation has every write; no write may be missing once it serves."""
        while generation.follower.sequence < self._database.commits.last_sequence:
            await generation.follower.wait_for(self._database.commits.last_sequence)

    def _replace_handle(
        self, catalog: _OpenCatalog, tracked: tuple[TrackedGeneration, ...]
    ) -> None:
        """Give new calls a handle of these generations, the serving one first."""
        other = OtherGeneration(tracked[1].writer, self._spawn) if len(tracked) > 1 else None
        generations = CatalogGenerations(_open(tracked[0]), other, catalog.barrier)
        handle = self._factory.make_handle(catalog.record, generations)
        replaced = catalog.current
        catalog.current = self._counts.count(handle, tracked)
        _update_barrier(catalog)
        if replaced is not None:
            self._counts.retire(replaced)

    def _enter_state(self, catalog: _OpenCatalog, record: GenerationRecord) -> None:
        """Start the background tasks of a generation whose state has changed."""
        tracked = catalog.generations[record.generation.generation_id]
        if tracked.state is record.state or catalog.current is None:
            return
        tracked.state = record.state
        tracked.stop_background()
        serving = catalog.current.handle.generations.serving
        tasks = self._factory.make_background(serving, tracked.writer, record.state)
        if isinstance(tracked.writer, OpenGeneration) and tracked.writer is not serving:
            tasks.append(self._catch_up(catalog, tracked, tracked.writer))
        tracked.background += map(self._spawn, tasks)

    async def _catch_up(
        self, catalog: _OpenCatalog, tracked: TrackedGeneration, generation: OpenGeneration
    ) -> None:
        """Let writes wait for a generation as well, once it has all earlier ones."""
        await self._wait_until_current(generation)
        tracked.has_caught_up = True
        _update_barrier(catalog)

    def _close_catalog(self, catalog: _OpenCatalog) -> None:
        for tracked in catalog.generations.values():
            self._counts.drop(tracked)
        if catalog.current is not None:
            self._counts.retire(catalog.current)


class CatalogUse:
    """Holds a handle of a catalog: `async with catalogs.use(name) as catalog`.

    Entering may raise CatalogNotFound, and InvalidRequest if `min_sequence` is no write.
    """

    __slots__ = ("_catalogs", "_counted", "_min_sequence", "_name")

    def __init__(self, catalogs: OpenCatalogs, name: str, min_sequence: int) -> None:
        self._catalogs = catalogs
        self._name = name
        self._min_sequence = min_sequence
        self._counted: CountedHandle[CatalogHandle] | None = None

    async def __aenter__(self) -> CatalogHandle:
        counted = await self._catalogs.acquire(self._name)
        try:
            if self._min_sequence:
                await self._catalogs.wait_for(counted.handle, self._min_sequence)
        except BaseException:
            self._catalogs.release(counted)
            raise
        self._counted = counted
        return counted.handle

    async def __aexit__(self, kind: object, exc: BaseException | None, trace: object) -> None:
        if self._counted is not None:
            self._catalogs.release(self._counted)


def _open(tracked: TrackedGeneration) -> OpenGeneration:
    assert isinstance(tracked.writer, OpenGeneration)  # noqa: S101  (only a filling one is not)
    return tracked.writer


def _uses(counted: CountedHandle[CatalogHandle], tracked: tuple[TrackedGeneration, ...]) -> bool:
    """Return whether a handle was made for the present state of these generations."""
    generations = counted.handle.generations
    writers: list[GenerationWriter] = [generations.serving]
    if generations.other is not None:
        writers.append(generations.other.writer)
    return writers == [part.writer for part in tracked]


def _update_barrier(catalog: _OpenCatalog) -> None:
    """Let writes wait for the serving generation, and for another one that has caught up."""
    counted = catalog.current
    assert counted is not None  # noqa: S101  (a catalog is changed only once it is open)
    followers = [counted.handle.generations.serving.follower]
    followers += [
        tracked.writer.follower
        for tracked in counted.generations[1:]
        if tracked.has_caught_up and isinstance(tracked.writer, OpenGeneration)
    ]
    catalog.barrier.followers = tuple(followers)
