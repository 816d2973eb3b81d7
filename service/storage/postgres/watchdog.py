"""Ends waits for a server that will not answer.

A proxy or a tunnel before the server can stall: its kernel confirms what is sent and answers
keepalives, but nothing reaches the server or comes back. TCP never ends such a connection. A wait
for another transaction or for a standby looks the same from here, so the server is asked about it.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import datetime
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import psycopg
import structlog

# How long a connection is in use before the server is asked about it.
PATIENCE_SECONDS = 10.0

# Longest wait for an answer about a connection, and for the first answers of a new one.
ANSWER_SECONDS = 5.0

# The time between two looks, and between two questions, as parts of the patience.
_LOOK_PART, _QUESTION_PART = 0.1, 0.5

_IDENTIFY = "SELECT pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()"

# A backend that has waited for its client for long has sent all that this process waits for.
_FIND_WORKING = """
    SELECT 1 FROM pg_stat_activity WHERE pid = %s AND backend_start = %s
    AND NOT coalesce(wait_event_type = 'Client'
                     AND clock_timestamp() - state_change > %s * interval '1 s', FALSE)
"""

# A process that stands still in the middle of its statements keeps its locks: the time limit of
# idle transactions counts only between statements.
_END_FROZEN = """
    SELECT pid, pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE pid = ANY (pg_blocking_pids(%s)) AND state = 'active' AND wait_event_type = 'Client'
    AND clock_timestamp() - state_change > %s * interval '1 s'
"""


class _Backend(NamedTuple):
    """The process of the server behind a connection."""

    process_id: int
    start_time: datetime


class Watch:
    """A connection in use. End it with `close`.

    Args:
        watchdog: looks after it.
        backend: of the connection.
        duplicate: the socket of the connection, which stays valid when the connection is closed.
    """

    def __init__(self, watchdog: Watchdog, backend: _Backend, duplicate: socket.socket) -> None:
        self._watchdog = watchdog
        self.backend = backend
        self.duplicate = duplicate

    def close(self) -> None:
        """End the watch."""
        self._watchdog.release(self)


class Watchdog:
    """Watches connections while they are in use, in a thread of its own. End it with `close`.

    Args:
        address: of the server; complete.
        patience_seconds: see PATIENCE_SECONDS.
    """

    def __init__(self, address: str, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self._address = address
        self._patience_seconds = patience_seconds
        self._backends: WeakKeyDictionary[psycopg.Connection[Any], _Backend] = WeakKeyDictionary()
        # The time of the next question about each connection that is in use.
        self._question_times: dict[Watch, float] = {}
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._work, name="akin-watchdog", daemon=True)
        self._thread.start()

    def watch(self, connection: psycopg.Connection[Any]) -> Watch:
        """Begin to watch a connection, which is not in a transaction.

        Raises:
            psycopg.Error: the server does not answer, at the first watch of the connection.
        """
        backend = self._backends.get(connection)
        if backend is None:
            backend = self._backends[connection] = _identify_backend(connection)
        watch = Watch(self, backend, _duplicate_socket(connection))
        with self._lock:
            self._question_times[watch] = time.monotonic() + self._patience_seconds
        return watch

    def release(self, watch: Watch) -> None:
        """End a watch."""
        with self._lock:
            self._question_times.pop(watch, None)
            watch.duplicate.close()

    def close(self) -> None:
        """End the thread."""
        self._ending.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._ending.wait(self._patience_seconds * _LOOK_PART):
            now = time.monotonic()
            with self._lock:
                due = [watch for watch, at in self._question_times.items() if at <= now]
            for watch in due:
                self._check(watch)

    def _check(self, watch: Watch) -> None:
        """Ask about a connection, and shut it down if the server does nothing for it."""
        is_working = self._is_working(watch.backend)
        with self._lock:
            if watch not in self._question_times:
                return  # it has had its answer
            if is_working:
                wait_seconds = self._patience_seconds * _QUESTION_PART
                self._question_times[watch] = time.monotonic() + wait_seconds
                return
            del self._question_times[watch]
            _shut_down(watch.duplicate)
        structlog.get_logger().warning("connection_stalled", process_id=watch.backend.process_id)

    def _is_working(self, backend: _Backend) -> bool:
        """Return whether the server is at work for a connection, or cannot be asked.

        If another session blocks it whose process stands still, that session is ended.
        """
        idle_seconds = self._patience_seconds * _QUESTION_PART
        try:
            with (
                closing(psycopg.connect(self._address, autocommit=True)) as connection,
                limit_time(connection, ANSWER_SECONDS),
            ):
                row = connection.execute(_FIND_WORKING, (*backend, idle_seconds)).fetchone()
                frozen = connection.execute(_END_FROZEN, (backend.process_id, idle_seconds))
                for process_id, _ in frozen:
                    structlog.get_logger().warning("frozen_session_ended", process_id=process_id)
        except psycopg.errors.ConnectionTimeout:
            return False  # nothing reaches the server
        except psycopg.Error:
            return True
        return row is not None


@contextmanager
def limit_time(connection: psycopg.Connection[Any], seconds: float) -> Iterator[None]:
    """Make the waits of a connection fail after a time."""
    with closing(_duplicate_socket(connection)) as duplicate:
        timer = threading.Timer(max(seconds, 0.0), _shut_down, (duplicate,))
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()


def _identify_backend(connection: psycopg.Connection[Any]) -> _Backend:
    with limit_time(connection, ANSWER_SECONDS):
        row = connection.execute(_IDENTIFY).fetchone()
    assert row is not None  # noqa: S101  (a session is among the sessions)
    return _Backend(*row)


def _duplicate_socket(connection: psycopg.Connection[Any]) -> socket.socket:
    # A shutdown is the same for every family; without one, it would be looked up each time.
    return socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0, os.dup(connection.fileno()))


def _shut_down(duplicate: socket.socket) -> None:
    with suppress(OSError):  # it was closed
        duplicate.shutdown(socket.SHUT_RDWR)
