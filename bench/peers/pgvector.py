"""pgvector as a peer, in a PostgreSQL server with a fresh cluster."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

import numpy as np
import psycopg
from support.postgres import HOST, PostgresServer
from throughput import LIMIT

from peers.dataset import CHANCE, SECTION, AtMost, Case, Dataset
from peers.peer import Endpoint, find_free_port

USER, DATABASE = "akin", "postgres"

# The first version that searches on if a filter removed results.
LEAST_VERSION = (0, 8)
SEARCH_ON = f"ALTER DATABASE {DATABASE} SET hnsw.iterative_scan = strict_order"

SETTINGS = {"shared_buffers": "1GB", "maintenance_work_mem": "1GB", "max_wal_size": "4GB"}
GRAPH = "CREATE INDEX ON items USING hnsw (v vector_ip_ops) WITH (m = 16, ef_construction = 200)"


class Pgvector:
    """A table with a graph over the vectors and indexes of the attributes."""

    name = "pgvector"
    breadths: Sequence[int] = (16, 32, 48, 64, 96, 128, 160, 192, 256, 384, 512, 768)

    def __init__(self, server: PostgresServer, dataset: Dataset) -> None:
        """Address a running server."""
        self.address = f"{HOST}:{server.port}"
        self.queries = Endpoint("database", f"{USER}@{DATABASE}", self._send)
        self.writes = self.queries
        self._server = server
        self._connection: psycopg.Connection[Any] | None = None
        self._dataset = dataset

    def query(self, case: Case, row: int, breadth: int) -> bytes:
        """Return a query by id or by vector."""
        if case.by == "item":
            vector, conditions = f"(SELECT v FROM items WHERE id = {row})", [f"id <> {row}"]  # noqa: S608
        else:
            vector, conditions = self._literal(row), []
        if isinstance(case.where, AtMost):
            conditions.append(f"{case.where.attribute} <= {case.where.bound!r}")
        elif case.where is not None:
            conditions.append(f"{case.where.attribute} = '{case.where.value}'")
        where = f"WHERE {' AND '.join(conditions)} " if conditions else ""
        select = f"SELECT id FROM items {where}ORDER BY v <#> {vector} LIMIT {LIMIT}"  # noqa: S608
        return f"SET hnsw.ef_search = {breadth}; {select}".encode()

    def rows(self, reply: bytes) -> list[int]:
        """Return the result rows of a reply."""
        return [int(each) for each in reply.split()]

    def write(self, number: int) -> bytes:
        """Return an upsert of a vector."""
        row = self._dataset.stored + number
        attributes = self._dataset.items[row]["attributes"]
        return (
            f"INSERT INTO items VALUES ({self._dataset.written_row(number)}, "  # noqa: S608
            f"{attributes[CHANCE]!r}, '{attributes[SECTION]}', {self._literal(row)}) "
            f"ON CONFLICT (id) DO UPDATE SET {CHANCE} = excluded.{CHANCE}, "
            f"{SECTION} = excluded.{SECTION}, v = excluded.v"
        ).encode()

    def _literal(self, row: int) -> str:
        return "'" + format_vector(self._dataset.vectors[row]) + "'"

    def _send(self, message: bytes) -> bytes:
        if self._connection is None:
            self._connection = psycopg.connect(self._server.address(), autocommit=True)
        cursor = self._connection.execute(message)
        while cursor.nextset():
            pass
        rows = cursor.fetchall() if cursor.description else []
        return " ".join(str(row[0]) for row in rows).encode()

    def fill(self) -> float:
        """Store all items, then build the indexes; return the seconds that both took."""
        started = time.perf_counter()
        size = self._dataset.vectors.shape[1]
        self._server.execute("CREATE EXTENSION vector")
        self._server.execute(
            f"CREATE TABLE items (id int PRIMARY KEY, {CHANCE} float8, {SECTION} text, "
            f"v vector({size}))"
        )
        with (
            psycopg.connect(self._server.address()) as connection,
            connection.cursor().copy("COPY items FROM STDIN") as copy,
        ):
            for row, item in enumerate(self._dataset.items[: self._dataset.stored]):
                attributes, vector = item["attributes"], self._dataset.vectors[row]
                values = (row, attributes[CHANCE], attributes[SECTION], format_vector(vector))
                copy.write_row(values)
        for each in (
            GRAPH,
            f"CREATE INDEX ON items ({CHANCE})",
            f"CREATE INDEX ON items ({SECTION})",
            "VACUUM ANALYZE items",
            SEARCH_ON,
        ):
            self._server.execute(each)
        return time.perf_counter() - started

    def settle(self) -> None:
        """Return at once: a write has updated the graph when it ends."""

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()


def format_vector(vector: np.ndarray[Any, np.dtype[np.float32]]) -> str:
    """Return a vector as pgvector reads it."""
    return "[" + ",".join(f"{value:.9g}" for value in vector) + "]"


@contextmanager
def run_pgvector(dataset: Dataset) -> Iterator[tuple[Pgvector, float] | None]:
    """Run a filled server; yield it with the seconds that filling took.

    Yields None if PostgreSQL or the extension is not installed.
    """
    try:
        server = PostgresServer(SETTINGS, port=find_free_port())
    except AssertionError as error:
        print(f"pgvector is skipped: {error}")
        yield None
        return
    try:
        version = read_version(server)
        if version < LEAST_VERSION:
            least = ".".join(map(str, LEAST_VERSION))
            print(f"pgvector is skipped: PostgreSQL has no extension vector of version {least}")
            yield None
            return
        with closing(Pgvector(server, dataset)) as peer:
            yield peer, peer.fill()
    finally:
        server.stop()


def read_version(server: PostgresServer) -> tuple[int, ...]:
    """Return the version of the extension that could be created, () for none."""
    available = "SELECT default_version FROM pg_available_extensions WHERE name = 'vector'"
    return tuple(int(part) for row in server.execute(available) for part in row[0].split("."))
