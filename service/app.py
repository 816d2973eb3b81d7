"""Wiring and lifetime: the only module that names concrete classes."""

from __future__ import annotations

import asyncio
import gc
import signal
import time
from contextlib import AsyncExitStack

import structlog
from threadpoolctl import threadpool_limits

from service import errors
from service.candidates import Finder
from service.catalogue import Catalogue
from service.domain.values import DEFAULT_CATALOG
from service.embedding.batcher import Batcher
from service.embedding.cache import VectorCache
from service.index.faiss_tiers import TieredIndex
from service.indexer import Indexer
from service.ledger import Ledger, MeteredEmbedder, day_of
from service.metrics import Metrics
from service.pending import PendingEmbedder
from service.prior import Prior
from service.provider import Provider, local_provider, open_provider
from service.rankings import RANKINGS
from service.recommender import Recommender
from service.rpc.server import Server
from service.rpc.servicer import CatalogServices
from service.settings import Settings
from service.snapshots import Origin, Snapshots
from service.storage import Store
from service.tastes import TasteReader
from service.vectoriser import Vectoriser
from service.view import View

SWEEP_SECONDS = 30.0
MONITOR_SECONDS = 2.0
GC_OBJECTS = 20_000


def clock_us() -> int:
    """Microseconds since 1970-01-01 UTC."""
    return time.time_ns() // 1_000


async def serve(settings: Settings) -> None:
    """Serves until SIGTERM or SIGINT, then drains and closes.

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
    started = time.monotonic()
    async with AsyncExitStack() as stack:
        store = await Store.open(settings.data_dir, clock_us)
        stack.push_async_callback(store.close)
        provider = await _provider(settings, store)
        stack.push_async_callback(provider.embedder.close)
        await _run(settings, store, provider, stop, started)
    structlog.get_logger().info("stopped")


async def _provider(settings: Settings, store: Store) -> Provider:
    if settings.provider_kind == "local":
        return await asyncio.get_running_loop().run_in_executor(None, local_provider)
    provider = await open_provider(settings, await store.stored_space(DEFAULT_CATALOG))
    if provider.problem:
        # What needs no new vector is served all the same, and items wait as pending.
        structlog.get_logger().error("embedding_provider_fails", problem=provider.problem)
    return provider


async def _run(
    settings: Settings, store: Store, provider: Provider, stop: asyncio.Event, started: float
) -> None:
    ledger = Ledger(store, settings.embedding_budget_usd_per_day, clock_us)
    embedder = MeteredEmbedder(provider.embedder, ledger)
    catalog = await store.catalog(DEFAULT_CATALOG, embedder.space)
    # The settings, or the world, may have changed since an item's text was refused.
    await store.retry_pending()
    batcher = Batcher(embedder)
    batcher.pace.problem = provider.problem
    cache = VectorCache(embedder.space.dimensions)
    vectoriser = Vectoriser(store, catalog, embedder.space, embedder.limits, batcher, cache)
    half = settings.index_vectors == "float16"
    view = View(TieredIndex(embedder.space.dimensions, half=half), clock_us)
    origin = Origin(store.store_id, f"{embedder.space.fingerprint} {settings.index_vectors}")
    snapshots = Snapshots(settings.data_dir / "index" / catalog.name, origin)
    snapshots.load(view, store.last_sequence)
    indexer = Indexer(store, catalog, view, snapshots)
    catalogue = Catalogue(store, catalog, indexer, vectoriser, clock_us, provider.usd_per_token)
    recommender = Recommender(
        store,
        catalog,
        indexer,
        TasteReader(store, catalog, vectoriser),
        Finder(RANKINGS[settings.ranking], _prior(settings)),
    )
    server = Server({DEFAULT_CATALOG: CatalogServices(catalogue, recommender)})
    metrics = Metrics(settings.metrics_listen)
    # A task that fails takes the others and the server with it: better gone than half alive.
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(batcher.run()),
            group.create_task(indexer.run()),
            group.create_task(indexer.maintain()),
            group.create_task(PendingEmbedder(store, catalog, vectoriser).run()),
            group.create_task(_sweep(catalogue)),
            group.create_task(_monitor(catalogue, server, metrics)),
        ]
        try:
            await _serve(settings, server, indexer, store, stop, started)
        finally:
            await server.drain(settings.shutdown_grace_seconds)
            for task in tasks:
                task.cancel()


def _prior(settings: Settings) -> Prior | None:
    if not settings.prior_attribute:
        return None
    return Prior(settings.prior_attribute, settings.prior_weight)


async def _serve(
    settings: Settings,
    server: Server,
    indexer: Indexer,
    store: Store,
    stop: asyncio.Event,
    started: float,
) -> None:
    log = structlog.get_logger()
    port = await server.start(settings.listen)
    host = settings.listen.rpartition(":")[0]
    log.info("listening", address=f"{host}:{port}")
    stopped = asyncio.create_task(stop.wait())
    caught_up = asyncio.create_task(indexer.reached(store.last_sequence))
    await asyncio.wait({stopped, caught_up}, return_when=asyncio.FIRST_COMPLETED)
    if not stop.is_set():
        # What lives now lives on: the collector need not look at it again and again. With Python's
        # own threshold of 700 objects it takes some 15% of the time under load.
        gc.collect()
        gc.freeze()
        gc.set_threshold(GC_OBJECTS)
        await server.open_gate()
        seconds = round(time.monotonic() - started, 3)
        log.info("serving", address=f"{host}:{port}", items=indexer.items, seconds=seconds)
        await stopped
    caught_up.cancel()
    log.info("draining", grace_seconds=settings.shutdown_grace_seconds)


async def _monitor(catalogue: Catalogue, server: Server, metrics: Metrics) -> None:
    while True:
        try:
            figures = await catalogue.figures()
            metrics.show(figures, day_of(clock_us()))
            await server.set_embedding_health(healthy=not figures.embedding_problem)
        except errors.AkinError as exc:
            structlog.get_logger().warning("monitor_failed", reason=exc.reason)
        await asyncio.sleep(MONITOR_SECONDS)


async def _sweep(catalogue: Catalogue) -> None:
    while True:
        try:
            await catalogue.sweep()
        except errors.AkinError as exc:
            structlog.get_logger().warning("sweep_failed", reason=exc.reason)
        await asyncio.sleep(SWEEP_SECONDS)
