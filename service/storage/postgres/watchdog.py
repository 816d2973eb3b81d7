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
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import datetime
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import psycopg
import structlog
from psycopg.conninfo import make_conninfo

# How long a connection is in use before the server is asked about it.
PATIENCE_SECONDS = 10.0

# Longest wait for an answer about a connection, and for the first answers of a new one.
ANSWER_SECONDS = 5.0

# The time between two looks, and between two questions, as parts of the patience.
_LOOK_PART, _QUESTION_PART = 0.1, 0.5

_IDENTIFY = "SELECT pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()"

# The server can wait for the client to take a large result: a stall only after many times longer.
_SENDING_FACTOR = 12

# A backend that has waited for its client for long has sent all that this process waits for.
_FIND_WORKING = """
    SELECT 1 FROM pg_stat_activity WHERE pid = %s AND backend_start = %s
    AND NOT coalesce(wait_event_type = 'Client' AND clock_timestamp() - state_change
        > CASE wait_event WHEN 'ClientRead' THEN %s ELSE %s END * interval '1 s', FALSE)
"""

# A process that stands still in the middle of its statements keeps its locks: the time limit of
# idle transactions counts only between statements.
_END_FROZEN = """
    SELECT pid, pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE pid = ANY (ARRAY(SELECT unnest(pg_blocking_pids(%s))))
    AND state = 'active' AND wait_event_type = 'Client'
    AND clock_timestamp() - state_change > %s * interval '1 s'
"""


class _Server(NamedTuple):
    """The server of a connection, which is one of those in the address."""

    host: str
    hostaddr: str
    port: int


class _Backend(NamedTuple):
    """The process of the server behind a connection."""

    server: _Server
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
            psycopg.Error: the server does not answer, at the first watch of the connection, or the
                process has no file descriptor left.
        """
        backend = self._backends.get(connection)
        if backend is None:
            backend = self._backends[connection] = _identify_backend(connection)
        try:
            duplicate = _duplicate_socket(connection)
        except OSError as exc:
            raise psycopg.OperationalError(str(exc)) from exc
        watch = Watch(self, backend, duplicate)
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
            due: defaultdict[_Server, list[Watch]] = defaultdict(list)
            with self._lock:
                for watch, at in self._question_times.items():
                    if at <= now:
                        due[watch.backend.server].append(watch)
            for server, watches in due.items():
                try:
                    self._check(server, watches)
                except Exception:  # noqa: BLE001  (without the thread, nothing would be watched)
                    structlog.get_logger().exception("connections_not_checked")

    def _check(self, server: _Server, watches: Sequence[Watch]) -> None:
        """Ask about connections, and shut down those that the server does nothing for."""
        working = self._find_working(server, watches)
        for watch in watches:
            with self._lock:
                if watch not in self._question_times:
                    continue  # it has had its answer
                if watch in working:
                    wait_seconds = self._patience_seconds * _QUESTION_PART
                    self._question_times[watch] = time.monotonic() + wait_seconds
                    continue
                del self._question_times[watch]
                _shut_down(watch.duplicate)
            process_id = watch.backend.process_id
            structlog.get_logger().warning("connection_stalled", process_id=process_id)

    def _find_working(self, server: _Server, watches: Sequence[Watch]) -> Collection[Watch]:
        """Return the connections that the server works for; all, if it cannot be asked.

        If another session blocks one of them whose process stands still, that session is ended.
        """
        # Another server of the address would know nothing of these connections.
        address = make_conninfo(
            self._address,
            **server._asdict(),
            target_session_attrs="any",
            connect_timeout=round(ANSWER_SECONDS),
        )
        try:
            with (
                closing(psycopg.connect(address, autocommit=True)) as connection,
                limit_time(connection, ANSWER_SECONDS),
            ):
                return [watch for watch in watches if self._is_working(connection, watch.backend)]
        except psycopg.errors.ConnectionTimeout:
            return ()  # nothing reaches the server
        except psycopg.Error:
            return watches

    def _is_working(self, connection: psycopg.Connection[Any], backend: _Backend) -> bool:
        idle_seconds = self._patience_seconds * _QUESTION_PART
        limits = (idle_seconds, _SENDING_FACTOR * idle_seconds)
        identity = (backend.process_id, backend.start_time)
        row = connection.execute(_FIND_WORKING, (*identity, *limits)).fetchone()
        with suppress(psycopg.errors.InsufficientPrivilege):  # a session of another role
            frozen = connection.execute(_END_FROZEN, (backend.process_id, idle_seconds))
            for process_id, is_ended in frozen:
                if is_ended:
                    structlog.get_logger().warning("frozen_session_ended", process_id=process_id)
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
    info = connection.info
    return _Backend(_Server(info.host, info.hostaddr, info.port), *row)


def _duplicate_socket(connection: psycopg.Connection[Any]) -> socket.socket:
    # A shutdown is the same for every family; without one, it would be looked up each time.
    return socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0, os.dup(connection.fileno()))


def _shut_down(duplicate: socket.socket) -> None:
    with suppress(OSError):  # it was closed
        duplicate.shutdown(socket.SHUT_RDWR)
