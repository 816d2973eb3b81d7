"""Moves between stores, without servers."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from support.embedders import SPACE
from support.moves import (
    MovedStore,
    copy,
    fill,
    fill_folder,
    finish,
    folder_address,
    last_numbers,
    summaries,
)
from support.postgres import database_of
from support.stores import default_generation, indexed

from service import errors
from service.storage.moving.moved_tables import MOVED_TABLES
from service.storage.moving.moves import CAUGHT_UP_ROWS, Progress

pytestmark = pytest.mark.sqlite

# Tables that the end of a move changes: requests under way count as spent.
SETTLED = {"token_usage", "embedding_requests", "leased_texts"}

# Writes of all kinds: rows that change, go, and come back with other keys and their unique values.
CHANGES = """
    UPDATE items SET text = 'other', change_sequence = 1000 WHERE item_id = 'i0';
    DELETE FROM items WHERE item_id = 'i1';
    INSERT INTO items (item_key, catalog_id, item_id, text, attributes, sequence, change_sequence,
        update_time_us, deleted) VALUES (500, 1, 'i1', '', '{}', 1001, 1001, 1, '0');
    UPDATE catalogs SET name = NULL WHERE catalog_id = 1;
    INSERT INTO catalogs (catalog_id, name, vector_storage, own_model)
        VALUES (9, 'default', '', '0');
    DELETE FROM interactions WHERE interaction_id = 'x1';
    INSERT INTO interactions (catalog_id, user_id, time_us, item_id, type, interaction_id)
        VALUES (1, 'ZZ', 1, 'a', 'view', 'x1'), (1, 'ann', 9, 'a', 'view', '');
    UPDATE spaces SET space_id = space_id WHERE space_id = 1;
    DELETE FROM behavior_model_pieces WHERE number = 0;
    DELETE FROM click_through;
"""

# How the two databases count the sequence numbers.
FILE_COUNT = "UPDATE counters SET value = 1001 WHERE name = 'sequence'"
SERVER_COUNT = "INSERT INTO commits (sequence, token) VALUES (1001, 1)"


def change(store: MovedStore) -> None:
    """Write to a store."""
    store.execute(CHANGES)
    store.execute(FILE_COUNT if store.is_file else SERVER_COUNT)


class InterruptedMoveError(Exception):
    """Ends a move in the middle, as if its process were killed."""


@pytest.fixture(params=["from a file", "from PostgreSQL"])
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[MovedStore, MovedStore]:
    """A source and a target of the other kind."""
    is_file = request.param == "from a file"
    return MovedStore(tmp_path / "source", is_file), MovedStore(tmp_path / "target", not is_file)


async def test_a_store_comes_back_unchanged(tmp_path: Path) -> None:
    """From a file to PostgreSQL, to another one and back: each row and number is the same."""
    first, last = folder_address(tmp_path / "a"), folder_address(tmp_path / "d")
    stores = [first, *(database_of(tmp_path / name) for name in "bc"), last]
    await fill_folder(tmp_path / "a")
    before = summaries(first, tmp_path / "spare")
    assert {table.name for table in MOVED_TABLES} == {
        name for name, summary in before.items() if summary.rows
    }
    for source, target in pairwise(stores):
        moved = finish(source, target)
        assert summaries(source, tmp_path / "spare") == moved.tables
        copied = summaries(target, tmp_path / "spare")
        assert {name for name in before if before[name] != copied[name]} == SETTLED
        assert 0 == copied["embedding_requests"].rows
        assert last_numbers(first, tmp_path / "spare") == last_numbers(target, tmp_path / "spare")
    assert before == summaries(first, tmp_path / "spare")
    assert not (tmp_path / "spare").exists()


async def test_a_move_leaves_out_what_describes_shared_indexes(
    pair: tuple[MovedStore, MovedStore],
) -> None:
    """The servers of the target build indexes of their own for catalogs that have shared ones."""
    source, target = pair
    await fill(source)
    source.execute("""
        UPDATE catalogs SET index_kind = 'shared' WHERE name = 'default';
        INSERT INTO shared_indexes VALUES (1, 2, 'ready', 5, 5, 6, 5, 1, NULL);
        INSERT INTO corpus_statistics (generation_id, version, statistics)
            SELECT 1, 3, vector FROM vectors LIMIT 1;
    """)
    finish(source.address, target.address)
    kinds = "SELECT index_kind FROM catalogs WHERE name = 'default'"
    assert [("shared",)] == target.read(kinds)
    for query in ("SELECT version FROM shared_indexes", "SELECT version FROM corpus_statistics"):
        assert 1 == len(source.read(query))
        assert [] == target.read(query)


async def test_writes_after_a_copy_are_copied_by_the_end(
    pair: tuple[MovedStore, MovedStore],
) -> None:
    """A second copy and the end write only what differs, also rows that give way to others."""
    source, target = pair
    await fill(source)
    first = copy(source.address, target.address)
    assert 0 == copy(source.address, target.address).changed_rows
    change(source)
    second = copy(source.address, target.address)
    assert 0 < second.changed_rows < first.changed_rows
    last = finish(source.address, target.address)
    assert (0, 1001) == (last.changed_rows, last.sequence)


async def test_writes_during_a_copy_are_copied_in_its_next_pass(
    pair: tuple[MovedStore, MovedStore],
) -> None:
    """A pass copies one moment of the source, and the end has what was written since."""
    source, target = pair
    await fill(source)
    before = copy(source.address, target.address)

    def write(progress: Progress) -> None:
        if progress == Progress(1, "items", 0, 0):
            change(source)

    during = copy(source.address, target.address, write)
    assert before.tables == during.tables
    after = finish(source.address, target.address)
    assert before.tables["interactions"] != after.tables["interactions"]


async def test_a_copy_ends_once_it_has_caught_up(pair: tuple[MovedStore, MovedStore]) -> None:
    """After a pass that copied many rows, another one copies what was written during it."""
    source, target = pair
    await fill(source)
    source.execute("""
        WITH RECURSIVE days(number) AS (
            SELECT 1 UNION ALL SELECT number + 1 FROM days WHERE number < 1000)
        INSERT INTO token_usage SELECT CAST(number AS TEXT), 1, 0 FROM days""")

    def write(progress: Progress) -> None:
        if progress.number == 1 and progress.table == "token_usage":
            source.execute("UPDATE token_usage SET prompt_tokens = 2 WHERE day = '5'")

    copied = copy(source.address, target.address, write)
    assert (2, 1) == (copied.passes, copied.last_changed_rows)
    assert copied.changed_rows > CAUGHT_UP_ROWS


@pytest.mark.slow
async def test_an_interrupted_move_goes_on(pair: tuple[MovedStore, MovedStore]) -> None:
    """Wherever a move ends, the next one copies only the rest, and no server uses the target."""
    source, target = pair
    await fill(source)
    expected = copy(source.address, MovedStore(source.folder / "other", is_file=True).address)
    moments = [Progress(1, table.name, 0, 0) for table in MOVED_TABLES[1::5]]
    for moment in [*moments, Progress(0, MOVED_TABLES[-1].name, 0, 0)]:
        with pytest.raises(InterruptedMoveError):
            finish(source.address, target.address, interrupt_at(moment))
        with pytest.raises(errors.StoreUnavailable, match="unfinished migration"):
            target.open()
    last = finish(source.address, target.address)
    assert (0, expected.tables) == (last.changed_rows, last.tables)


def interrupt_at(moment: Progress) -> Callable[[Progress], None]:
    """Return what ends a move at a moment."""

    def report(progress: Progress) -> None:
        if progress == moment:
            raise InterruptedMoveError

    return report


async def test_a_moved_store_goes_on_where_the_source_was(
    pair: tuple[MovedStore, MovedStore],
) -> None:
    """Sequence numbers and keys go on, the data has its identity, and the schema is a new one's."""
    source, target = pair
    await fill(source)
    numbers = last_numbers(source.address, source.folder / "spare")
    moved = finish(source.address, target.address)
    stores = target.open()
    try:
        generation = await default_generation(stores, SPACE)
        (stored,) = await stores.items.upsert_many(generation, [indexed("new", "new")])
        assert moved.sequence + 1 == stored.sequence
        assert source.read("SELECT store_id FROM identity") == [(stores.database.store_id,)]
    finally:
        await stores.close()
    (key,) = target.read("SELECT item_key FROM items WHERE item_id = 'new'")
    assert (numbers["items"] + 1,) == key
    assert [] == target.read("SELECT 1 FROM embedding_requests")
    spent = sum(row[0] for row in source.read("SELECT prompt_tokens FROM token_usage"))
    unsettled = sum(
        row[0] for row in source.read("SELECT prompt_tokens FROM embedding_requests WHERE is_sent")
    )
    assert [(spent + unsettled,)] == target.read("SELECT sum(prompt_tokens) FROM token_usage")


async def test_the_schema_after_a_move_is_that_of_a_new_store(tmp_path: Path) -> None:
    """The constraints that a copy into PostgreSQL goes without are there again at its end."""
    source, target, new = (MovedStore(tmp_path / name, name == "a") for name in "abc")
    await fill(source)
    await new.open().close()
    copy(source.address, target.address)
    query = """SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid)
               FROM pg_constraint WHERE connamespace = 'akin'::regnamespace ORDER BY 1, 2"""
    assert new.read(query) != target.read(query)
    finish(source.address, target.address)
    assert new.read(query) == target.read(query)
    tables = "SELECT tablename FROM pg_tables WHERE schemaname = 'akin' ORDER BY 1"
    assert new.read(tables) == target.read(tables)
    assert source.read("SELECT value FROM counters WHERE name = 'sequence'") == target.read(
        "SELECT sequence FROM commits"
    )
    assert new.read("SELECT name FROM counters") == target.read("SELECT name FROM counters")


async def test_changed_rows_of_the_target_are_noticed(
    pair: tuple[MovedStore, MovedStore],
) -> None:
    """A target that does not hold what is written to it is not taken for a copy."""
    source, target = pair
    await fill(source)
    copy(source.address, target.address)
    if target.is_file:
        target.execute("""CREATE TRIGGER spoil AFTER INSERT ON items BEGIN
            UPDATE items SET text = 'spoiled' WHERE item_key = new.item_key; END""")
    else:
        target.execute("""CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN new.text = ''spoiled''; RETURN new; END';
            CREATE TRIGGER spoil BEFORE INSERT ON items FOR EACH ROW EXECUTE FUNCTION spoil()""")
    target.execute("UPDATE items SET text = 'spoiled' WHERE item_id = 'i0'")
    with pytest.raises(errors.StoreCorrupted, match="table items differs"):
        finish(source.address, target.address)
    with pytest.raises(errors.StoreUnavailable, match="unfinished migration"):
        target.open()
    target.execute("DROP TRIGGER spoil" if target.is_file else "DROP TRIGGER spoil ON items")
    assert 1 == finish(source.address, target.address).changed_rows
