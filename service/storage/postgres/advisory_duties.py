"""Duties as advisory locks of PostgreSQL, which a session of their own holds."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import psycopg
import structlog

from service.storage.duties import Duty
from service.storage.postgres.migrations import LOCK_CLASS
from service.storage.postgres.postgres_connections import open_connection

# The interval at which the session shows that it lives, and looks for duties that are free.
DUTY_ROUND_SECONDS = 2.0

# Idle time after which the server ends the session of a process that has stopped responding, which
# releases its locks. Another process then takes its duties in its next round, and the two times
# together must be below 15 s.
IDLE_SESSION = "8s"


class AdvisoryDuties:
    """Takes each duty that no other process has, in a thread of its own.

    Create it in an event loop, and end it with `close`.

    Args:
        address: of the server; complete.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._loop = asyncio.get_running_loop()
        self._owned: dict[Duty, asyncio.Event] = {}
        self._changed = asyncio.Condition()
        self._ending = threading.Event()
        self._has_failed = False
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
        await self._loop.run_in_executor(None, self._thread.join)

    def _work(self) -> None:
        connection: psycopg.Connection[Any] | None = None
        owned: frozenset[Duty] = frozenset()
        while True:
            try:
                if connection is None:
                    connection = self._connect()
                owned |= _lock_free_duties(connection, owned)
                self._report(owned)
                self._has_failed = False
            except psycopg.Error as exc:
                owned = frozenset()
                self._report(owned)
                self._log_failure(exc)
                if connection is not None:
                    connection.close()
                    connection = None
            if self._ending.wait(DUTY_ROUND_SECONDS):
                break
        if connection is not None:
            connection.close()

    def _connect(self) -> psycopg.Connection[Any]:
        connection = open_connection(self._address)
        connection.execute(f"SET idle_session_timeout = '{IDLE_SESSION}'")
        return connection

    def _report(self, owned: frozenset[Duty]) -> None:
        self._loop.call_soon_threadsafe(lambda: asyncio.ensure_future(self._update(owned)))

    async def _update(self, owned: frozenset[Duty]) -> None:
        for duty in self._owned.keys() - owned:
            self._owned.pop(duty).set()
        taken = owned - self._owned.keys()
        if taken:
            log = structlog.get_logger()
            for duty in sorted(taken):
                self._owned[duty] = asyncio.Event()
                log.info("duty_taken", duty=duty.name.lower())
            async with self._changed:
                self._changed.notify_all()

    def _log_failure(self, exc: psycopg.Error) -> None:
        """Log the first failure of several in a row."""
        if not self._has_failed:
            structlog.get_logger().warning("duties_lost", reason=type(exc).__name__)
        self._has_failed = True


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
