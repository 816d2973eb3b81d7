"""The published snapshots of indexes, which replicas without a common folder share.

They are written through connections of their own: they are large, and no write waits for them.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg

from service import errors
from service.storage.database import Database, ReadKind
from service.storage.postgres.postgres_connections import complete_address, open_connection
from service.storage.postgres.postgres_errors import translate_postgres_errors
from service.storage.sql import Connection

# The size of a piece: one statement each, so that the memory is bounded and no statement is long.
SNAPSHOT_PIECE_BYTES = 1024 * 1024

# Identifies the locks that only one process at a time publishes a generation with, whose number is
# the generation: the letters "akis".
PUBLISHING_LOCK_CLASS = int.from_bytes(b"akis")

# Advisory locks have numbers of 31 bits. Two generations with the same one wait for each other.
MAX_LOCKS = 2**31

# Time after which the server ends the session of a publisher that stands still, with its lock.
IDLE_PUBLISHER = "30s"

# Pieces that are removed in one transaction.
REMOVED_PIECES = 64

# The size of each published file in bytes, -1 if a piece is missing before another one.
_SIZES = """
    SELECT file, CASE WHEN max(number) = count(*) - 1
        THEN CAST(sum(octet_length(data)) AS BIGINT) ELSE -1 END
    FROM snapshot_pieces WHERE generation_id = {} GROUP BY file
"""


class PostgresShelf:
    """The published snapshot of one generation.

    Args:
        database: where it is.
        address: of the server, in the form of libpq.
        generation_id: the generation.
    """

    def __init__(self, database: Database, address: str, generation_id: int) -> None:
        self._database = database
        self._address = complete_address(address)
        self._generation_id = generation_id

    async def read_manifest(self) -> str | None:
        """Return the manifest, None if no snapshot is published.

        Raises:
            StoreUnavailable: the database cannot be read.
        """

        def query(connection: Connection) -> str | None:
            row = connection.execute(
                "SELECT manifest FROM snapshots WHERE generation_id = ?", (self._generation_id,)
            ).fetchone()
            return None if row is None else str(row[0])

        return await self._database.read(query, ReadKind.SCAN)

    async def has_files(self, sizes: Mapping[str, int]) -> bool:
        """Return whether files are published completely.

        Args:
            sizes: the size of each file in bytes, by name.

        Raises:
            StoreUnavailable: the database cannot be read.
        """

        def query(connection: Connection) -> bool:
            rows = connection.execute(_SIZES.format("?"), (self._generation_id,)).fetchall()
            return sizes.items() <= {(name, int(size)) for name, size in rows}

        return await self._database.read(query, ReadKind.SCAN)

    async def publish(self, manifest: str, sequence: int, files: Mapping[str, Path]) -> None:
        """Publish a snapshot in place of the former one.

        Args:
            manifest: its manifest.
            sequence: that of its place in `commits`, which is kept.
            files: all its files, by name. A published file of the same name and size is the same.

        Raises:
            StoreUnavailable, StoreFull: the former snapshot stays. Another process may be
                publishing.
            OSError: a file cannot be read; the former snapshot stays.
        """
        stop = threading.Event()
        try:
            await asyncio.to_thread(self._publish, manifest, sequence, files, stop)
        finally:
            stop.set()

    async def fetch(self, name: str, path: Path) -> None:
        """Write a file of the snapshot to a path.

        Raises:
            FileNotFoundError: the file is not published any more.
            StoreUnavailable: the database cannot be read.
            OSError: the file cannot be written.
        """
        stop = threading.Event()
        try:
            await asyncio.to_thread(self._fetch, name, path, stop)
        finally:
            stop.set()

    def _publish(
        self, manifest: str, sequence: int, files: Mapping[str, Path], stop: threading.Event
    ) -> None:
        with self._connect() as connection:
            lock = (PUBLISHING_LOCK_CLASS, self._generation_id % MAX_LOCKS)
            _lock_publishing(connection, lock)
            published = self._read_sizes(connection)
            sizes = {name: path.stat().st_size for name, path in files.items()}
            for name, path in files.items():
                if published.get(name) != sizes[name]:
                    self._remove_pieces(connection, "file = %s", name)
                    self._add_pieces(connection, name, path, stop)
            with connection.transaction():
                published = self._read_sizes(connection)
                if any(published.get(name) != size for name, size in sizes.items()):
                    raise errors.StoreUnavailable("another process has removed the files")
                connection.execute(
                    """INSERT INTO snapshots (generation_id, anchor_sequence, manifest)
                       VALUES (%s, %s, %s) ON CONFLICT (generation_id) DO UPDATE SET
                       anchor_sequence = excluded.anchor_sequence, manifest = excluded.manifest""",
                    (self._generation_id, sequence, manifest),
                )
            self._remove_pieces(connection, "NOT file = ANY(%s)", list(files))
            connection.execute("SELECT pg_advisory_unlock(%s, %s)", lock)

    def _add_pieces(
        self,
        connection: psycopg.Connection[Any],
        name: str,
        path: Path,
        stop: threading.Event,
    ) -> None:
        with path.open("rb") as file:
            number = 0
            while data := file.read(SNAPSHOT_PIECE_BYTES):
                _continue_unless(stop)
                connection.execute(
                    """INSERT INTO snapshot_pieces (generation_id, file, number, data)
                       VALUES (%s, %s, %s, %s)
                       ON CONFLICT (generation_id, file, number)
                       DO UPDATE SET data = excluded.data""",
                    (self._generation_id, name, number, data),
                )
                number += 1

    def _remove_pieces(
        self, connection: psycopg.Connection[Any], condition: str, value: object
    ) -> None:
        """Remove the pieces of some files in rounds."""
        query = f"""DELETE FROM snapshot_pieces WHERE (generation_id, file, number) IN
            (SELECT generation_id, file, number FROM snapshot_pieces
             WHERE generation_id = %s AND {condition} LIMIT {REMOVED_PIECES})"""
        while connection.execute(query.encode(), (self._generation_id, value)).rowcount:
            pass

    def _read_sizes(self, connection: psycopg.Connection[Any]) -> dict[str, int]:
        """Return the size in bytes of each file by name; no piece of a file is missing."""
        rows = connection.execute(_SIZES.format("%s").encode(), (self._generation_id,)).fetchall()
        return {name: int(size) for name, size in rows}

    def _fetch(self, name: str, path: Path, stop: threading.Event) -> None:
        with self._connect() as connection, path.open("wb") as file:
            number = 0
            while row := self._read_piece(connection, name, number):
                _continue_unless(stop)
                file.write(row[0])
                number += 1
            if not number:
                raise FileNotFoundError(name)

    def _read_piece(
        self, connection: psycopg.Connection[Any], name: str, number: int
    ) -> tuple[bytes] | None:
        cursor = connection.cursor(binary=True)
        return cursor.execute(
            """SELECT data FROM snapshot_pieces
               WHERE generation_id = %s AND file = %s AND number = %s""",
            (self._generation_id, name, number),
        ).fetchone()

    @contextmanager
    def _connect(self) -> Iterator[psycopg.Connection[Any]]:
        with (
            translate_postgres_errors(),
            closing(open_connection(self._address)) as connection,
        ):
            yield connection


def _lock_publishing(connection: psycopg.Connection[Any], lock: tuple[int, int]) -> None:
    """Let nobody else publish a generation while the connection is open.

    Raises:
        StoreUnavailable: another process publishes it.
    """
    connection.execute(f"SET idle_session_timeout = '{IDLE_PUBLISHER}'")
    row = connection.execute("SELECT pg_try_advisory_lock(%s, %s)", lock).fetchone()
    if row != (True,):
        raise errors.StoreUnavailable("another process publishes a snapshot")


def _continue_unless(stop: threading.Event) -> None:
    """Raise StoreUnavailable if the caller has left."""
    if stop.is_set():
        raise errors.StoreUnavailable("the service is shutting down")


def prune_snapshots(connection: Connection, removed_states: str) -> int:
    """Remove a round of the snapshots of generations that are gone; return the number of rows."""
    is_gone = f"""generation_id NOT IN
        (SELECT generation_id FROM generations WHERE state NOT IN {removed_states})"""
    manifests = connection.execute(f"DELETE FROM snapshots WHERE {is_gone}").rowcount
    pieces = connection.execute(
        f"""DELETE FROM snapshot_pieces WHERE (generation_id, file, number) IN
                (SELECT generation_id, file, number FROM snapshot_pieces
                 WHERE {is_gone} LIMIT ?)""",
        (REMOVED_PIECES,),
    ).rowcount
    return manifests + pieces
