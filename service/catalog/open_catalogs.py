"""The catalogs that are open in this process: opened, changed and closed as the store says.

A call takes a handle of its catalog and returns it at its end. A generation is closed when the
last handle that uses it is replaced and returned.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress

import structlog

from service import errors
from service.catalog.handle import CatalogHandle
from service.catalog.handle_counts import CountedHandle
from service.catalog.open_catalog import CatalogChanges, CatalogFactory, OpenCatalog
from service.domain.generations import DEFAULT_CATALOG, CatalogRecord, Generation
from service.domain.spaces import Space
from service.domain.stats import CatalogStats
from service.embedding.pool import Spawn
from service.storage.database import Database
from service.storage.generations import GenerationStore

# Longest wait of a call for a catalog that is being opened.
OPENING_SECONDS = 5.0

# Delays before further attempts at a change of a catalog that failed; the last one repeats.
CHANGE_RETRY_SECONDS = (1.0, 2.0, 4.0, 8.0, 10.0)

# Delay before another attempt at reading the catalogs.
READ_RETRY_SECONDS = 1.0


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
        self._changes = CatalogChanges(database, factory, spawn)
        self._spawn = spawn
        self._open: dict[str, OpenCatalog] = {}
        self._version = (-1, -1)
        self._reading = asyncio.Lock()

    def use(
        self, name: str, min_sequence: int = 0, sequence_field: str = "min_sequence"
    ) -> CatalogUse:
        """Return a context that holds a handle of a catalog.

        Args:
            name: a valid name; empty means the default catalog.
            min_sequence: the write that the handle must reflect.
            sequence_field: the field of the request that `min_sequence` is from.
        """
        return CatalogUse(self, name or DEFAULT_CATALOG, min_sequence, sequence_field)

    def names(self) -> list[str]:
        """Return the names of the open catalogs, ascending."""
        return sorted(name for name, catalog in self._open.items() if catalog.current is not None)

    async def acquire(self, name: str) -> CountedHandle[CatalogHandle]:
        """Return the present handle of a catalog, counted as used until it is released.

        Raises:
            CatalogNotFound: the catalog does not exist.
            NotReady: the catalog cannot be opened now.
        """
        catalog = self._open.get(name)
        if catalog is None or catalog.current is None:
            with suppress(TimeoutError):
                async with asyncio.timeout(OPENING_SECONDS):
                    await self.update(name)  # another process may have just created it
            catalog = self._open.get(name)
        if catalog is None:
            raise errors.CatalogNotFound(f"catalog {name!r} does not exist")
        if catalog.current is None:
            problem = f": {catalog.problem}" if catalog.problem else ""
            raise errors.NotReady(f"catalog {name!r} cannot be opened now{problem}")
        catalog.current.users += 1
        return catalog.current

    def release(self, counted: CountedHandle[CatalogHandle]) -> None:
        """End a call's use of a handle."""
        counted.users -= 1
        if counted.is_replaced:
            self._changes.counts.free_if_unused(counted)

    async def wait_for(self, handle: CatalogHandle, sequence: int, field: str) -> None:
        """Wait until reads through a handle reflect a write.

        Raises:
            InvalidRequest: there is no such write; the error names `field`.
            NotReady: the service shuts down first.
        """
        last = self._database.commits.last_sequence
        if sequence > last:
            last = await self._database.refresh()
        if sequence > last:
            rule = f"must be between 0 and the last write, {last}"
            raise errors.invalid_field(field, rule)
        await handle.generations.serving.reader.wait_for(sequence)

    async def read_stats(self, min_sequence: int = 0) -> list[CatalogStats]:
        """Return the statistics of all catalogs that are open, by ascending name.

        Args:
            min_sequence: the write that the statistics of every catalog must reflect.

        Raises:
            InvalidRequest: there is no such write.
            NotReady: the service shuts down first.
        """
        stats = []
        for name in await self.refresh_names():
            with suppress(errors.CatalogNotFound):  # it may be deleted at any await
                async with self.use(name, min_sequence) as catalog:
                    stats.append(await catalog.stats.read())
        return stats

    async def refresh_names(self) -> list[str]:
        """Return the names of all catalogs that are open, ascending, also of those just created.

        Raises:
            StoreUnavailable, StoreCorrupted: the database cannot be read.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(OPENING_SECONDS):
                await self.update()  # another process may have just created or deleted a catalog
        return self.names()

    def count_items(self) -> int:
        """Return the number of items that can be recommended, in all catalogs."""
        handles = [catalog.current.handle for catalog in self._open.values() if catalog.current]
        return sum(handle.generations.serving.reader.item_count for handle in handles)

    async def wait_until_caught_up(self) -> None:
        """Wait until every catalog reflects all writes so far.

        Raises:
            StoreUnavailable, StoreCorrupted: the database cannot be read.
        """
        await self._database.refresh()
        for name in self.names():
            with suppress(errors.CatalogNotFound):  # it may be deleted at any await
                async with self.use(name) as catalog:
                    await catalog.generations.serving.reader.wait_for_all()

    async def start_update(self) -> None:
        """Start to apply changes of catalogs and generations by this process or another one.

        Each catalog is changed in a task of its own. It continues if the caller leaves, and tries
        again after a failure.

        Raises:
            StoreUnavailable, StoreCorrupted: the database cannot be read.
        """
        async with self._reading:
            # The same number can be another version once the store has lost commits.
            version = self._database.commits.doubts, await self._store.get_version()
            if version == self._version:
                return
            records = await self._store.list_catalogs()
            for name, catalog in tuple(self._open.items()):
                record = records.get(name)
                if record is None or not _is_same_catalog(catalog.record, record):
                    del self._open[name]
                    self._changes.close(catalog)
            for name, record in records.items():
                catalog = self._open.setdefault(name, OpenCatalog(record))
                if catalog.record is not record and catalog.record == record:
                    continue
                catalog.record = record
                catalog.is_settled.clear()
                if catalog.changing is None:
                    catalog.changing = self._spawn(self._change(catalog))
            self._version = version

    async def update(self, name: str = "") -> None:
        """Apply changes of a catalog, or of all, and wait until they are done or have failed.

        Raises:
            StoreUnavailable, StoreCorrupted: the database cannot be read.
        """
        await self.start_update()
        for catalog in [self._open.get(name)] if name else list(self._open.values()):
            if catalog is not None:
                await catalog.is_settled.wait()

    async def show_change(self, name: str) -> None:
        """Apply a change of a catalog that is on disk: now, or once the database can be read."""
        try:
            await self.update(name)
        except errors.AkinError:
            self.update_soon()

    def update_soon(self) -> None:
        """Apply changes in the background, once the database can be read."""
        self._spawn(self._update_until_read())

    async def _update_until_read(self) -> None:
        while True:
            try:
                return await self.start_update()
            except errors.AkinError as exc:
                structlog.get_logger().warning("catalogs_update_failed", reason=exc.reason)
                await asyncio.sleep(READ_RETRY_SECONDS)

    async def _change(self, catalog: OpenCatalog) -> None:
        """Bring a catalog to the state of its record, which may change in the meantime."""
        try:
            record, attempts = None, 0
            while record is not catalog.record:
                record = catalog.record
                try:
                    await self._changes.apply(catalog, record)
                    attempts = 0
                    catalog.problem = ""
                except Exception as exc:  # noqa: BLE001  (one catalog must not end or delay others)
                    _log_failure(record.name, exc)
                    catalog.problem = exc.message if isinstance(exc, errors.AkinError) else ""
                    record = None
                    catalog.is_settled.set()
                    delays = CHANGE_RETRY_SECONDS
                    await asyncio.sleep(delays[min(attempts, len(delays) - 1)])
                    attempts += 1
        finally:
            catalog.changing = None
            catalog.is_settled.set()


def _log_failure(name: str, exc: Exception) -> None:
    log = structlog.get_logger().bind(catalog=name)
    if isinstance(exc, errors.AkinError):
        log.warning("catalog_change_failed", reason=exc.reason, problem=exc.message)
    else:
        log.error("catalog_change_failed", exc_info=exc)


def _is_same_catalog(former: CatalogRecord, record: CatalogRecord) -> bool:
    """Return whether two records are of one catalog.

    A store that has lost commits gives the numbers of lost generations to others.
    """
    former_spaces, spaces = _map_spaces(former), _map_spaces(record)
    return former.catalog_id == record.catalog_id and all(
        spaces[number] == former_spaces[number] for number in spaces.keys() & former_spaces.keys()
    )


def _map_spaces(record: CatalogRecord) -> Mapping[int, tuple[Generation, Space]]:
    """Return each generation of a catalog with its space, by number."""
    return {
        generation.generation.generation_id: (generation.generation, generation.model.space)
        for generation in record.generations
    }


class CatalogUse:
    """Holds a handle of a catalog: `async with catalogs.use(name) as catalog`.

    Entering may raise CatalogNotFound, NotReady if the catalog cannot be opened now, and
    InvalidRequest if `min_sequence` is no write.
    """

    __slots__ = ("_catalogs", "_counted", "_min_sequence", "_name", "_sequence_field")

    def __init__(
        self, catalogs: OpenCatalogs, name: str, min_sequence: int, sequence_field: str
    ) -> None:
        self._catalogs = catalogs
        self._name = name
        self._min_sequence = min_sequence
        self._sequence_field = sequence_field
        self._counted: CountedHandle[CatalogHandle] | None = None

    async def __aenter__(self) -> CatalogHandle:
        counted = await self._catalogs.acquire(self._name)
        try:
            if self._min_sequence:
                await self._catalogs.wait_for(
                    counted.handle, self._min_sequence, self._sequence_field
                )
        except BaseException:
            self._catalogs.release(counted)
            raise
        self._counted = counted
        return counted.handle

    async def __aexit__(self, kind: object, exc: BaseException | None, trace: object) -> None:
        if self._counted is not None:
            self._catalogs.release(self._counted)
