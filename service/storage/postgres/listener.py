"""Hears of the commits of other processes, in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import psycopg
import structlog

from service.storage.postgres.migrations import show_version
from service.storage.postgres.postgres_connections import open_connection
from service.storage.postgres.postgres_session import CHANNEL

# How long the thread waits for notifications before it looks whether it is to end.
WAIT_SECONDS = 0.5

# Pause before a lost connection is opened again. Until then, processes look each second.
LISTENER_PAUSE_SECONDS = 1.0


class Listener:
    """Calls a function with the last sequence number after each commit of any process.

    Args:
        address: of the server; complete.
        version: the schema version of this program, which its connection shows to others.
        hear: is called in the thread of the listener.
    """

    def __init__(self, address: str, version: int, hear: Callable[[int], None]) -> None:
        self._address = address
        self._version = version
        self._hear = hear
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
            except psycopg.Error:
                self._ending.wait(LISTENER_PAUSE_SECONDS)
                continue
            try:
                self._listen(connection)
            except psycopg.Error as exc:
                structlog.get_logger().warning("listener_interrupted", reason=type(exc).__name__)
            finally:
                connection.close()

    def _listen(self, connection: psycopg.Connection[Any]) -> None:
        show_version(connection, self._version)
        connection.execute(f"LISTEN {CHANNEL}")
        while not self._ending.is_set():
            for notification in connection.notifies(timeout=WAIT_SECONDS):
                self._hear(int(notification.payload))
                if self._ending.is_set():
                    return
