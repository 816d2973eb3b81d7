"""Programs of two versions over one PostgreSQL database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from structlog.testing import capture_logs
from support.clock import FakeClock
from support.embedders import SPACE
from support.postgres import database_of, query_database, shared_server
from support.stores import GIVE_UP_SECONDS, all_items, default_generation, indexed
from support.waiting import until

from service import errors
from service.storage.postgres.migrations import Migration, migrate_schema, read_migrations
from service.storage.postgres.postgres_connections import complete_address, open_connection
from service.storage.postgres.postgres_database import PostgresDatabase
from service.storage.stores import Stores

pytestmark = pytest.mark.postgres

# The version before, one that adds a column, and one that removes what only the first needs.
OLD = [*read_migrations(), Migration(90, "CREATE TABLE former (note TEXT)")]
NEW = [*OLD, Migration(91, "ALTER TABLE items ADD COLUMN color TEXT NOT NULL DEFAULT ''")]
NEXT = [*NEW, Migration(92, "DROP TABLE former", 91)]


@asynccontextmanager
async def running(folder: Path, migrations: Sequence[Migration]) -> AsyncIterator[Stores]:
    """Run a program of a version, which other processes see."""
    database = PostgresDatabase(database_of(folder), FakeClock(), migrations=migrations)
    version = migrations[-1].number
    try:
        until(lambda: version in list_versions(folder))
        yield Stores.over(database)
    finally:
        await database.close()


def list_versions(folder: Path) -> set[int]:
    """The versions of the programs that run."""
    query = "SELECT objid::int FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ShareLock'"
    return {version for (version,) in query_database(folder, query)}


def schema_version(folder: Path) -> tuple[int, int]:
    """The version of the schema, and the oldest one whose programs can use it."""
    query = "SELECT version, oldest_version FROM schema_version"
    ((version, oldest_version),) = query_database(folder, query)
    return version, oldest_version


async def test_two_versions_run_side_by_side(tmp_path: Path) -> None:
    """A new program migrates while the former one reads and writes, which may also start again."""
    async with running(tmp_path, OLD) as old:
        generation = await default_generation(old, SPACE)
        await old.items.upsert_many(generation, [indexed("a", "tea")])
        async with running(tmp_path, NEW) as new:
            assert (91, 0) == schema_version(tmp_path)
            await new.items.upsert_many(generation, [indexed("b", "cake")])
            await old.items.upsert_many(generation, [indexed("c", "milk")])
            async with running(tmp_path, OLD) as restarted:
                await restarted.items.upsert_many(generation, [indexed("d", "rice")])
            for stores in (old, new):
                ids = [stored.item.item_id for stored in await all_items(stores, generation)]
                assert ["a", "b", "c", "d"] == ids


async def test_what_a_running_program_needs_is_not_removed(tmp_path: Path) -> None:
    """A step that removes something waits until no older program runs, and then shuts them out."""
    async with running(tmp_path, OLD), running(tmp_path, NEW):
        with capture_logs() as lines:
            async with running(tmp_path, NEXT):
                assert (91, 0) == schema_version(tmp_path)
        assert ["migration_postponed"] == [line["event"] for line in lines]
    async with running(tmp_path, NEW), running(tmp_path, NEXT):
        assert (92, 91) == schema_version(tmp_path)
    with pytest.raises(errors.StoreCorrupted, match="run the newer version"):
        PostgresDatabase(database_of(tmp_path), FakeClock(), migrations=OLD)


async def test_a_failed_step_leaves_the_schema_as_it_was(tmp_path: Path) -> None:
    """A step is applied whole or not at all."""
    broken = [*OLD, Migration(91, "DROP TABLE former; DROP TABLE missing")]
    async with running(tmp_path, OLD):
        pass
    with pytest.raises(errors.StoreUnavailable):
        PostgresDatabase(database_of(tmp_path), FakeClock(), migrations=broken)
    assert (90, 0) == schema_version(tmp_path)
    assert [] == query_database(tmp_path, "SELECT note FROM former")


async def test_a_step_that_waits_does_not_stop_running_programs(tmp_path: Path) -> None:
    """While a backup locks a table that a step changes, programs read and write it."""
    async with running(tmp_path, OLD) as old:
        generation = await default_generation(old, SPACE)
        with psycopg.connect(database_of(tmp_path)) as backup, capture_logs() as lines:
            backup.execute("LOCK TABLE akin.items IN ACCESS SHARE MODE")
            migrating = asyncio.create_task(asyncio.to_thread(migrate, tmp_path))
            async with asyncio.timeout(GIVE_UP_SECONDS):
                while "migration_waits" not in [line["event"] for line in lines]:
                    await old.items.upsert_many(generation, [indexed("a", "tea")])
                    assert 1 == len(await all_items(old, generation))
            assert (90, 0) == schema_version(tmp_path)
        await migrating
        assert (91, 0) == schema_version(tmp_path)


def migrate(folder: Path) -> None:
    """Migrate a database to the new version."""
    with closing(open_connection(complete_address(database_of(folder)))) as connection:
        migrate_schema(connection, NEW)


RIGHTS = {
    "the database": "ALTER DATABASE {database} OWNER TO {role}",
    "the schema": "CREATE SCHEMA akin AUTHORIZATION {role}",
    "the tables": "GRANT USAGE ON SCHEMA akin TO {role}; "
    "GRANT ALL ON ALL TABLES IN SCHEMA akin TO {role}",
}


@pytest.mark.parametrize("right", RIGHTS)
async def test_a_role_needs_only_the_rights_to_create_what_is_missing(
    tmp_path: Path, right: str
) -> None:
    """The owner of an empty schema can start, and so can a role that may only use the tables."""
    server, database = shared_server(), f"rights_{uuid4().hex}"
    role = f"role_{uuid4().hex}"
    server.execute(f"CREATE DATABASE {database}")
    server.execute(f"CREATE ROLE {role} LOGIN")
    if right == "the tables":
        with closing(open_connection(complete_address(server.address(database)))) as connection:
            migrate_schema(connection)
    server.execute(RIGHTS[right].format(database=database, role=role), database)
    address = server.address(database).replace("//akin@", f"//{role}@")
    stores = Stores.over(PostgresDatabase(address, FakeClock()))
    try:
        generation = await default_generation(stores, SPACE)
        await stores.items.upsert_many(generation, [indexed("a", "tea")])
        assert 1 == len(await all_items(stores, generation))
    finally:
        await stores.database.close()


async def test_another_encoding_is_refused(tmp_path: Path) -> None:
    """A database whose encoding is not UTF8 is refused, and stays empty."""
    with psycopg.connect(database_of(tmp_path), autocommit=True) as connection:
        connection.execute("CREATE DATABASE latin ENCODING LATIN1 LOCALE 'C' TEMPLATE template0")
    address = shared_server().address("latin")
    with pytest.raises(errors.StoreUnavailable, match="encoding LATIN1"):
        PostgresDatabase(address, FakeClock())
