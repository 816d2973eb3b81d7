"""The schema as numbered steps, with the numbers of SQLite's. A released step never changes.

During a rolling update, programs of two versions use one database. So a step only adds what older
programs ignore, or it waits until no program runs that needs what the step removes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any, NamedTuple

import psycopg
import stamina
import structlog
from psycopg import sql

from service import errors
from service.storage.postgres.postgres_connections import SCHEMA

# Identifies the locks of Akin in the database: the letters "akin".
LOCK_CLASS = int.from_bytes(b"akin")

# The number of the lock in this class that only one process at a time migrates with.
MIGRATION_LOCK = 0

# Identifies the locks of the versions of running programs, whose number is the schema version that
# they were written for: the letters "akiv".
VERSION_LOCK_CLASS = int.from_bytes(b"akiv")

# The version that can end sessions that stand still, as libpq writes it.
MIN_SERVER_VERSION = 140000

# Longest wait of a step for the lock of a table, which for instance a backup holds. Reads and
# writes of running programs queue up behind it in this time.
LOCK_TIMEOUT = "1s"

# Time in which the steps are tried again, and the longest pause before the next attempt.
MIGRATION_RETRY_SECONDS = 600.0
MAX_LOCK_PAUSE_SECONDS = 5.0

# The steps that remove something, by number, with the oldest schema version whose programs can do
# without it.
OLDEST_VERSIONS: Mapping[int, int] = {}


class Migration(NamedTuple):
    """A step: its number, its SQL, and the oldest version whose programs can use its schema."""

    number: int
    script: str
    oldest_version: int = 0


def read_migrations() -> list[Migration]:
    """Return all steps, in order."""
    scripts = sorted(resources.files(__name__).iterdir(), key=lambda path: path.name)
    numbered = [
        (int(path.name[:4]), path.read_text()) for path in scripts if path.name.endswith(".sql")
    ]
    return [
        Migration(number, script, OLDEST_VERSIONS.get(number, 0)) for number, script in numbered
    ]


def migrate_schema(
    connection: psycopg.Connection[Any], migrations: Sequence[Migration] | None = None
) -> None:
    """Create the schema, and apply the steps that it lacks, each in one transaction.

    The role needs the right to create only if something is missing.

    Args:
        connection: commits each statement.
        migrations: the steps of this program; None for those of `read_migrations`.

    Raises:
        StoreUnavailable: the server is too old, or the database has another encoding than UTF8.
        StoreCorrupted: this program is too old for the database.
        psycopg.Error: the server cannot be used.
    """
    migrations = migrations or read_migrations()
    _check_server(connection)
    connection.execute("SELECT pg_advisory_lock(%s, %s)", (LOCK_CLASS, MIGRATION_LOCK))
    try:
        _create_version_table(connection)
        version, oldest_version = _read_versions(connection)
        supported = migrations[-1].number
        if oldest_version > supported:
            raise errors.StoreCorrupted(
                f"the database needs schema version {oldest_version}, but this version of Akin "
                f"supports only {supported}: run the newer version"
            )
        for migration in migrations:
            if migration.number > version:
                if not _is_safe(connection, migration):
                    structlog.get_logger().info("migration_postponed", number=migration.number)
                    return
                _apply_patiently(connection, migration)
    finally:
        connection.execute("SELECT pg_advisory_unlock(%s, %s)", (LOCK_CLASS, MIGRATION_LOCK))


def show_version(connection: psycopg.Connection[Any], version: int) -> None:
    """Let other processes know, while a connection is open, that a program of a version runs."""
    connection.execute("SELECT pg_advisory_lock_shared(%s, %s)", (VERSION_LOCK_CLASS, version))


def _check_server(connection: psycopg.Connection[Any]) -> None:
    if connection.info.server_version < MIN_SERVER_VERSION:
        raise errors.StoreUnavailable("PostgreSQL 14 or later is needed")
    (encoding,) = connection.execute("SHOW server_encoding").fetchone() or ("",)
    if encoding != "UTF8":
        raise errors.StoreUnavailable(
            f"the database has the encoding {encoding}: create one with the encoding UTF8"
        )


def _create_version_table(connection: psycopg.Connection[Any]) -> None:
    """Create the schema and the table of its version, unless they exist."""
    # PostgreSQL checks the rights even if IF NOT EXISTS leaves nothing to do.
    schema, table = connection.execute(
        "SELECT to_regnamespace(%s), to_regclass(%s)", (SCHEMA, f"{SCHEMA}.schema_version")
    ).fetchone() or (None, None)
    if table is not None:
        return
    with connection.transaction():
        if schema is None:
            connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(SCHEMA)))
        connection.execute(
            """CREATE TABLE schema_version
               (version INTEGER NOT NULL, oldest_version INTEGER NOT NULL)"""
        )
        connection.execute("INSERT INTO schema_version VALUES (0, 0)")


def _read_versions(connection: psycopg.Connection[Any]) -> tuple[int, int]:
    """Return the version of the schema, and the oldest version whose programs can use it."""
    row = connection.execute("SELECT version, oldest_version FROM schema_version").fetchone()
    return row or (0, 0)


def _is_safe(connection: psycopg.Connection[Any], migration: Migration) -> bool:
    """Return whether no program runs that needs what a step removes."""
    version, _ = _read_versions(connection)
    if not version:
        return True
    row = connection.execute(
        """SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2
           AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
           AND classid = %s AND objid < %s""",
        (VERSION_LOCK_CLASS, migration.oldest_version),
    ).fetchone()
    return row == (0,)


def _apply_patiently(connection: psycopg.Connection[Any], migration: Migration) -> None:
    """Apply a step, again and again while others lock what it changes.

    Raises:
        psycopg.Error: it cannot be applied.
    """
    has_waited = False
    for attempt in stamina.retry_context(
        on=psycopg.errors.LockNotAvailable,
        attempts=None,
        timeout=MIGRATION_RETRY_SECONDS,
        wait_max=MAX_LOCK_PAUSE_SECONDS,
    ):
        with attempt:
            try:
                _apply(connection, migration)
            except psycopg.errors.LockNotAvailable:
                if not has_waited:
                    structlog.get_logger().warning("migration_waits", number=migration.number)
                has_waited = True
                raise


def _apply(connection: psycopg.Connection[Any], migration: Migration) -> None:
    with connection.transaction():
        connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
        connection.execute(sql.SQL(migration.script))
        connection.execute(
            """UPDATE schema_version
               SET version = %s, oldest_version = greatest(oldest_version, %s)""",
            (migration.number, migration.oldest_version),
        )
