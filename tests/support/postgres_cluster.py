"""A PostgreSQL primary with synchronous standbys, which can lose its primary."""

from __future__ import annotations

import time
from typing import Any, Self

from psycopg.conninfo import make_conninfo

from support.postgres import HOST, PostgresServer
from support.server import free_address
from support.waiting import until

NAME = "akin"

# What OK promises needs a real sync, and each commit on two nodes.
SAFE = {
    "fsync": "on",
    "synchronous_commit": "on",
    "hot_standby": "on",
    "wal_keep_size": "256MB",
    "wal_receiver_status_interval": "1s",
    "wal_retrieve_retry_interval": "200ms",
}


class PostgresCluster:
    """One primary and some standbys on the loopback interface, a context manager.

    Each commit waits for one standby. Start it in the main thread, with which the servers end.

    Args:
        standbys: their number.

    Attributes:
        absences: for how long there was no primary each time, in seconds.
    """

    def __init__(self, standbys: int = 2) -> None:
        self._ports = [int(free_address().rpartition(":")[2]) for _ in range(standbys + 1)]
        self.primary = self._start(self._ports[0])
        self.standbys: list[PostgresServer] = []
        self.absences: list[float] = []
        try:
            for port in self._ports[1:]:
                self._start_standby(port)
            self.wait_until_replicated()
            self.primary.execute(f"CREATE DATABASE {NAME}")
        except BaseException:
            self.stop()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.stop()

    @property
    def address(self) -> str:
        """The address of the database on whichever node accepts writes."""
        hosts = ",".join(f"{HOST}:{port}" for port in self._ports)
        return f"postgresql://akin@{hosts}/{NAME}?target_session_attrs=read-write"

    def execute(self, statement: str) -> list[Any]:
        """Run a statement in the database, and return its rows."""
        return self.primary.execute(statement, NAME)

    def crash_primary(self) -> None:
        """Kill all processes of the primary, and remove its files."""
        self._crash_time = time.monotonic()
        self.primary.crash()
        self.primary.stop()

    def restart_primary(self) -> None:
        """Kill all processes of the primary, and start it with its data."""
        self._crash_time = time.monotonic()
        self.primary.crash()
        self.primary.start()
        self.absences.append(time.monotonic() - self._crash_time)
        self.wait_until_replicated()

    def terminate_sessions(self) -> None:
        """End all sessions of Akin on the primary."""
        self.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'akin'"
        )

    def promote(self) -> None:
        """Make the standby with the most data the primary; the others follow it."""
        until(lambda: not any(map(_is_receiving, self.standbys)))
        best = max(self.standbys, key=_read_position)
        self.standbys.remove(best)
        best.execute("SELECT pg_promote()")
        self.absences.append(time.monotonic() - self._crash_time)
        self.primary = best
        if self.standbys:
            self.wait_until_replicated()

    def add_standby(self) -> None:
        """Start a new standby in place of a node that was lost."""
        ports = {node.port for node in (self.primary, *self.standbys)}
        (port,) = set(self._ports) - ports
        self._start_standby(port)
        self.wait_until_replicated()

    def wait_until_replicated(self) -> None:
        """Wait until every standby receives what the primary writes, synchronously."""
        query = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'quorum'"
        until(lambda: self.primary.execute(query)[0][0] == len(self.standbys))

    def stop(self) -> None:
        """End all servers, and remove their files."""
        for node in (self.primary, *self.standbys):
            node.stop()

    def _start_standby(self, port: int) -> None:
        source = make_conninfo(host=HOST, port=self.primary.port, user="akin")
        self.standbys.append(self._start(port, source))

    def _start(self, port: int, source: str = "") -> PostgresServer:
        return PostgresServer(self._make_settings(port), port=port, source=source)

    def _make_settings(self, port: int) -> dict[str, str]:
        hosts, ports = ",".join([HOST] * len(self._ports)), ",".join(map(str, self._ports))
        names = ", ".join(f"node{number}" for number in self._ports)
        upstream = make_conninfo(
            host=hosts,
            port=ports,
            user="akin",
            application_name=f"node{port}",
            connect_timeout=2,
            target_session_attrs="read-write",
        )
        return {
            **SAFE,
            "primary_conninfo": upstream,
            "synchronous_standby_names": f"ANY 1 ({names})",
        }


def _is_receiving(standby: PostgresServer) -> bool:
    query = "SELECT count(*) FROM pg_stat_wal_receiver WHERE status = 'streaming'"
    return bool(standby.execute(query)[0][0])


def _read_position(standby: PostgresServer) -> int:
    """Return how many bytes of the log a standby has on its disk."""
    query = "SELECT pg_wal_lsn_diff(pg_last_wal_receive_lsn(), '0/0')"
    return int(standby.execute(query)[0][0])
