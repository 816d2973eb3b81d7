"""Duties as advisory locks of PostgreSQL, which a session of their own holds."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time
from contextlib import suppress
from typing import Any

import psycopg
import structlog

from service.storage.duties import Duty
from service.storage.postgres.migrations import LOCK_CLASS
from service.storage.postgres.postgres_connections import ADAPTERS, configure

# The interval at which the session shows that it lives, and looks for duties that are free.
DUTY_ROUND_SECONDS = 2.0

# Idle time after which the server ends the session of a process that has stopped responding, which
# releases its locks. Another process then takes its duties in its next round, and the two times
# together must be below 15 s.
IDLE_SESSION = "8s"

# Time from the start of a round that succeeded until this process has left its duties, unless
# another round succeeds. It is shorter than the server waits, so that no duty has two doers while
# nothing comes through between the two.
HOLD_SECONDS = 6.0

# Time for a round to end when the duties are closed, before its connection is cut off.
CLOSE_SECONDS = 1.0


class AdvisoryDuties:
    """Takes each duty that no other process has, in a thread of its own.

    The event loop leaves the duties when the thread has had no answer from the server for
    `HOLD_SECONDS`. Create it in an event loop, and end it with `close`.

    Args:
        address: of the server; complete.
    """

    def __init__(self, address: str) -> None:
        self._session = _Session(address)
        self._loop = asyncio.get_running_loop()
        self._owned: dict[Duty, asyncio.Event] = {}
        self._changed = asyncio.Condition()
        self._notifying: asyncio.Task[None] | None = None
        self._ending = threading.Event()
        self._has_failed = False
        # A round that began before this time has lost its locks.
        self._cut_off_time = 0.0
        self._deadline = self._loop.call_later(HOLD_SECONDS, self._give_up)
        self._thread = threading.Thread(target=self._work, name="akin-duties", daemon=True)
        self._thread.start()

    async def take(self, duty: Duty) -> asyncio.Event:
        """Wait until a duty is this process's: see Duties."""
        async with self._changed:
            await self._changed.wait_for(lambda: duty in self._owned)
            return self._owned[duty]

    async def close(self) -> None:
        """Leave all duties to other processes."""
        self._ending.set()
        self._deadline.cancel()
        joining = self._loop.run_in_executor(None, self._thread.join)
        await asyncio.wait([joining], timeout=CLOSE_SECONDS)
        if not joining.done():
            self._session.cut_off()
        await joining

    def _work(self) -> None:
        owned: frozenset[Duty] = frozenset()
        while True:
            try:
                self._session.open()
                started = time.monotonic()
                owned |= self._session.lock_free_duties(owned)
                self._loop.call_soon_threadsafe(self._update, owned, started)
                self._has_failed = False
            except psycopg.Error as exc:
                owned = frozenset()
                self._loop.call_soon_threadsafe(self._leave_all)
                self._log_failure(type(exc).__name__)
                self._session.close()
            if self._ending.wait(DUTY_ROUND_SECONDS):
                break
        self._session.close()

    def _update(self, owned: frozenset[Duty], started: float) -> None:
        """Take note of the duties after a round that succeeded.

        Args:
            owned: all duties that the session holds.
            started: the time at which the round started, by the monotonic clock.
        """
        hold_seconds = started + HOLD_SECONDS - time.monotonic()
        if hold_seconds <= 0 or started <= self._cut_off_time or self._ending.is_set():
            self._leave_all()  # another process can have taken them since
            return
        self._deadline.cancel()
        self._deadline = self._loop.call_later(hold_seconds, self._give_up)
        taken = owned - self._owned.keys()
        if taken:
            log = structlog.get_logger()
            for duty in sorted(taken):
                self._owned[duty] = asyncio.Event()
                log.info("duty_taken", duty=duty.name.lower())
            self._notifying = self._loop.create_task(self._notify())

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    def _leave_all(self) -> None:
        while self._owned:
            _, lost = self._owned.popitem()
            lost.set()

    def _give_up(self) -> None:
        """Leave all duties, and end the round that takes too long."""
        if self._owned:
            self._log_failure("Timeout")
        self._leave_all()
        self._cut_off_time = time.monotonic()
        self._session.cut_off()
        self._deadline = self._loop.call_later(HOLD_SECONDS, self._give_up)

    def _log_failure(self, reason: str) -> None:
        """Log the first failure of several in a row."""
        if not self._has_failed and not self._ending.is_set():
            structlog.get_logger().warning("duties_lost", reason=reason)
        self._has_failed = True


class _Session:
    """The session that holds the locks. A thread uses it; another one can cut it off."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._connection: psycopg.Connection[Any] | None = None
        self._lock = threading.Lock()

    def open(self) -> None:
        """Connect, unless the session is open.

        Raises:
            psycopg.Error: the server cannot be reached, or the session was cut off.
        """
        if self._connection is not None:
            return
        connection = psycopg.connect(self._address, autocommit=True, context=ADAPTERS)
        with self._lock:
            self._connection = connection
        configure(connection)
        connection.execute(f"SET idle_session_timeout = '{IDLE_SESSION}'")

    def lock_free_duties(self, owned: frozenset[Duty]) -> frozenset[Duty]:
        """Lock the duties that are free; return them. The session must be open.

        Raises:
            psycopg.Error: the session is lost, or was cut off.
        """
        assert self._connection is not None  # noqa: S101  (the caller has opened it)
        return _lock_free_duties(self._connection, owned)

    def cut_off(self) -> None:
        """Let the statement fail that runs, without waiting for the server."""
        # The connection may be lost already.
        with self._lock, suppress(OSError, psycopg.Error):
            if self._connection is not None:
                with socket.socket(fileno=os.dup(self._connection.fileno())) as connected:
                    connected.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connection; the locks are free once the server has noticed it."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
            self._connection = None


def _lock_free_duties(
    connection: psycopg.Connection[Any], owned: frozenset[Duty]
) -> frozenset[Duty]:
    """Lock the duties that are free; return them. Any statement shows that the session lives."""
    free = [duty for duty in Duty if duty not in owned]
    if not free:
        connection.execute("SELECT 1")
        return frozenset()
    locks = ", ".join(f"pg_try_advisory_lock({LOCK_CLASS}, {duty.value})" for duty in free)
    row = connection.execute(f"SELECT {locks}").fetchone() or ()
    return frozenset(duty for duty, is_locked in zip(free, row, strict=True) if is_locked)
