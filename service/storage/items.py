"""The SQL of items and their vectors. All of it runs inside a connection's thread.

An item whose time has come counts as gone from that microsecond on, whether it was swept or not.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

from service import errors
from service.domain.generations import Generation, GenerationState, LiveGeneration
from service.domain.items import Change, Item, ItemState, StoredItem
from service.storage import vectors
from service.storage.records import ItemPage, ItemWrite
from service.storage.writer import Transaction

_COLUMNS = """items.item_id, items.text, items.attributes, items.expire_time_us, items.sequence,
    items.update_time_us, pending.reason"""
_FROM = """items LEFT JOIN pending
    ON pending.item_key = items.item_key AND pending.layer_id = :layer_id"""
_LIVE = "NOT items.deleted AND (items.expire_time_us IS NULL OR items.expire_time_us > :now_us)"
_VARIABLES_PER_STATEMENT = 500


def _of(generation: Generation) -> dict[str, int]:
    return {"catalog_id": generation.catalog_id, "layer_id": generation.generation_id}


def _stored(row: tuple[Any, ...]) -> StoredItem:
    item_id, text, attributes, expire_time_us, sequence, update_time_us, reason = row
    return StoredItem(
        Item(item_id, text, json.loads(attributes), expire_time_us),
        ItemState.INDEXED if reason is None else ItemState.PENDING,
        sequence,
        update_time_us,
        reason or "",
    )


def get(
    connection: sqlite3.Connection, generation: Generation, item_ids: Sequence[str], now_us: int
) -> dict[str, StoredItem]:
    """The live ones among `item_ids`."""
    found: dict[str, StoredItem] = {}
    for start in range(0, len(item_ids), _VARIABLES_PER_STATEMENT):
        some = item_ids[start : start + _VARIABLES_PER_STATEMENT]
        names = {f"id{number}": item_id for number, item_id in enumerate(some)}
        rows = connection.execute(
            f"""SELECT {_COLUMNS} FROM {_FROM}
                WHERE catalog_id = :catalog_id AND {_LIVE}
                AND item_id IN ({",".join(f":{name}" for name in names)})""",
            {**_of(generation), "now_us": now_us, **names},
        )
        found.update((row[0], _stored(row)) for row in rows)
    return found


def beginnings(
    connection: sqlite3.Connection,
    catalog_id: int,
    item_ids: Sequence[str],
    characters: int,
    now_us: int,
) -> dict[str, str]:
    """The first characters of the texts of the live ones among `item_ids`."""
    rows = connection.execute(
        f"""SELECT item_id, substr(text, 1, :characters) FROM items
            WHERE catalog_id = :catalog_id AND {_LIVE}
            AND item_id IN (SELECT value FROM json_each(:ids))""",
        {
            "catalog_id": catalog_id,
            "now_us": now_us,
            "ids": json.dumps(item_ids),
            "characters": characters,
        },
    )
    return dict(rows.fetchall())


def page(
    connection: sqlite3.Connection,
    generation: Generation,
    after: str,
    limit: int,
    max_bytes: int,
    now_us: int,
) -> ItemPage:
    """Up to `limit` live items with ids beyond `after`, ascending, closed beyond `max_bytes`."""
    rows = connection.execute(
        f"""SELECT {_COLUMNS} FROM {_FROM}
            WHERE catalog_id = :catalog_id AND item_id > :after AND {_LIVE}
            ORDER BY item_id LIMIT :limit""",
        {**_of(generation), "after": after, "limit": limit + 1, "now_us": now_us},
    )
    found, more = _cut(rows, limit, max_bytes)
    return ItemPage(found, count(connection, generation.catalog_id, now_us), more)


def named(
    connection: sqlite3.Connection,
    generation: Generation,
    item_ids: Sequence[str],
    max_bytes: int,
    now_us: int,
) -> tuple[list[StoredItem], bool]:
    """The live ones among `item_ids`, ascending, and whether there were more beyond `max_bytes`."""
    rows = connection.execute(
        f"""SELECT {_COLUMNS} FROM {_FROM}
            WHERE catalog_id = :catalog_id AND {_LIVE}
            AND item_id IN (SELECT value FROM json_each(:ids)) ORDER BY item_id""",
        {**_of(generation), "now_us": now_us, "ids": json.dumps(item_ids)},
    )
    return _cut(rows, len(item_ids), max_bytes)


def _cut(
    rows: Iterable[tuple[Any, ...]], limit: int, max_bytes: int
) -> tuple[list[StoredItem], bool]:
    """The first `limit` rows, fewer once they exceed `max_bytes`, and whether there are more."""
    found: list[StoredItem] = []
    more, size = False, 0
    for row in rows:
        if len(found) == limit or size > max_bytes:
            more = True
            break
        found.append(_stored(row))
        size += len(row[1].encode()) + len(row[2].encode())
    return found, more


def count(connection: sqlite3.Connection, catalog_id: int, now_us: int) -> int:
    """How many live items the catalog has."""
    (number,) = connection.execute(
        f"SELECT count(*) FROM items WHERE catalog_id = :catalog_id AND {_LIVE}",
        {"catalog_id": catalog_id, "now_us": now_us},
    ).fetchone()
    return int(number)


def upsert(
    transaction: Transaction,
    generation: Generation,
    generations: Sequence[LiveGeneration],
    write: ItemWrite,
) -> StoredItem:
    """Stores one item in every generation; while a vector is pending, the old one goes on serving.

    Args:
        transaction: in which to.
        generation: the one whose vectors `write` has.
        generations: all of the catalog.
        write: the item.
    """
    item, connection = write.item, transaction.connection
    was = connection.execute(
        """SELECT item_key FROM items
           WHERE catalog_id = ? AND item_id = ? AND expire_time_us <= ?""",
        (generation.catalog_id, item.item_id, transaction.now_us),
    ).fetchone()
    if was is not None:  # expired, so that its old vector must not serve the new item
        vectors.forget(connection, *was)
    sequence = transaction.next_sequence()
    (item_key,) = connection.execute(
        """INSERT INTO items (catalog_id, item_id, text, attributes, expire_time_us, sequence,
               change_sequence, update_time_us, deleted)
           VALUES (:catalog_id, :item_id, :text, :attributes, :expire_time_us, :sequence,
               :sequence, :now_us, 0)
           ON CONFLICT (catalog_id, item_id) DO UPDATE SET
               text = excluded.text, attributes = excluded.attributes,
               expire_time_us = excluded.expire_time_us,
               sequence = excluded.sequence, change_sequence = excluded.change_sequence,
               update_time_us = excluded.update_time_us, deleted = 0
           RETURNING item_key""",
        {
            "catalog_id": generation.catalog_id,
            "item_id": item.item_id,
            "text": item.text,
            "attributes": json.dumps(item.attributes, ensure_ascii=False),
            "expire_time_us": item.expire_time_us,
            "sequence": sequence,
            "now_us": transaction.now_us,
        },
    ).fetchone()
    serving_reason = None
    for each in generations:
        chunks, reason = write.in_generation(
            each.generation.generation_id, written=generation.generation_id
        )
        if chunks:
            vectors.embed(connection, each.generation, item_key, chunks)
        else:
            connection.execute(
                "INSERT OR REPLACE INTO pending VALUES (?, ?, ?, 0, ?)",
                (each.generation.generation_id, item_key, reason, transaction.now_us),
            )
            if each.state is GenerationState.SERVING:
                serving_reason = reason
    state = ItemState.INDEXED if serving_reason is None else ItemState.PENDING
    return StoredItem(item, state, sequence, transaction.now_us, serving_reason or "")


def expect_sequence(
    transaction: Transaction, generation: Generation, item_id: str, expected: int
) -> None:
    """Checks the item's sequence, 0 standing for no such item.

    Raises:
        SequenceMismatch: it is another.
    """
    found = get(transaction.connection, generation, [item_id], transaction.now_us)
    sequence = found[item_id].sequence if item_id in found else 0
    if sequence != expected:
        raise errors.SequenceMismatch(f"the item's sequence is {sequence}, not {expected}")


def delete(transaction: Transaction, catalog_id: int, item_id: str) -> int:
    """Turns a live item into a tombstone.

    Returns:
        The sequence of the delete, 0 if there was no such item.
    """
    rows = transaction.connection.execute(
        f"SELECT item_key FROM items WHERE catalog_id = :catalog_id AND item_id = :id AND {_LIVE}",
        {"catalog_id": catalog_id, "id": item_id, "now_us": transaction.now_us},
    ).fetchall()
    return _bury(transaction, rows)


def bury_expired(transaction: Transaction, limit: int) -> int:
    """Turns up to `limit` expired items into tombstones.

    Returns:
        The sequence of the last delete, 0 if there was nothing to do.
    """
    rows = transaction.connection.execute(
        "SELECT item_key FROM items WHERE expire_time_us <= ? LIMIT ?", (transaction.now_us, limit)
    ).fetchall()
    return _bury(transaction, rows)


def _bury(transaction: Transaction, rows: list[tuple[int]]) -> int:
    sequence = 0
    for (item_key,) in rows:
        sequence = transaction.next_sequence()
        transaction.connection.execute(
            """UPDATE items SET text = '', attributes = '{}', expire_time_us = NULL,
               sequence = :sequence, change_sequence = :sequence,
               update_time_us = :now_us, deleted = 1 WHERE item_key = :item_key""",
            {"sequence": sequence, "now_us": transaction.now_us, "item_key": item_key},
        )
        vectors.forget(transaction.connection, item_key)
    return sequence


def changes(
    connection: sqlite3.Connection, generation: Generation, after: int, limit: int
) -> tuple[list[Change], int]:
    """What changed beyond sequence `after`, oldest first, and the sequence this leads up to."""
    connection.execute("BEGIN")  # the counter and the rows must be of one moment
    try:
        rows = connection.execute(
            """SELECT item_key, item_id, iif(deleted, NULL, attributes), expire_time_us,
                   change_sequence FROM items
               WHERE catalog_id = ? AND change_sequence > ? ORDER BY change_sequence LIMIT ?""",
            (generation.catalog_id, after, limit),
        ).fetchall()
        reached = rows[-1][4] if len(rows) == limit else last_sequence(connection)
        found = vectors.changed(connection, generation, after, reached)
    finally:
        connection.execute("COMMIT")
    return [
        Change(item_id, attributes, tuple(found.get(key, ())), expire_time_us)
        for key, item_id, attributes, expire_time_us, _ in rows
    ], reached


def last_sequence(connection: sqlite3.Connection) -> int:
    """The number of the last write."""
    (value,) = connection.execute("SELECT value FROM counters WHERE name = 'sequence'").fetchone()
    return int(value)
