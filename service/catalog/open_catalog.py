"""One open catalog: its generations, their tasks, and the handle that calls use."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from service.catalog.generation_writer import GenerationWriter
from service.catalog.generations import CatalogGenerations, OpenGeneration
from service.catalog.handle import CatalogHandle
from service.catalog.handle_counts import CountedHandle, HandleCounts, TrackedGeneration
from service.catalog.other_generation import OtherGeneration
from service.domain.generations import (
    CatalogRecord,
    Generation,
    GenerationRecord,
    GenerationState,
)
from service.domain.index_kinds import IndexKind
from service.embedding.pool import Spawn
from service.index.write_barrier import WriteBarrier
from service.storage.database import Database

Work = Coroutine[Any, Any, None]

# How often a generation catches up with all writes before writes wait for it.
LOADING_ROUNDS = 3


class CatalogFactory(Protocol):
    """Makes handles and generations, and the tasks that work for them."""

    async def open_writer(self, record: GenerationRecord) -> GenerationWriter:
        """Return a generation that texts are embedded for."""

    async def open_generation(
        self, writer: GenerationWriter, record: CatalogRecord
    ) -> tuple[OpenGeneration, Sequence[Work]]:
        """Return a generation that can serve once it has caught up, and its tasks.

        Args:
            writer: the generation.
            record: its catalog, which says what index it has.

        Raises:
            StoreUnavailable: the store cannot be read.
        """

    def make_handle(self, record: CatalogRecord, generations: CatalogGenerations) -> CatalogHandle:
        """Return the use cases of a catalog."""

    def make_index_change(self, serving: OpenGeneration, record: CatalogRecord) -> Work:
        """Return the task that changes a catalog to a shared index."""

    def make_background(
        self, serving: OpenGeneration, writer: GenerationWriter, state: GenerationState
    ) -> list[Work]:
        """Return the background tasks of a generation in a state."""

    async def remove_files(self, generation: Generation) -> None:
        """Remove the files of a generation that is gone."""


@dataclass(slots=True, eq=False)
class OpenCatalog:
    """A catalog as the store last described it.

    `superseded` are generations that are open again with another index. `current` is None until the
    catalog is open. `is_settled` is set once it has the state that `record` describes, or if the
    last attempt to bring it there failed; `problem` is the cause, if it is known.
    """

    record: CatalogRecord
    barrier: WriteBarrier = field(default_factory=WriteBarrier)
    generations: dict[int, TrackedGeneration] = field(default_factory=dict)
    superseded: list[TrackedGeneration] = field(default_factory=list)
    current: CountedHandle[CatalogHandle] | None = None
    is_settled: asyncio.Event = field(default_factory=asyncio.Event)
    changing: asyncio.Task[None] | None = None
    index_change: asyncio.Task[None] | None = None
    problem: str = ""


class CatalogChanges:
    """Brings catalogs to the state that the store describes, and closes them.

    Args:
        database: whose last write a generation must have before it serves.
        factory: makes the parts of a catalog.
        spawn: starts their tasks.
    """

    def __init__(self, database: Database, factory: CatalogFactory, spawn: Spawn) -> None:
        self._database = database
        self._factory = factory
        self._spawn = spawn
        self.counts: HandleCounts[CatalogHandle] = HandleCounts(factory.remove_files, spawn)

    async def apply(self, catalog: OpenCatalog, record: CatalogRecord) -> None:
        """Bring a catalog to the state that a record describes."""
        serving = await self._track(catalog, record, record.serving)
        other_record = record.next or record.previous
        other = await self._track(catalog, record, other_record) if other_record else None
        if catalog.current is not None and serving is not catalog.current.generations[0]:
            await self._wait_until_current(catalog, _open(serving))
        tracked = (serving,) if other is None else (serving, other)
        if catalog.current is None or not _uses(catalog.current, record, tracked):
            self._replace_handle(catalog, record, tracked)
        for generation in record.generations:
            self._enter_state(catalog, generation)
        self._change_index(catalog, record, _open(serving))
        _update_barrier(catalog)
        live = {generation.generation.generation_id for generation in record.generations}
        for generation_id in catalog.generations.keys() - live:
            self.counts.drop(catalog.generations.pop(generation_id))
        while catalog.superseded:
            self.counts.drop(catalog.superseded.pop())

    def close(self, catalog: OpenCatalog) -> None:
        """Close a catalog once no call uses it."""
        for task in (catalog.changing, catalog.index_change):
            if task is not None:
                task.cancel()
        for tracked in (*catalog.generations.values(), *catalog.superseded):
            self.counts.drop(tracked)
        if catalog.current is not None:
            self.counts.retire(catalog.current)

    async def _track(
        self, catalog: OpenCatalog, record: CatalogRecord, generation: GenerationRecord
    ) -> TrackedGeneration:
        """Return a generation, followed unless it is still being filled."""
        generation_id = generation.generation.generation_id
        tracked = catalog.generations.get(generation_id)
        if tracked is None:
            tracked = TrackedGeneration(await self._factory.open_writer(generation))
            catalog.generations[generation_id] = tracked
        if generation.state is GenerationState.EMBEDDING:
            return tracked
        if isinstance(tracked.writer, OpenGeneration):
            if tracked.writer.index is record.index:
                return tracked
            opened, tasks = await self._factory.open_generation(tracked.writer, record)
            # The former index serves until the other one has caught up.
            catalog.superseded.append(tracked)
            tracked.is_superseded = True
            tracked = catalog.generations[generation_id] = TrackedGeneration(opened)
        else:
            tracked.writer, tasks = await self._factory.open_generation(tracked.writer, record)
        tracked.following += map(self._spawn, tasks)
        return tracked

    async def _wait_until_current(self, catalog: OpenCatalog, generation: OpenGeneration) -> None:
        """Wait until a generation has every write; no write may be missing once it serves."""
        # An index of a large catalog is loaded for minutes. What is written in the meantime takes a
        # part of that time, and what is written then a part of this.
        for _ in range(LOADING_ROUNDS):
            await generation.reader.wait_for_all()
        # Later writes wait for it as well, so that this does not last as long as there are writes.
        catalog.barrier.readers += (generation.reader,)
        await generation.reader.wait_for_all()

    def _replace_handle(
        self,
        catalog: OpenCatalog,
        record: CatalogRecord,
        tracked: tuple[TrackedGeneration, ...],
    ) -> None:
        """Give new calls a handle of these generations, the serving one first."""
        other = OtherGeneration(tracked[1].writer, self._spawn) if len(tracked) > 1 else None
        generations = CatalogGenerations(_open(tracked[0]), other, catalog.barrier)
        handle = self._factory.make_handle(record, generations)
        replaced = catalog.current
        catalog.current = self.counts.count(handle, tracked)
        _update_barrier(catalog)
        if replaced is not None:
            self.counts.retire(replaced)

    def _enter_state(self, catalog: OpenCatalog, record: GenerationRecord) -> None:
        """Start the background tasks of a generation whose state has changed."""
        tracked = catalog.generations[record.generation.generation_id]
        if tracked.state is record.state or catalog.current is None:
            return
        tracked.stop_background()
        serving = catalog.current.handle.generations.serving
        tasks = self._factory.make_background(serving, tracked.writer, record.state)
        tracked.state = record.state
        if isinstance(tracked.writer, OpenGeneration) and tracked.writer is not serving:
            tasks.append(self._catch_up(catalog, tracked, tracked.writer))
        tracked.background += map(self._spawn, tasks)

    def _change_index(
        self, catalog: OpenCatalog, record: CatalogRecord, serving: OpenGeneration
    ) -> None:
        """Start to change to a shared index, or end a change that is done or was cancelled."""
        is_requested = record.next_index is IndexKind.SHARED
        if is_requested and catalog.index_change is None:
            catalog.index_change = self._spawn(self._factory.make_index_change(serving, record))
        elif not is_requested and catalog.index_change is not None:
            catalog.index_change.cancel()
            catalog.index_change = None

    async def _catch_up(
        self, catalog: OpenCatalog, tracked: TrackedGeneration, generation: OpenGeneration
    ) -> None:
        """Let writes wait for a generation as well, once it has all earlier ones."""
        await generation.reader.wait_for_all()
        tracked.has_caught_up = True
        _update_barrier(catalog)


def _open(tracked: TrackedGeneration) -> OpenGeneration:
    assert isinstance(tracked.writer, OpenGeneration)  # noqa: S101  (only a filling one is not)
    return tracked.writer


def _uses(
    counted: CountedHandle[CatalogHandle],
    record: CatalogRecord,
    tracked: tuple[TrackedGeneration, ...],
) -> bool:
    """Return whether a handle was made for these settings and the state of these generations."""
    if counted.handle.record.settings != record.settings:
        return False
    generations = counted.handle.generations
    writers: list[GenerationWriter] = [generations.serving]
    if generations.other is not None:
        writers.append(generations.other.writer)
    return writers == [part.writer for part in tracked]


def _update_barrier(catalog: OpenCatalog) -> None:
    """Let writes wait for the serving generation, and for another one that has caught up."""
    counted = catalog.current
    assert counted is not None  # noqa: S101  (a catalog is changed only once it is open)
    readers = [counted.handle.generations.serving.reader]
    readers += [
        tracked.writer.reader
        for tracked in counted.generations[1:]
        if tracked.has_caught_up and isinstance(tracked.writer, OpenGeneration)
    ]
    catalog.barrier.readers = tuple(readers)
