import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from importlib import resources
from pathlib import Path

import pytest
from support.clock import FakeClock
from support.embedders import SPACE, unit_vector
from support.stores import (
    UNAVAILABLE,
    all_changes,
    all_items,
    chunks_of,
    indexed,
    open_stores,
    opened,
    pending,
    rows,
)

from service.domain.catalog_settings import DEFAULT_SETTINGS
from service.domain.claims import Settlement
from service.domain.generations import GenerationState
from service.domain.index_kinds import IndexKind
from service.domain.interactions import Interaction, InteractionKey
from service.domain.spaces import Model, Space
from service.domain.text_formats import TextFormat
from service.domain.usage import TokenUsage, format_utc_day
from service.embedding.prompts import hash_text
from service.storage.records import NEVER_US
from service.storage.sqlite.migrations import register_functions
from service.storage.stores import Stores

pytestmark = pytest.mark.sqlite

VECTOR = unit_vector("tea").tobytes()
TEXT_VECTOR = unit_vector("text").tobytes()

# A template that holds what the migration looks for, escaped as JSON escapes it.
NEXT_SPACE = replace(SPACE, model="next", template='"normalisation": "{text}"')


@contextmanager
def database_of_version(folder: Path, version: int) -> Iterator[sqlite3.Connection]:
    """A database with the schema after the first `version` migrations."""
    scripts = sorted(
        path.name
        for path in resources.files("service.storage.sqlite.migrations").iterdir()
        if path.name.endswith(".sql")
    )
    migrations = resources.files("service.storage.sqlite.migrations")
    with closing(sqlite3.connect(folder / "akin.sqlite3")) as connection:
        register_functions(connection)
        for name in scripts[:version]:
            connection.executescript((migrations / name).read_text())
        connection.executescript(f"PRAGMA user_version = {version}")
        yield connection
        connection.commit()


def old_fingerprint(space: Space) -> str:
    """The fingerprint of a space as versions before 0.2.0 wrote it."""
    key = '"normalization": '
    assert 1 == space.fingerprint.count(key)
    return space.fingerprint.replace(key, '"normalisation": ')


async def vector_counts(stores: Stores, generation_id: int) -> dict[str, int]:
    """The number of vectors of each item in a generation of the default catalog."""
    record = (await stores.generations.list_catalogs())["default"]
    (generation,) = [
        generation.generation
        for generation in record.generations
        if generation.generation.generation_id == generation_id
    ]
    return {change.item_id: len(change.vectors) for change in await all_changes(stores, generation)}


async def test_data_of_the_first_versions_is_kept(tmp_path: Path) -> None:
    """Items, their chunks, pending items and users are all there after the change of the schema."""
    with database_of_version(tmp_path, 3) as connection:
        connection.execute("INSERT INTO spaces VALUES (1, ?)", (old_fingerprint(SPACE),))
        connection.execute("INSERT INTO catalogs VALUES (1, 'default', 1)")
        for number in range(3):
            connection.execute(
                "INSERT INTO vectors VALUES (?, 1, ?, ?)", (number, bytes([number]), VECTOR)
            )
        for key, name, first in ((1, "a", 0), (2, "b", None), (3, "c", 2)):
            connection.execute(
                "INSERT INTO items VALUES (?, 1, ?, 'text', '{}', NULL, ?, ?, ?, 5, 0)",
                (key, name, first, key, key),
            )
        connection.execute("INSERT INTO more_vectors VALUES (1, 1, 1)")
        connection.execute("INSERT INTO pending VALUES (2, 'an outage', 0, 0)")
        connection.execute("INSERT INTO users VALUES (1, 1, 'u', '[]', '[]', 4, 5)")
        connection.execute("UPDATE counters SET value = 4 WHERE name = 'sequence'")
    async with opened(tmp_path, FakeClock()) as (stores, generation):
        assert {"a": 2, "b": 0, "c": 1} == await vector_counts(stores, 1)
        assert [(UNAVAILABLE, "an outage", 1, 5)] == await stores.pending.list_groups(generation)
        assert None is not await stores.users.get(generation, "u")
        (due,) = await stores.pending.list_due(generation, 10)
        assert 0 < await stores.pending.settle(generation, due, chunks_of("text"))
        assert 4 < (await stores.items.upsert_many(generation, [indexed("d", "rum")]))[0].sequence
    assert [] == rows(tmp_path, "PRAGMA foreign_key_check")


def fill_version_4(connection: sqlite3.Connection, second_state: str) -> None:
    """Fill a database of version 0.1.0, whose default catalog has a second generation."""
    for space_id, space in ((1, SPACE), (2, NEXT_SPACE)):
        connection.execute("INSERT INTO spaces VALUES (?, ?)", (space_id, old_fingerprint(space)))
    connection.execute("INSERT INTO catalogs VALUES (1, 'default', '', 1)")
    problem = "today's budget for embedding, 1 US dollars, is spent"
    generation = "INSERT INTO layers VALUES (?, 1, ?, 0, ?, 5, 7, 0.5, ?)"
    connection.execute(generation, (1, 1, "serving", ""))
    connection.execute(generation, (2, 2, second_state, problem))
    vector = "INSERT INTO vectors VALUES (?, ?, ?, ?)"
    connection.execute(vector, (1, 1, hash_text("text"), TEXT_VECTOR))
    connection.execute(vector, (2, 2, hash_text("text"), VECTOR))
    for key, name in enumerate("abcd", 1):
        item = "INSERT INTO items VALUES (?, 1, ?, 'text', '{}', NULL, ?, ?, 5, 0)"
        connection.execute(item, (key, name, key, key))
    connection.execute("INSERT INTO item_vectors VALUES (1, 1, 0, 1)")
    connection.execute("INSERT INTO item_vectors VALUES (2, 1, 0, 2)")
    pending_row = "INSERT INTO pending VALUES (1, ?, ?, 1, ?)"
    connection.execute(pending_row, (2, "the provider is down", 5))
    connection.execute(pending_row, (3, "the text has no word", NEVER_US))
    connection.execute(pending_row, (4, problem, 5))
    connection.execute("INSERT INTO spend VALUES ('2026-01-02', 7, 0.5)")
    connection.execute("INSERT INTO users VALUES (1, 1, 'u', '[]', '[]', 5, 5)")
    connection.execute("UPDATE counters SET value = 5 WHERE name = 'sequence'")


async def test_data_of_version_0_1_0_opens_and_serves(tmp_path: Path) -> None:
    """Generations, vectors, pending items, users and usage of 0.1.0 are all there."""
    with database_of_version(tmp_path, 4) as connection:
        fill_version_4(connection, "embedding")
    async with opened(tmp_path, FakeClock()) as (stores, generation):
        record = (await stores.generations.list_catalogs())["default"]
        assert Model(SPACE) == record.serving.model
        assert record.next is not None
        assert Model(NEXT_SPACE) == record.next.model
        assert GenerationState.EMBEDDING is record.next.state
        assert "BUDGET_SPENT" == record.next.problem_reason
        assert record.next.problem_message.startswith("today's budget")
        assert TokenUsage(7, 0.5) == record.next.spent
        assert {"a": 1, "b": 0, "c": 0, "d": 0} == await vector_counts(stores, 1)
        assert {"a": 1, "b": 0, "c": 0, "d": 0} == await vector_counts(stores, 2)
        assert {"2026-01-02": TokenUsage(7, 0.5)} == await stores.usage.list_days(31)
        assert None is not await stores.users.get(generation, "u")
        vectors = await stores.vectors.get_many(generation, [hash_text("text")])
        assert TEXT_VECTOR == vectors[hash_text("text")].tobytes()
        stored = await stores.items.upsert_many(generation, [pending("e", "tea")])
        assert 6 == stored[0].sequence
        assert 5 == len(await all_items(stores, generation))
    assert [] == rows(tmp_path, "PRAGMA foreign_key_check")


async def test_reasons_of_older_pending_items_are_derived(tmp_path: Path) -> None:
    """Each pending item of 0.1.0 keeps its message and gets the reason code that suits it."""
    with database_of_version(tmp_path, 4) as connection:
        fill_version_4(connection, "embedding")
    async with opened(tmp_path, FakeClock()) as (stores, generation):
        items = await all_items(stores, generation)
        reasons = {item.item.item_id: item.pending_reason for item in items}
        assert {
            "a": "",
            "b": UNAVAILABLE,
            "c": "TEXT_REJECTED",
            "d": "BUDGET_SPENT",
        } == reasons
        assert "the text has no word" == items[2].pending_message


async def test_a_kept_generation_becomes_the_previous_one(tmp_path: Path) -> None:
    """A re-embedding of 0.1.0 that was not finished can be committed after the upgrade."""
    with database_of_version(tmp_path, 4) as connection:
        fill_version_4(connection, "kept")
    async with opened(tmp_path, FakeClock()) as (stores, generation):
        record = (await stores.generations.list_catalogs())["default"]
        assert record.previous is not None
        assert (1, 2) == (generation.generation_id, record.previous.generation.generation_id)
        await stores.generations.commit(record)
        while await stores.removal.remove_rows():
            pass
        await stores.unused_rows.remove_unused_vectors(stores.database.now_us(), 0)
    assert [(1,)] == rows(tmp_path, "SELECT generation_id FROM generations")
    assert [(1,)] == rows(tmp_path, "SELECT vector_id FROM vectors")


async def test_generation_ids_are_not_reused_after_the_upgrade(tmp_path: Path) -> None:
    """A new generation gets an id that no generation of 0.1.0 ever had."""
    with database_of_version(tmp_path, 4) as connection:
        fill_version_4(connection, "cancelled")
    async with opened(tmp_path, FakeClock()) as (stores, _):
        while await stores.removal.remove_rows():
            pass
        record = (await stores.generations.list_catalogs())["default"]
        await stores.generations.start_next(record, Model(NEXT_SPACE))
    assert [(1,), (3,)] == rows(tmp_path, "SELECT generation_id FROM generations")


async def test_catalogs_of_version_0_2_0_have_plain_texts(tmp_path: Path) -> None:
    """A catalog from before text formats keeps its texts as they are."""
    with database_of_version(tmp_path, 5) as connection:
        connection.execute("INSERT INTO spaces VALUES (1, ?)", (SPACE.fingerprint,))
        connection.execute("INSERT INTO catalogs VALUES (1, 'default', '', 0)")
        connection.execute(
            """INSERT INTO generations (catalog_id, space_id, dimensions_asked, state, start_us)
               VALUES (1, 1, 0, 'serving', 5)"""
        )
    async with opened(tmp_path, FakeClock()) as (_, generation):
        assert TextFormat.PLAIN is generation.text_format


async def test_vectors_of_version_0_2_0_that_are_in_use_stay(tmp_path: Path) -> None:
    """Vectors of items and preferences stay after the upgrade; the others can be removed."""
    space = replace(SPACE, query_template="query: {text}")
    with database_of_version(tmp_path, 6) as connection:
        connection.execute("INSERT INTO spaces VALUES (1, ?)", (space.fingerprint,))
        connection.execute("INSERT INTO catalogs VALUES (1, 'default', '', 0, 'plain')")
        connection.execute(
            """INSERT INTO generations (catalog_id, space_id, dimensions_asked, state, start_us)
               VALUES (1, 1, 0, 'serving', 5)"""
        )
        texts = ["item", "query: preference", "query: caf\u00e9", "deleted", "query: item"]
        for number, text in enumerate(texts, 1):
            connection.execute(
                "INSERT INTO vectors VALUES (?, 1, ?, ?)", (number, hash_text(text), VECTOR)
            )
        item = "INSERT INTO items VALUES (?, 1, ?, ?, '{}', NULL, ?, ?, 5, ?)"
        connection.execute(item, (1, "a", "item", 1, 1, 0))
        connection.execute(item, (2, "b", "", 2, 2, 1))
        connection.execute("INSERT INTO item_vectors VALUES (1, 1, 0, 1)")
        preferences = json.dumps([("preference", 1.0), ("caf\u00e9", -1.0), ("not embedded", 1.0)])
        user = "INSERT INTO users VALUES (?, 1, ?, ?, '[]', 3, 5)"
        connection.execute(user, (1, "u", preferences))
        connection.execute(user, (2, "v", preferences))
        connection.execute("UPDATE counters SET value = 3 WHERE name = 'sequence'")
    far_future_us = 1 << 62
    stores = open_stores(tmp_path, FakeClock(far_future_us))
    try:
        assert (2, True) == await stores.unused_rows.remove_unused_vectors(far_future_us, 0)
        generation = (await stores.generations.list_catalogs())["default"].serving.generation
        assert 0 == (await stores.items.changes(generation, 0, 10)).purged_sequence
        assert 1 == await stores.unused_rows.remove_tombstones(1, 3)
        assert await stores.users.delete(generation, "u")
        assert (0, True) == await stores.unused_rows.remove_unused_vectors(far_future_us, 0)
        assert await stores.users.delete(generation, "v")
        assert (2, True) == await stores.unused_rows.remove_unused_vectors(far_future_us, 0)
    finally:
        await stores.database.close()
    assert [(1,)] == rows(tmp_path, "SELECT vector_id FROM vectors")
    assert [] == rows(tmp_path, "PRAGMA foreign_key_check")


async def test_usage_before_the_record_of_requests_is_kept(tmp_path: Path) -> None:
    """The usage of former versions counts, and no request is under way after the upgrade."""
    clock = FakeClock()
    with database_of_version(tmp_path, 6) as connection:
        connection.execute("INSERT INTO token_usage VALUES (?, 5, 0.5)", (format_utc_day(clock()),))
    async with opened(tmp_path, clock) as (stores, _):
        await stores.embedding_requests.settle(Settlement(None, usage=TokenUsage(1, 0.25)))
        assert TokenUsage(6, 0.75) == (await stores.usage.list_days(1))[format_utc_day(clock())]
    assert [] == rows(tmp_path, "SELECT * FROM embedding_requests")


async def test_interactions_and_catalogs_before_settings_are_kept(tmp_path: Path) -> None:
    """Catalogs get the default settings, and their interactions name no response."""
    with database_of_version(tmp_path, 10) as connection:
        connection.execute("INSERT INTO spaces VALUES (1, ?)", (SPACE.fingerprint,))
        connection.execute(
            """INSERT INTO catalogs (catalog_id, name, vector_storage, own_model, interaction_count)
               VALUES (1, 'default', '', 0, 1)"""
        )
        connection.execute(
            """INSERT INTO generations (catalog_id, space_id, dimensions_asked, state, start_us)
               VALUES (1, 1, 0, 'serving', 5)"""
        )
        connection.execute("INSERT INTO interactions VALUES (1, 'u', 7, 'a', 'LIKE', 'x', 4.5)")
    async with opened(tmp_path, FakeClock()) as (stores, generation):
        assert DEFAULT_SETTINGS == (await stores.generations.list_catalogs())["default"].settings
        page = await stores.interactions.list_page(generation, "", None, 10)
        assert [Interaction(InteractionKey("u", 7, "a", "LIKE", "x"), 4.5)] == page.interactions
        assert [] == await stores.click_through.sum_days(generation)


async def test_likes_before_models_count_as_changes(tmp_path: Path) -> None:
    """Each catalog is trained on the likes that it already has, and none of its items is new."""
    with database_of_version(tmp_path, 11) as connection:
        connection.execute("INSERT INTO spaces VALUES (1, ?)", (SPACE.fingerprint,))
        connection.executemany(
            """INSERT INTO catalogs (catalog_id, name, vector_storage, own_model, interaction_count)
               VALUES (?, ?, '', 0, ?)""",
            [(1, "default", 5), (2, "empty", 0)],
        )
        connection.execute(
            """INSERT INTO generations (catalog_id, space_id, dimensions_asked, state, start_us)
               VALUES (1, 1, 0, 'serving', 5)"""
        )
        connection.executemany(
            """INSERT INTO users
                   (catalog_id, user_id, preferences, liked_items, sequence, update_time_us)
               VALUES (1, ?, '[]', ?, 1, 7)""",
            [("u", '[["a", 1.0], ["b", -1.0]]'), ("v", "[]")],
        )
        connection.execute(
            """INSERT INTO items (catalog_id, item_id, text, attributes, sequence, change_sequence,
                   update_time_us, deleted) VALUES (1, 'a', 'tea', '{}', 1, 1, 7, 0)"""
        )
    async with opened(tmp_path, FakeClock()) as (stores, generation):
        store = stores.behavior_models
        assert (2 + 5, 0) == await store.read_changes(generation.catalog_id)
        assert (0, 0) == await store.read_changes(2)
        assert [] == await store.list_new_ids(generation.catalog_id, 1, 10)
        await stores.items.upsert_many(generation, [indexed("a", "gin"), indexed("b", "tea")])
        assert ["b"] == await store.list_new_ids(generation.catalog_id, 2, 10)


async def test_catalogs_before_kinds_of_index_are_in_memory(tmp_path: Path) -> None:
    """A catalog from before shared indexes is served from memory and changes to no other index."""
    with database_of_version(tmp_path, 13) as connection:
        connection.execute("INSERT INTO spaces VALUES (1, ?)", (SPACE.fingerprint,))
        connection.execute(
            """INSERT INTO catalogs (catalog_id, name, vector_storage, own_model)
               VALUES (1, 'default', '', 0)"""
        )
        connection.execute(
            """INSERT INTO generations (catalog_id, space_id, dimensions_asked, state, start_us)
               VALUES (1, 1, 0, 'serving', 5)"""
        )
    async with opened(tmp_path, FakeClock()) as (stores, generation):
        catalog = (await stores.generations.list_catalogs())["default"]
        assert (IndexKind.MEMORY, None) == (catalog.index, catalog.next_index)
        assert [] == await stores.shared_indexes.list_all()
        assert 0 == await stores.shared_indexes.get_statistics_version(generation)
