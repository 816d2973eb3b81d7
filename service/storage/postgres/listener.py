"""Receives notifications of the commits of all processes, in a thread of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import psycopg
import structlog

from service.storage.postgres.migrations import show_version
from service.storage.postgres.outage_log import OutageLog, StorePart
from service.storage.postgres.postgres_connections import open_connection
from service.storage.postgres.postgres_errors import describe_error
from service.storage.postgres.postgres_session import CHANNEL
from service.storage.postgres.watchdog import ANSWER_SECONDS, PATIENCE_SECONDS, limit_time

# How long the thread waits for notifications before it looks whether it is to end.
WAIT_SECONDS = 0.5

# Pause before a lost connection is opened again. Until then, processes look each second.
LISTENER_PAUSE_SECONDS = 1.0

# Digits of the largest sequence number. Any role can notify, with any text.
_MAX_DIGITS = 18


class Listener:
    """Calls a function with the last sequence number after each commit of any process.

    Args:
        address: of the server; complete.
        version: the schema version of this program, which its connection shows to others.
        hear: is called in the thread of the listener; with None if commits may have been missed,
            because the connection was lost, or because numbers do not grow.
        outages: takes note of failed connections.
        patience_seconds: the time between two questions whether the connection still works.
    """

    def __init__(
        self,
        address: str,
        version: int,
        hear: Callable[[int | None], None],
        outages: OutageLog,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self._address = address
        self._version = version
        self._hear = hear
        self._outages = outages
        self._patience_seconds = patience_seconds
        self._last_heard = 0
        self._was_connected = False
        self._is_interrupted = False
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._work, name="akin-listener", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._ending.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._ending.is_set():
            try:
                connection = open_connection(self._address)
            except psycopg.Error as exc:
                self._outages.report_failure(StorePart.NOTIFICATIONS, exc)
            else:
                self._listen_until_lost(connection)
            # Also after a connection that was lost at once, as to a server that cannot listen.
            self._ending.wait(LISTENER_PAUSE_SECONDS)

    def _listen_until_lost(self, connection: psycopg.Connection[Any]) -> None:
        try:
            self._listen(connection)
        except psycopg.Error as exc:
            self._log_interruption(describe_error(exc))
        except Exception as exc:  # noqa: BLE001  (the thread must not end before `close`)
            self._log_interruption(type(exc).__name__)
        finally:
            connection.close()

    def _log_interruption(self, reason: str) -> None:
        """Log the first failure of several in a row."""
        if not self._is_interrupted:
            structlog.get_logger().warning("listener_interrupted", reason=reason)
        self._is_interrupted = True

    def _listen(self, connection: psycopg.Connection[Any]) -> None:
        show_version(connection, self._version)
        connection.execute(f"LISTEN {CHANNEL}")
        self._outages.report_success(StorePart.NOTIFICATIONS)
        if self._is_interrupted:
            structlog.get_logger().info("listener_resumed")
        self._is_interrupted = False
        if self._was_connected:
            self._hear(None)
        self._was_connected = True
        question_time = time.monotonic() + self._patience_seconds
        while not self._ending.is_set():
            for notification in connection.notifies(timeout=WAIT_SECONDS):
                self._take(notification.payload)
                if self._ending.is_set():
                    return
            if time.monotonic() >= question_time:
                # A proxy that stalls would look like a time without commits.
                with limit_time(connection, min(ANSWER_SECONDS, self._patience_seconds)):
                    connection.execute("SELECT 1")
                question_time = time.monotonic() + self._patience_seconds

    def _take(self, payload: str) -> None:
        """Take note of a notification, unless its payload is no sequence number."""
        if not (payload.isascii() and payload.isdigit() and len(payload) <= _MAX_DIGITS):
            return
        sequence = int(payload)
        # Notifications come in the order of the commits.
        self._hear(sequence if sequence > self._last_heard else None)
        self._last_heard = sequence
