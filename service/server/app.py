"""Wiring and lifetime: the only module that names concrete classes."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import structlog
from threadpoolctl import threadpool_limits

from service import errors
from service.api.auth import AllowAll, Keys
from service.api.recommender_servicer import Services
from service.api.server import Server
from service.api.tls import TlsFiles
from service.catalog.admin import Directory
from service.catalog.open_catalogs import Catalogs
from service.catalog.reembedding import Reembeddings
from service.domain.clock import clock_us
from service.domain.generations import DEFAULT_CATALOG
from service.domain.spaces import ModelChoice
from service.embedding.budget import Budget, format_utc_day
from service.embedding.pool import EmbedderPool
from service.embedding.providers import (
    ProbedModel,
    make_default_model,
    open_default_embedder,
    probe_model,
)
from service.server.wiring import Parts
from service.settings import Settings
from service.storage import Registry, Store
from service.telemetry.calls import CallTelemetry
from service.telemetry.metrics import CatalogState, Metrics, ProcessState

EXPIRED_PER_ROUND = 1_000
SWEEP_SECONDS = 30.0
MONITOR_SECONDS = 2.0
REFRESH_SECONDS = 0.05
GC_OBJECTS = 20_000


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
        await _run(life, store, stack)
    structlog.get_logger().info("stopped")


@dataclass(frozen=True, slots=True)
class _Life:
    """What this process was started with, and when it shall stop."""

    settings: Settings
    worker: Worker
    serving: Callable[[], None]
    stop: asyncio.Event
    started: float


async def _run(life: _Life, store: Store, stack: AsyncExitStack) -> None:
    settings, worker = life.settings, life.worker
    watch = CallTelemetry(settings.traces_endpoint)
    registry = Registry(store)
    # A task that fails takes the others and the server with it: better gone than half alive.
    async with asyncio.TaskGroup() as group:
        works = _Works(group)
        budget = Budget(store, settings.embedding_budget_usd_per_day, clock_us)
        embedder_pool = EmbedderPool(settings, budget, watch.metrics, works.spawn, stack)
        try:
            await _open_default(settings, registry, embedder_pool)
            await store.refresh()  # others may have written, and saved a snapshot, meanwhile
            parts = Parts(
                settings,
                worker.leads,
                worker.alone,
                store,
                registry,
                embedder_pool,
                works.spawn,
                clock_us,
            )
            catalogs = parts.catalogs
            if worker.leads:
                # The settings, or the world, may have changed since an item's text was refused.
                await store.retry_pending()
                await parts.tidy()
                works.spawn(_sweep(store, registry))
            await catalogs.update()
            server = await _server(life, store, watch, parts, embedder_pool)
            works.spawn(_monitor(catalogs, server, watch.metrics, store, embedder_pool))
            if not worker.alone:
                works.spawn(_refresh(store, catalogs))
            try:
                await _serve(life, server, catalogs)
            finally:
                await server.drain(settings.shutdown_grace_seconds)
        finally:
            works.end()
            watch.close()


class _Works:
    """The tasks of a group, which end when the server does."""

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self._group = group
        self._tasks: set[asyncio.Task[None]] = set()

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Starts work; what it raises ends the server."""
        task = self._group.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def end(self) -> None:
        """Cancels what is still at work."""
        for task in tuple(self._tasks):
            task.cancel()


async def _open_default(
    settings: Settings, registry: Registry, embedder_pool: EmbedderPool
) -> None:
    """Opens the default catalog for the model of the settings, unless it has one of its own."""
    known = (await registry.catalogs()).get(DEFAULT_CATALOG)
    if known is not None and known.own_model:
        return
    stored = None if known is None else known.serving.model.space
    priced = await open_default_embedder(settings, stored)
    if priced.problem.message:
        # Calls that need no new vector are served all the same, and new items are pending.
        structlog.get_logger().error("embedding_provider_fails", problem=priced.problem.message)
    model = make_default_model(settings, priced.embedder.space)
    embedder_pool.add(model, priced)
    await registry.open_default(model)


async def _server(
    life: _Life, store: Store, watch: CallTelemetry, parts: Parts, embedder_pool: EmbedderPool
) -> Server:
    """The server, with health and metrics on addresses of their own where these are wanted."""
    settings, worker = life.settings, life.worker
    registry, catalogs = Registry(store), parts.catalogs

    async def ask(choice: ModelChoice) -> ProbedModel:
        return await probe_model(settings, choice)

    server = Server(
        Services(
            catalogs,
            Directory(registry, catalogs, ask),
            Reembeddings(store, registry, catalogs, embedder_pool, ask),
        ),
        AllowAll() if settings.api_keys is None else Keys(settings.api_keys),
        watch,
        _tls(settings),
        shared_port=not worker.alone,
        reflective=settings.reflection,
    )
    if settings.health_listen:
        await server.answer_probes(_plus(settings.health_listen, worker.number))
    if settings.metrics_listen:
        watch.metrics.listen(_plus(settings.metrics_listen, worker.number))
    return server


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
    if missing and not settings.is_loopback:
        structlog.get_logger().warning("exposed", listen=settings.listen, missing=missing)


async def _serve(life: _Life, server: Server, catalogs: Catalogs) -> None:
    log = structlog.get_logger()
    settings, worker = life.settings, life.worker
    address = ""
    if worker.alone:
        address = await _listen(server, settings.listen)
    stopped = asyncio.create_task(life.stop.wait())
    caught_up = asyncio.create_task(catalogs.caught_up())
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
        await server.open_admission()
        seconds = round(time.monotonic() - life.started, 3)
        log.info(
            "serving",
            address=address,
            process_id=os.getpid(),
            items=sum(each.generations.serving.follower.items for each in catalogs),
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
    catalogs: Catalogs, server: Server, metrics: Metrics, store: Store, embedder_pool: EmbedderPool
) -> None:
    while True:
        try:
            states = [
                CatalogState(
                    await each.services.catalog_items.stats(),
                    each.generations.serving.follower.sequence,
                )
                for each in catalogs
            ]
            today = format_utc_day(clock_us())
            metrics.update_catalogs(states, today, _process_state(store, embedder_pool))
            problem = any(stats.embedding_problem for stats, _ in states)
            await server.set_embedding_health(healthy=not problem)
        except errors.AkinError as exc:
            structlog.get_logger().warning("monitor_failed", reason=exc.reason)
        await asyncio.sleep(MONITOR_SECONDS)


def _process_state(store: Store, embedder_pool: EmbedderPool) -> ProcessState:
    return ProcessState(embedder_pool.queued_texts, store.queued_writes, store.last_sequence)


async def _refresh(store: Store, catalogs: Catalogs) -> None:
    """Has what other processes write followed as well."""
    while True:
        try:
            before = store.last_sequence
            if await store.refresh() > before:
                await catalogs.update()
        except errors.AkinError as exc:
            structlog.get_logger().warning("refresh_failed", reason=exc.reason)
        await asyncio.sleep(REFRESH_SECONDS)


async def _sweep(store: Store, registry: Registry) -> None:
    """Removes what has expired, which was out of sight already, and what was dropped."""
    while True:
        try:
            while await store.bury_expired(EXPIRED_PER_ROUND):
                pass
            while await registry.remove_some():
                pass
        except errors.AkinError as exc:
            structlog.get_logger().warning("sweep_failed", reason=exc.reason)
        await asyncio.sleep(SWEEP_SECONDS)
