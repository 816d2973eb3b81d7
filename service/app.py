"""Wiring and lifetime: the only module that names concrete classes."""

from __future__ import annotations

import asyncio
import signal
import time
from contextlib import AsyncExitStack

import structlog

from service import errors
from service.catalogue import Catalogue
from service.domain.values import DEFAULT_CATALOG
from service.embedding.base import Embedder
from service.embedding.batcher import Batcher
from service.embedding.cache import VectorCache
from service.embedding.local import LocalEmbedder
from service.index.faiss_exact import ExactIndex
from service.indexer import Indexer
from service.pending import PendingEmbedder
from service.recommender import Recommender
from service.rpc.server import Server
from service.rpc.servicer import CatalogServices
from service.settings import Settings
from service.storage import Store
from service.vectoriser import Vectoriser
from service.view import View

SWEEP_SECONDS = 30.0


def clock_us() -> int:
    """Microseconds since 1970-01-01 UTC."""
    return time.time_ns() // 1_000


async def serve(settings: Settings) -> None:
    """Serves until SIGTERM or SIGINT, then drains and closes.

    Raises:
        AkinError: it cannot start.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        store = await Store.open(settings.data_dir, clock_us)
        stack.push_async_callback(store.close)
        embedder = await loop.run_in_executor(None, LocalEmbedder)
        stack.push_async_callback(embedder.close)
        await _run(settings, store, embedder, stop)
    structlog.get_logger().info("stopped")


async def _run(settings: Settings, store: Store, embedder: Embedder, stop: asyncio.Event) -> None:
    catalog = await store.catalog(DEFAULT_CATALOG, embedder.space)
    batcher = Batcher(embedder)
    vectoriser = Vectoriser(store, catalog, batcher, VectorCache(embedder.space.dimensions))
    view = View(ExactIndex(embedder.space.dimensions), clock_us)
    indexer = Indexer(store, catalog, view)
    catalogue = Catalogue(store, catalog, indexer, vectoriser, clock_us)
    recommender = Recommender(store, catalog, indexer, vectoriser)
    server = Server({DEFAULT_CATALOG: CatalogServices(catalogue, recommender)})
    # A task that fails takes the others and the server with it: better gone than half alive.
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(batcher.run()),
            group.create_task(indexer.run()),
            group.create_task(PendingEmbedder(store, catalog, vectoriser).run()),
            group.create_task(_sweep(catalogue)),
        ]
        try:
            await _serve(settings, server, indexer, store, stop)
        finally:
            await server.drain(settings.shutdown_grace_seconds)
            for task in tasks:
                task.cancel()


async def _serve(
    settings: Settings, server: Server, indexer: Indexer, store: Store, stop: asyncio.Event
) -> None:
    log = structlog.get_logger()
    started = time.monotonic()
    port = await server.start(settings.listen)
    host = settings.listen.rpartition(":")[0]
    log.info("listening", address=f"{host}:{port}")
    stopped = asyncio.create_task(stop.wait())
    caught_up = asyncio.create_task(indexer.reached(store.last_sequence))
    await asyncio.wait({stopped, caught_up}, return_when=asyncio.FIRST_COMPLETED)
    if not stop.is_set():
        await server.open_gate()
        seconds = round(time.monotonic() - started, 3)
        log.info("serving", address=f"{host}:{port}", items=indexer.items, seconds=seconds)
        await stopped
    caught_up.cancel()
    log.info("draining", grace_seconds=settings.shutdown_grace_seconds)


async def _sweep(catalogue: Catalogue) -> None:
    while True:
        try:
            await catalogue.sweep()
        except errors.AkinError as exc:
            structlog.get_logger().warning("sweep_failed", reason=exc.reason)
        await asyncio.sleep(SWEEP_SECONDS)
