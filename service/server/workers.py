"""Starts the workers, starts again those that end, and ends with them.

Each worker is a process that serves on the same port (SO_REUSEPORT: the kernel deals out the
connections) over the same data. This process holds the port and the data folder's lock, and
otherwise only waits.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess

import structlog

from service import errors
from service.settings import Settings
from service.storage import locked, prepare
from service.telemetry import logging

RESTART_SECONDS = 1.0

CLOSING_SECONDS = 10.0
"""So long after its grace period a worker that was told to end is killed."""

CANNOT_START = 2
"""The exit code of a worker that has told why it cannot start."""

_SPAWN = multiprocessing.get_context("spawn")


def serve_alone(settings: Settings) -> None:
    """Serves in this process until SIGTERM or SIGINT.

    Raises:
        AkinError: it cannot start.
    """
    with locked(settings.data_dir):
        _serve(settings, 0, lambda: None)


async def supervise(settings: Settings) -> None:
    """Keeps `settings.workers` workers running until SIGTERM or SIGINT, then has them drain.

    Raises:
        StoreUnavailable: another server uses the data folder.
        AddressUnavailable: another server listens there.
        WorkerFailed: a worker ended at the start, before it served.
    """
    stop = asyncio.Event()
    for signaled in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signaled, stop.set)
    with locked(settings.data_dir), _reserved(settings.listen) as address:
        prepare(settings.data_dir)
        settings = settings.model_copy(update={"listen": address})
        async with asyncio.TaskGroup() as group:
            for number in range(settings.workers):
                group.create_task(_Place(settings, number, stop).keep())


class _Place:
    """One worker after the other, in one place among several."""

    def __init__(self, settings: Settings, number: int, stop: asyncio.Event) -> None:
        self._settings = settings
        self._number = number
        self._stop = stop

    async def keep(self) -> None:
        """Keeps a worker running until told to stop.

        Raises:
            WorkerFailed: the first one never served.
        """
        events = structlog.get_logger()
        has_served = False
        while not self._stop.is_set():
            process, has_served = await self._run(has_served=has_served)
            if self._stop.is_set():
                return
            events.error("worker_ended", worker=self._number, exit_code=process.exitcode)
            if not has_served:
                raise errors.WorkerFailed(f"worker {self._number} ended before it served")
            await _at_most(RESTART_SECONDS, self._stop.wait())

    async def _run(self, *, has_served: bool) -> tuple[SpawnProcess, bool]:
        """Runs a worker to its end, or ends it."""
        news, writer = _SPAWN.Pipe(duplex=False)
        process = _SPAWN.Process(target=_work, args=(self._settings, self._number, writer))
        process.start()
        writer.close()
        ended = asyncio.create_task(_ended(process))
        stopped = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait({ended, stopped}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopped.cancel()
            if process.is_alive():
                process.terminate()
                grace_seconds = self._settings.shutdown_grace_seconds
                await _at_most(grace_seconds + CLOSING_SECONDS, asyncio.shield(ended))
                process.kill()
            await ended
            process.join()
        return process, has_served or _has_news(news)


def _work(settings: Settings, number: int, news: Connection) -> None:
    """The worker process."""
    logging.configure_logging(settings.log_level, number)
    try:
        _serve(settings, number, lambda: news.send_bytes(b"serving"))
    except* errors.AkinError as group:
        for exc in group.exceptions:
            sys.stderr.write(f"akin serve: {exc}\n")
        sys.exit(CANNOT_START)


def _serve(settings: Settings, number: int, serving: Callable[[], None]) -> None:
    # These would only fill the memory of a process that watches others.
    import uvloop  # noqa: PLC0415

    from service.server import app  # noqa: PLC0415

    uvloop.run(app.serve(settings, app.Worker(number, settings.workers), serving))


def _has_news(news: Connection) -> bool:
    """Whether a worker that has ended said that it serves."""
    try:
        return bool(news.recv_bytes())
    except EOFError:
        return False
    finally:
        news.close()


async def _ended(process: SpawnProcess) -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(process.sentinel, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(process.sentinel)


async def _at_most(seconds: float, awaited: Awaitable[object]) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(awaited, seconds)


@contextmanager
def _reserved(listen: str) -> Iterator[str]:
    """Holds a port that workers may listen on together; yields the address, its port known.

    Raises:
        AddressUnavailable: somebody else listens there, or nobody can.
    """
    host, _, port = listen.rpartition(":")
    try:
        family, _, _, _, found = socket.getaddrinfo(
            host.strip("[]"), int(port), type=socket.SOCK_STREAM
        )[0]
        with socket.socket(family) as alone:
            # This fails where others listen, though they let us share their port.
            alone.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            alone.bind(found)
        with socket.socket(family) as held:
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            held.bind(found)
            yield f"{host}:{held.getsockname()[1]}"
    except OSError as exc:
        raise errors.AddressUnavailable(f"cannot listen on {listen}") from exc
