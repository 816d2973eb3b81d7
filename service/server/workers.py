"""Starts the workers, restarts those that end, and ends with them.

Each worker is a process that serves the same data on the same port (with SO_REUSEPORT the kernel
distributes the connections). This process holds the port, and otherwise only waits. It shares the
lock of the data folder with the workers: if it is killed, no other server starts before they end.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess

import structlog

from service import errors
from service.domain.printable import replace_controls
from service.server.listen_addresses import bind_address
from service.settings import Settings
from service.storage.data_folder import FolderLock, lock_folder, secure_folder
from service.storage.opening import prepare_store
from service.telemetry import logging
from service.telemetry.worker_metrics import WorkerMetrics

# Delay before a worker that ended is restarted.
RESTART_SECONDS = 1.0

# Time after its grace period, or after the end of this process, at which a worker that does not end
# is killed.
CLOSING_SECONDS = 10.0

# Time that a server waits for the workers of one that was killed. They end their calls at once.
LOCK_WAIT_SECONDS = 3.0

# The settings of the addresses on which all workers listen.
SHARED_ADDRESSES = ("listen", "http_listen", "console_listen")

# Exit status of a worker that has printed why it cannot start.
CANNOT_START = 2

# Exit status of a worker that did not end by itself after the supervisor was killed.
ORPHANED = 3

# Serves as the worker of a number until SIGTERM or SIGINT, calls the function once it serves, and
# answers the supervisor's questions for metrics through the connection.
Serve = Callable[[Settings, int, Callable[[], None], Connection], None]

_SPAWN = multiprocessing.get_context("spawn")


async def supervise(settings: Settings, serve: Serve) -> None:
    """Keep `settings.workers` workers running until SIGTERM or SIGINT, then drain them.

    Args:
        settings: of all workers.
        serve: what each worker runs.

    Raises:
        StoreUnavailable: another server uses the data folder.
        AddressUnavailable: another server listens there, or on the address of the metrics.
        WorkerFailed: a worker ended at the start, before it served.
    """
    stop = asyncio.Event()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signal_number, stop.set)
    with (
        lock_folder(settings.data_dir, LOCK_WAIT_SECONDS) as lock,
        _reserve_ports(settings) as addresses,
    ):
        # First, because a folder with another database is not Akin's to change.
        prepare_store(settings.data_dir, settings.store)
        secure_folder(settings.data_dir)
        settings = settings.model_copy(update=addresses)
        metrics = WorkerMetrics()
        if settings.metrics_listen:
            metrics.listen(settings.metrics_listen)
        async with asyncio.TaskGroup() as group:
            for number in range(settings.workers):
                keeper = _WorkerKeeper(settings, serve, number, lock, stop, metrics)
                group.create_task(keeper.keep_running())


class _WorkerKeeper:
    """Runs one worker, and another one whenever it ends."""

    def __init__(
        self,
        settings: Settings,
        serve: Serve,
        number: int,
        lock: FolderLock,
        stop: asyncio.Event,
        metrics: WorkerMetrics,
    ) -> None:
        self._metrics = metrics
        self._settings = settings
        self._serve = serve
        self._number = number
        self._lock = lock
        self._stop = stop

    async def keep_running(self) -> None:
        """Keep a worker running until `stop` is set.

        Raises:
            WorkerFailed: the first worker never served.
        """
        log = structlog.get_logger()
        has_served = False
        while not self._stop.is_set():
            process, has_served = await self._run(has_served=has_served)
            if self._stop.is_set():
                return
            log.error("worker_ended", worker=self._number, exit_code=process.exitcode)
            if not has_served:
                raise errors.WorkerFailed(f"worker {self._number} ended before it served")
            await _wait_at_most(RESTART_SECONDS, self._stop.wait())

    async def _run(self, *, has_served: bool) -> tuple[SpawnProcess, bool]:
        """Run a worker until it ends or `stop` is set."""
        receiver, sender = _SPAWN.Pipe(duplex=False)
        asking, answering = _SPAWN.Pipe()
        process = _SPAWN.Process(
            target=_run_worker,
            args=(self._settings, self._serve, self._number, sender, answering, self._lock),
        )
        process.start()
        sender.close()
        answering.close()
        self._metrics.attach(self._number, asking)
        ended = asyncio.create_task(_wait_for_end(process))
        stopped = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait({ended, stopped}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopped.cancel()
            if process.is_alive():
                process.terminate()
                grace_seconds = self._settings.shutdown_grace_seconds
                await _wait_at_most(grace_seconds + CLOSING_SECONDS, asyncio.shield(ended))
                process.kill()
            await ended
            process.join()
            self._metrics.attach(self._number, None)
        return process, has_served or _has_served(receiver)


def _run_worker(
    settings: Settings,
    serve: Serve,
    number: int,
    sender: Connection,
    scrapes: Connection,
    _lock: FolderLock,
) -> None:
    """Run as the worker process, which holds the lock of the data folder."""
    threading.Thread(target=_end_after_supervisor, name="akin-supervisor", daemon=True).start()
    try:
        with logging.write_log(settings.log_level, number):
            serve(settings, number, lambda: _report_serving(sender), scrapes)
    except* errors.AkinError as group:
        for exc in group.exceptions:
            sys.stderr.write(replace_controls(f"akin serve: {exc}\n"))
        sys.exit(CANNOT_START)


def _end_after_supervisor() -> None:
    """End a worker that has not ended by itself some time after the supervisor was killed."""
    supervisor = multiprocessing.parent_process()
    if supervisor is not None:
        supervisor.join()
        time.sleep(CLOSING_SECONDS)
        os._exit(ORPHANED)


def _report_serving(sender: Connection) -> None:
    """Tell the supervisor that the worker serves, unless the supervisor is dead."""
    with suppress(BrokenPipeError):
        sender.send_bytes(b"serving")


def _has_served(receiver: Connection) -> bool:
    """Return whether a worker that has ended reported that it serves."""
    try:
        return bool(receiver.recv_bytes())
    except EOFError:
        return False
    finally:
        receiver.close()


async def _wait_for_end(process: SpawnProcess) -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(process.sentinel, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(process.sentinel)


async def _wait_at_most(seconds: float, awaited: Awaitable[object]) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(awaited, seconds)


@contextmanager
def _reserve_ports(settings: Settings) -> Iterator[dict[str, str]]:
    """Hold the ports that workers share; yield the settings with the actual ports.

    Raises:
        AddressUnavailable: another server listens on a port, or nobody can.
    """
    addresses = {name: getattr(settings, name) for name in SHARED_ADDRESSES}
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(_reserve_port(address))
            for name, address in addresses.items()
            if address
        }


@contextmanager
def _reserve_port(listen: str) -> Iterator[str]:
    """Hold a port that workers can share; yield the address with the actual port.

    Raises:
        AddressUnavailable: another server listens on the port, or nobody can.
    """
    host = listen.rpartition(":")[0]
    try:
        # This fails if another server listens, even one that would share its port.
        bind_address(listen, socket.SO_REUSEADDR).close()
        with bind_address(listen, socket.SO_REUSEPORT) as shared:
            yield f"{host}:{shared.getsockname()[1]}"
    except OSError as exc:
        raise errors.AddressUnavailable(f"cannot listen on {listen}", listen) from exc
