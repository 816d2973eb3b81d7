"""Wiring and lifetime: the only module that names concrete classes."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

import structlog
from threadpoolctl import threadpool_limits

from service import errors
from service.access import Keys, OpenDoor
from service.candidates import Finder
from service.catalogue import Catalogue
from service.domain.values import DEFAULT_CATALOG, Space
from service.embedding.batcher import Batcher
from service.embedding.cache import VectorCache
from service.index.faiss_tiers import TieredIndex
from service.indexer import Indexer
from service.ledger import Ledger, MeteredEmbedder, day_of
from service.metrics import Depths, Metrics
from service.pending import PendingEmbedder
from service.prior import Prior
from service.provider import Provider, local_provider, open_provider
from service.rankings import RANKINGS
from service.recommender import Recommender
from service.rpc.server import Server
from service.rpc.servicer import CatalogServices
from service.rpc.tls import TlsFiles
from service.settings import Settings
from service.snapshots import Origin, Snapshots
from service.storage import Store
from service.storage.store import CatalogRow
from service.tastes import TasteReader
from service.upkeep import Adopter, Builder
from service.vectoriser import Vectoriser
from service.view import View
from service.watch import Watch

SWEEP_SECONDS = 30.0
MONITOR_SECONDS = 2.0
REFRESH_SECONDS = 0.05
GC_OBJECTS = 20_000


def clock_us() -> int:
    """Microseconds since 1970-01-01 UTC."""
    return time.time_ns() // 1_000


@dataclass(frozen=True, slots=True)
class Worker:
    """Which one this process is, of those that serve the same data on the same port.

    The first one leads: it does what is to be done once for all of them.
    """

    number: int = 0
    count: int = 1

    @property
    def leads(self) -> bool:
        """Whether it works in the background for all."""
        return self.number == 0

    @property
    def alone(self) -> bool:
        """Whether no other process serves the same data."""
        return self.count == 1


async def serve(settings: Settings, worker: Worker, serving: Callable[[], None]) -> None:
    """Serves as one worker, until SIGTERM or SIGINT or the end of its parent.

    Args:
        settings: what and where; the data folder's lock must be held.
        worker: which one of how many it is.
        serving: is called when it lets calls in.

    Raises:
        AkinError: it cannot start.
    """
    # Several threads for one product gain little here, and lose much where cores are busy: a user's
    # p95 was 44 ms with two on two busy cores, 9 ms with one.
    threadpool_limits(1, user_api="blas")
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if (parent := multiprocessing.parent_process()) is not None:
        loop.add_reader(parent.sentinel, stop.set)
    if worker.leads:
        _warn_if_exposed(settings)
    life = _Life(settings, worker, serving, stop, time.monotonic())
    async with AsyncExitStack() as stack:
        store = await Store.open(settings.data_dir, clock_us)
        stack.push_async_callback(store.close)
        provider = await _provider(settings, store)
        stack.push_async_callback(provider.embedder.close)
        await _run(life, store, provider)
    structlog.get_logger().info("stopped")


@dataclass(frozen=True, slots=True)
class _Life:
    """What this process was started with, and when it shall stop."""

    settings: Settings
    worker: Worker
    serving: Callable[[], None]
    stop: asyncio.Event
    started: float


async def _provider(settings: Settings, store: Store) -> Provider:
    if settings.provider_kind == "local":
        return await asyncio.get_running_loop().run_in_executor(None, local_provider)
    provider = await open_provider(settings, await store.stored_space(DEFAULT_CATALOG))
    if provider.problem:
        # What needs no new vector is served all the same, and items wait as pending.
        structlog.get_logger().error("embedding_provider_fails", problem=provider.problem)
    return provider


async def _run(life: _Life, store: Store, provider: Provider) -> None:
    settings, worker = life.settings, life.worker
    ledger = Ledger(store, settings.embedding_budget_usd_per_day, clock_us)
    watch = Watch(settings.traces_endpoint)
    metrics = watch.metrics
    embedder = MeteredEmbedder(provider.embedder, ledger, metrics.request)
    catalog = await store.catalog(DEFAULT_CATALOG, embedder.space)
    batcher = Batcher(embedder)
    batcher.pace.problem = provider.problem
    cache = VectorCache(embedder.space.dimensions)
    vectoriser = Vectoriser(store, catalog, embedder.space, batcher, cache, metrics.texts)
    await store.refresh()  # others may have written, and saved a snapshot, meanwhile
    indexer, upkeep = _index(life, store, catalog, embedder.space)
    catalogue = Catalogue(store, catalog, indexer, vectoriser, clock_us, provider.usd_per_token)
    recommender = Recommender(
        store,
        catalog,
        indexer,
        TasteReader(store, catalog, vectoriser),
        Finder(RANKINGS[settings.ranking], _prior(settings)),
    )
    services = {DEFAULT_CATALOG: CatalogServices(catalogue, recommender)}
    server = Server(
        services,
        OpenDoor() if settings.api_keys is None else Keys(settings.api_keys),
        watch,
        _tls(settings),
        shared_port=not worker.alone,
        reflective=settings.reflection,
    )
    if settings.health_listen:
        await server.answer_probes(_plus(settings.health_listen, worker.number))
    if settings.metrics_listen:
        metrics.listen(_plus(settings.metrics_listen, worker.number))

    def depths() -> Depths:
        lag = max(0, store.last_sequence - indexer.sequence)
        return Depths(batcher.queued, store.queued_writes, lag)

    monitor = _monitor(catalogue, server, metrics, depths)
    work = [batcher.run(), indexer.run(), upkeep.run(), monitor]
    if worker.leads:
        # The settings, or the world, may have changed since an item's text was refused.
        await store.retry_pending()
        work += [PendingEmbedder(store, catalog, vectoriser).run(), _sweep(catalogue)]
    if not worker.alone:
        work.append(_refresh(store))
    # A task that fails takes the others and the server with it: better gone than half alive.
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(each) for each in work]
        try:
            await _serve(life, server, indexer, store)
        finally:
            await server.drain(settings.shutdown_grace_seconds)
            for task in tasks:
                task.cancel()
            watch.close()


def _index(
    life: _Life, store: Store, catalog: CatalogRow, space: Space
) -> tuple[Indexer, Builder | Adopter]:
    """What follows a catalog's items, from its snapshot if there is one, and what keeps it fast."""

    def empty_view() -> View:
        return View(TieredIndex(space.dimensions, half=vectors == "float16"), clock_us)

    worker, vectors = life.worker, life.settings.index_vectors
    folder = life.settings.data_dir / "index" / catalog.name
    origin = Origin(store.store_id, f"{space.fingerprint} {vectors}")
    snapshots = Snapshots(folder, origin, owner=worker.leads)
    view = empty_view()
    if not snapshots.load(view, store.last_sequence):
        view = empty_view()
    indexer = Indexer(store, catalog, view)
    if worker.leads:
        return indexer, Builder(indexer, snapshots, shared=not worker.alone)
    return indexer, Adopter(store, indexer, snapshots, empty_view)


def _tls(settings: Settings) -> TlsFiles | None:
    if settings.tls_certificate is None or settings.tls_key is None:
        return None
    return TlsFiles(settings.tls_certificate, settings.tls_key, settings.tls_client_authority)


def _warn_if_exposed(settings: Settings) -> None:
    """Says so where others can reach the server and something that protects it is missing."""
    given = {
        "AKIN_TLS_CERTIFICATE": settings.tls_certificate,
        "AKIN_API_KEYS": settings.api_keys or settings.tls_client_authority,
    }
    missing = [name for name, value in given.items() if value is None]
    if missing and not settings.loopback:
        structlog.get_logger().warning("exposed", listen=settings.listen, missing=missing)


def _prior(settings: Settings) -> Prior | None:
    if not settings.prior_attribute:
        return None
    return Prior(settings.prior_attribute, settings.prior_weight)


async def _serve(life: _Life, server: Server, indexer: Indexer, store: Store) -> None:
    log = structlog.get_logger()
    settings, worker = life.settings, life.worker
    address = ""
    if worker.alone:
        address = await _listen(server, settings.listen)
    stopped = asyncio.create_task(life.stop.wait())
    caught_up = asyncio.create_task(indexer.reached(store.last_sequence))
    await asyncio.wait({stopped, caught_up}, return_when=asyncio.FIRST_COMPLETED)
    if not life.stop.is_set():
        # What lives now lives on: the collector need not look at it again and again. With Python's
        # own threshold of 700 objects it takes some 15% of the time under load.
        gc.collect()
        gc.freeze()
        gc.set_threshold(GC_OBJECTS)
        if not worker.alone:
            # Connections go to whoever listens: only now, since others may serve already.
            address = await _listen(server, settings.listen)
        await server.open_gate()
        seconds = round(time.monotonic() - life.started, 3)
        log.info(
            "serving",
            address=address,
            process_id=os.getpid(),
            items=indexer.items,
            seconds=seconds,
        )
        life.serving()
        await stopped
    caught_up.cancel()
    log.info("draining", grace_seconds=settings.shutdown_grace_seconds)


async def _listen(server: Server, wanted: str) -> str:
    """Listens; returns the address with the port that was free, where any was asked for."""
    port = await server.start(wanted)
    address = f"{wanted.rpartition(':')[0]}:{port}"
    structlog.get_logger().info("listening", address=address)
    return address


def _plus(address: str, number: int) -> str:
    """The address with a port that is higher by `number`."""
    host, _, port = address.rpartition(":")
    return f"{host}:{int(port) + number if int(port) else 0}"


async def _monitor(
    catalogue: Catalogue, server: Server, metrics: Metrics, depths: Callable[[], Depths]
) -> None:
    while True:
        try:
            figures = await catalogue.figures()
            metrics.show(figures, day_of(clock_us()), depths())
            await server.set_embedding_health(healthy=not figures.embedding_problem)
        except errors.AkinError as exc:
            structlog.get_logger().warning("monitor_failed", reason=exc.reason)
        await asyncio.sleep(MONITOR_SECONDS)


async def _refresh(store: Store) -> None:
    """Has what other processes write followed as well."""
    while True:
        try:
            await store.refresh()
        except errors.AkinError as exc:
            structlog.get_logger().warning("refresh_failed", reason=exc.reason)
        await asyncio.sleep(REFRESH_SECONDS)


async def _sweep(catalogue: Catalogue) -> None:
    while True:
        try:
            await catalogue.sweep()
        except errors.AkinError as exc:
            structlog.get_logger().warning("sweep_failed", reason=exc.reason)
        await asyncio.sleep(SWEEP_SECONDS)
