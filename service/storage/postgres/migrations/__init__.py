"""The schema as numbered steps, with the numbers of SQLite's. A released step never changes."""

from __future__ import annotations

from importlib import resources
from typing import Any

import psycopg
from psycopg import sql

from service import errors
from service.storage.postgres.postgres_connections import SCHEMA

# Identifies the lock that only one process at a time migrates with: the letters "akin".
LOCK_CLASS = int.from_bytes(b"akin")

# The number of the lock of migrations in this class.
MIGRATION_LOCK = 0


def migrate_schema(connection: psycopg.Connection[Any]) -> None:
    """Create the schema, and apply the migrations that it lacks, each in one transaction.

    Raises:
        StoreUnavailable: the database does not have the encoding UTF8.
        StoreCorrupted: a newer version of Akin wrote the database.
        psycopg.Error: the server cannot be used.
    """
    _check_encoding(connection)
    connection.execute("SELECT pg_advisory_lock(%s, %s)", (LOCK_CLASS, MIGRATION_LOCK))
    try:
        version = _read_version(connection)
        for number, script in _read_scripts().items():
            if number > version:
                with connection.transaction():
                    connection.execute(sql.SQL(script))
                    connection.execute("UPDATE schema_version SET version = %s", (number,))
    finally:
        connection.execute("SELECT pg_advisory_unlock(%s, %s)", (LOCK_CLASS, MIGRATION_LOCK))


def _check_encoding(connection: psycopg.Connection[Any]) -> None:
    (encoding,) = connection.execute("SHOW server_encoding").fetchone() or ("",)
    if encoding != "UTF8":
        raise errors.StoreUnavailable(
            f"the database has the encoding {encoding}: create one with the encoding UTF8"
        )


def _read_version(connection: psycopg.Connection[Any]) -> int:
    """Return the version of the schema, which is created if it is missing.

    Raises:
        StoreCorrupted: a newer version of Akin wrote the database.
    """
    with connection.transaction():
        connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(SCHEMA)))
        connection.execute("CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL)")
        connection.execute(
            "INSERT INTO schema_version SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM schema_version)"
        )
    (version,) = connection.execute("SELECT version FROM schema_version").fetchone() or (0,)
    supported = max(_read_scripts())
    if version > supported:
        raise errors.StoreCorrupted(
            f"the database has schema version {version}, but this version of Akin supports only "
            f"{supported}: run the newer version"
        )
    return int(version)


def _read_scripts() -> dict[int, str]:
    """Return the SQL of each migration by its number, in order."""
    scripts = sorted(resources.files(__name__).iterdir(), key=lambda path: path.name)
    return {int(path.name[:4]): path.read_text() for path in scripts if path.name.endswith(".sql")}
