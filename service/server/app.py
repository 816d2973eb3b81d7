"""One worker from start to end, as one sequence."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from contextvars import Context
from functools import partial
from typing import Any

import stamina
import structlog
from threadpoolctl import threadpool_limits

from service.api.server import Server
from service.background import housekeeping
from service.background.duty_rounds import perform
from service.background.replication_watch import ReplicationWatch
from service.domain.generations import DEFAULT_CATALOG
from service.domain.index_kinds import IndexKind
from service.domain.stats import CatalogStats
from service.domain.usage import format_utc_day
from service.embedding.pool import EmbedderPool
from service.embedding.providers import make_default_model, open_default_embedder
from service.server.heaps import limit_heaps, trim_heaps
from service.server.host_readings import read_host
from service.server.wiring import Wiring, Worker
from service.settings import Settings
from service.storage.duties import Duty
from service.storage.opening import open_database, open_duties, wait_for_store
from service.storage.stores import Stores
from service.telemetry.calls import CallTelemetry
from service.telemetry.metrics import Metrics, ProcessState
from service.telemetry.worker_metrics import answer_scrapes

# Objects that are allocated before the garbage collector runs. With Python's own threshold of 700
# it takes some 15% of the time under load. With 20,000 it stops all calls for up to 40 ms.
GC_OBJECTS = 5_000

# Time after which a thread that computes lets another one run. Under overload the writer's thread
# waits as long after each statement: the p99 of a write was 270 ms with 1 ms, and 60 ms with this.
SWITCH_SECONDS = 0.0001


async def serve(settings: Settings, worker: Worker, on_serving: Callable[[], None]) -> None:
    """Serve as one worker until SIGTERM, SIGINT or the end of the parent process.

    Args:
        settings: the settings of the server; the data folder's lock must be held.
        worker: which worker this is.
        on_serving: is called when calls are admitted.

    Raises:
        AkinError: the worker cannot start.
    """
    started = time.monotonic()
    sys.setswitchinterval(SWITCH_SECONDS)
    limit_heaps()
    # More threads for one matrix product gain little, and lose much while cores are busy: a user's
    # p95 was 44 ms with two threads on two busy cores, and 9 ms with one.
    threadpool_limits(1, user_api="blas")
    # stamina would log each retry with the message of the failure, which can quote callers.
    stamina.instrumentation.set_on_retry_hooks([])
    stop = _Stop()
    if worker.leads:
        _warn_if_exposed(settings)
    if not await _wait_for_store(settings.store, stop):
        structlog.get_logger().info("stopped")
        return
    telemetry = CallTelemetry(settings.traces_endpoint)
    async with AsyncExitStack() as stack:
        database = open_database(settings.data_dir, time.time_ns, address=settings.store)
        stores = Stores.over(database, open_duties(settings.store, leads=worker.leads))
        stack.push_async_callback(stores.close)
        # A background task that fails ends the others and the server: a supervisor can restart a
        # server that is gone, but does not notice one that has lost a part.
        async with asyncio.TaskGroup() as group:
            tasks = _Tasks(group)
            wiring = Wiring(settings, worker, stores, telemetry, tasks.spawn, stack)

            def announce(address: str) -> None:
                structlog.get_logger().info(
                    "serving",
                    address=address,
                    store="postgresql" if settings.store else "sqlite",
                    process_id=os.getpid(),
                    items=wiring.catalogs.count_items(),
                    seconds=round(time.monotonic() - started, 3),
                )
                on_serving()

            try:
                server = wiring.make_server()
                start = _start(settings, worker, stores, wiring, server, tasks)
                try:
                    await _admit_until(stop, settings.listen, worker, server, start, announce)
                finally:
                    grace_seconds = settings.shutdown_grace_seconds
                    structlog.get_logger().info("draining", grace_seconds=grace_seconds)
                    # An orphaned worker keeps the next server from starting.
                    await asyncio.gather(
                        server.drain(grace_seconds, stop.orphaned),
                        wiring.http_listeners.drain(grace_seconds, stop.orphaned),
                    )
            finally:
                tasks.cancel()
                telemetry.close()
    structlog.get_logger().info("stopped")


async def _wait_for_store(address: str, stop: _Stop) -> bool:
    """Wait until the store can be reached; return False if the server is to stop before.

    Raises:
        StoreUnavailable: it cannot be reached in time.
    """
    waiting = asyncio.create_task(wait_for_store(address))
    stopping = asyncio.create_task(stop.requested.wait())
    try:
        await asyncio.wait({waiting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if waiting.done():
            waiting.result()  # raises why the store cannot be used
        return not stop.requested.is_set()
    finally:
        waiting.cancel()
        stopping.cancel()
        await asyncio.wait({waiting, stopping})


async def _start(
    settings: Settings,
    worker: Worker,
    stores: Stores,
    wiring: Wiring,
    server: Server,
    tasks: _Tasks,
) -> None:
    """Open the catalogs, start the background tasks, and wait until indexes have every write."""
    if settings.health_listen:
        await server.serve_probes(_add_to_port(settings.health_listen, worker.number))
    if settings.metrics_listen:
        _show_metrics(settings, worker, wiring.telemetry.metrics)
    await _open_default_catalog(settings, stores, wiring.embedder_pool)
    # Other workers may have written, and saved snapshots, since the database was opened. A snapshot
    # that is newer than the known sequence would be discarded.
    await stores.database.refresh()
    if worker.leads:
        replication = ReplicationWatch(
            stores.database, wiring.telemetry.metrics.replication_problem.set
        )
        await replication.check()
        tasks.spawn(replication.run())
        # The settings or the provider may have changed since the texts were rejected.
        await stores.pending.retry_all()
        # Before catalogs open, so that no folder in use is removed.
        await wiring.remove_unknown_files()
    await wiring.catalogs.update()
    await wiring.behavior_models.update()
    tasks.spawn(wiring.behavior_models.run())
    tasks.spawn(perform(stores.duties, Duty.CLEANING, partial(housekeeping.clean, stores)))
    tasks.spawn(perform(stores.duties, Duty.PURGE, wiring.make_purge().run))
    tasks.spawn(perform(stores.duties, Duty.TRAINING, wiring.make_trainer().run))

    def show_stats(stats: list[CatalogStats]) -> None:
        queued_texts, database = wiring.embedder_pool.queued_texts, stores.database
        state = ProcessState(queued_texts, database.queued_writes, database.commits.last_sequence)
        wiring.telemetry.metrics.update_catalogs(stats, format_utc_day(time.time_ns()), state)

    tasks.spawn(trim_heaps())
    tasks.spawn(housekeeping.flush_responses(wiring.response_counts))
    tasks.spawn(housekeeping.report_stats(wiring.catalogs, show_stats, server.set_embedding_health))
    if wiring.has_other_writers:
        tasks.spawn(housekeeping.follow_other_processes(stores.database, wiring.catalogs))
    await wiring.catalogs.wait_until_caught_up()
    await wiring.http_listeners.start()


def _show_metrics(settings: Settings, worker: Worker, metrics: Metrics) -> None:
    """Let Prometheus read the metrics, or the supervisor, which shows those of all workers."""
    metrics.observe_host(read_host(settings))
    if worker.scrapes is None:
        metrics.listen(settings.metrics_listen)
    else:
        answer_scrapes(worker.scrapes, metrics.registry)


async def _open_default_catalog(
    settings: Settings, stores: Stores, embedder_pool: EmbedderPool
) -> None:
    """Open the default catalog with the model of the settings, unless it has its own model."""
    catalog = (await stores.generations.list_catalogs()).get(DEFAULT_CATALOG)
    if catalog is not None and catalog.own_model:
        return
    stored_space = None if catalog is None else catalog.serving.model.space
    priced = await open_default_embedder(settings, stored_space)
    if priced.problem.message:
        # Reads that need no new vector are served, and new items are pending.
        structlog.get_logger().error("embedding_provider_fails", problem=priced.problem.message)
    model = make_default_model(settings, priced.embedder.space)
    embedder_pool.add(model, priced)
    await stores.generations.open_default(model, IndexKind(settings.index))


async def _admit_until(
    stop: _Stop,
    listen: str,
    worker: Worker,
    server: Server,
    start: Coroutine[Any, Any, None],
    announce: Callable[[str], None],
) -> None:
    """Listen, and admit calls once `start` has ended, until `stop` is set."""
    # A worker that is alone listens at once, so that health checks get an answer while it starts.
    # Several workers share a port, and one that does not serve yet would fail its share of calls.
    starting = asyncio.create_task(start)
    stopping = asyncio.create_task(stop.requested.wait())
    try:
        address = await _listen(server, listen) if worker.is_alone else ""
        await asyncio.wait({stopping, starting}, return_when=asyncio.FIRST_COMPLETED)
        if stop.requested.is_set():
            return
        starting.result()  # raises why the worker cannot start
        # What exists now stays: the collector need not examine it again.
        gc.collect()
        gc.freeze()
        gc.set_threshold(GC_OBJECTS)
        if not worker.is_alone:
            address = await _listen(server, listen)
        await server.open_admission()
        announce(address)
        await stopping
    finally:
        starting.cancel()
        stopping.cancel()
        await asyncio.wait({starting, stopping})


class _Tasks:
    """Tasks that run as long as the server; what one raises ends the server."""

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self._group = group
        self._tasks: set[asyncio.Task[None]] = set()

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start a task."""
        # In a context of its own: a call may start the task, whose deadline does not apply to it.
        task = self._group.create_task(work, context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def cancel(self) -> None:
        """Cancel all tasks."""
        for task in tuple(self._tasks):
            task.cancel()


class _Stop:
    """Why the server ends.

    Attributes:
        requested: is set by SIGTERM and SIGINT, and with `orphaned`.
        orphaned: is set when the supervisor has ended without this worker.
    """

    def __init__(self) -> None:
        self.requested = asyncio.Event()
        self.orphaned = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.requested.set)
        if (supervisor := multiprocessing.parent_process()) is not None:
            loop.add_reader(supervisor.sentinel, self._become_orphaned, supervisor.sentinel)

    def _become_orphaned(self, sentinel: int) -> None:
        asyncio.get_running_loop().remove_reader(sentinel)
        structlog.get_logger().error("supervisor_ended")
        self.orphaned.set()
        self.requested.set()


def _warn_if_exposed(settings: Settings) -> None:
    """Log a warning if others can reach the server and it lacks TLS or authentication."""
    protections = {
        "AKIN_TLS_CERTIFICATE": settings.tls_certificate,
        "AKIN_API_KEYS": settings.api_keys or settings.tls_client_authority,
    }
    missing = [name for name, value in protections.items() if value is None]
    if missing and settings.exposed_addresses:
        addresses = settings.exposed_addresses
        structlog.get_logger().warning("exposed", addresses=addresses, missing=missing)


async def _listen(server: Server, address: str) -> str:
    """Listen on an address; return it with the actual port."""
    port = await server.start(address)
    address = f"{address.rpartition(':')[0]}:{port}"
    structlog.get_logger().info("listening", address=address)
    return address


def _add_to_port(address: str, number: int) -> str:
    """Return an address whose port is higher by `number`; 0, any free port, stays."""
    host, _, port = address.rpartition(":")
    return f"{host}:{int(port) + number if int(port) else 0}"
