"""The SQL of items and their vectors. All of it runs inside a connection's thread.

An item whose time has come counts as gone from that microsecond on, whether it was swept or not.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from service import errors
from service.domain.values import Item, ItemState, StoredItem
from service.storage.values import Change, ItemPage, ItemWrite, Passage
from service.storage.writer import Transaction

_COLUMNS = """items.item_id, items.text, items.attributes, items.expire_time_us, items.sequence,
    items.update_time_us, pending.reason"""
_LIVE = "NOT items.deleted AND (items.expire_time_us IS NULL OR items.expire_time_us > :now_us)"
_VARIABLES_PER_STATEMENT = 500


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
    connection: sqlite3.Connection, catalog_id: int, item_ids: Sequence[str], now_us: int
) -> dict[str, StoredItem]:
    """The live ones among `item_ids`."""
    found: dict[str, StoredItem] = {}
    for start in range(0, len(item_ids), _VARIABLES_PER_STATEMENT):
        some = item_ids[start : start + _VARIABLES_PER_STATEMENT]
        names = {f"id{number}": item_id for number, item_id in enumerate(some)}
        rows = connection.execute(
            f"""SELECT {_COLUMNS} FROM items LEFT JOIN pending USING (item_key)
                WHERE catalog_id = :catalog_id AND {_LIVE}
                AND item_id IN ({",".join(f":{name}" for name in names)})""",
            {"catalog_id": catalog_id, "now_us": now_us, **names},
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
    catalog_id: int,
    after: str,
    limit: int,
    max_bytes: int,
    now_us: int,
) -> ItemPage:
    """Up to `limit` live items with ids beyond `after`, ascending, closed beyond `max_bytes`."""
    rows = connection.execute(
        f"""SELECT {_COLUMNS} FROM items LEFT JOIN pending USING (item_key)
            WHERE catalog_id = :catalog_id AND item_id > :after AND {_LIVE}
            ORDER BY item_id LIMIT :limit""",
        {"catalog_id": catalog_id, "after": after, "limit": limit + 1, "now_us": now_us},
    )
    found, more = _cut(rows, limit, max_bytes)
    return ItemPage(found, count(connection, catalog_id, now_us), more)


def named(
    connection: sqlite3.Connection,
    catalog_id: int,
    item_ids: Sequence[str],
    max_bytes: int,
    now_us: int,
) -> tuple[list[StoredItem], bool]:
    """The live ones among `item_ids`, ascending, and whether there were more beyond `max_bytes`."""
    rows = connection.execute(
        f"""SELECT {_COLUMNS} FROM items LEFT JOIN pending USING (item_key)
            WHERE catalog_id = :catalog_id AND {_LIVE}
            AND item_id IN (SELECT value FROM json_each(:ids)) ORDER BY item_id""",
        {"catalog_id": catalog_id, "now_us": now_us, "ids": json.dumps(item_ids)},
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
    transaction: Transaction, catalog_id: int, space_id: int, write: ItemWrite
) -> StoredItem:
    """Stores one item; while its vector is pending, the old one goes on serving."""
    item, connection = write.item, transaction.connection
    vector_ids = vector_ids_of(connection, space_id, write.passages)
    sequence = transaction.next_sequence()
    (item_key,) = connection.execute(
        """INSERT INTO items (catalog_id, item_id, text, attributes, expire_time_us, vector_id,
               sequence, change_sequence, update_time_us, deleted)
           VALUES (:catalog_id, :item_id, :text, :attributes, :expire_time_us, :vector_id,
               :sequence, :sequence, :now_us, 0)
           ON CONFLICT (catalog_id, item_id) DO UPDATE SET
               text = excluded.text, attributes = excluded.attributes,
               expire_time_us = excluded.expire_time_us,
               vector_id = CASE WHEN items.expire_time_us <= :now_us THEN excluded.vector_id
                   ELSE coalesce(excluded.vector_id, items.vector_id) END,
               sequence = excluded.sequence, change_sequence = excluded.change_sequence,
               update_time_us = excluded.update_time_us, deleted = 0
           RETURNING item_key""",
        {
            "catalog_id": catalog_id,
            "item_id": item.item_id,
            "text": item.text,
            "attributes": json.dumps(item.attributes, ensure_ascii=False),
            "expire_time_us": item.expire_time_us,
            "vector_id": vector_ids[0] if vector_ids else None,
            "sequence": sequence,
            "now_us": transaction.now_us,
        },
    ).fetchone()
    reason = write.pending_reason
    connection.execute("DELETE FROM pending WHERE item_key = ?", (item_key,))
    if vector_ids:
        set_more_vectors(connection, item_key, vector_ids[1:])
    if reason is not None:
        connection.execute(
            "INSERT INTO pending VALUES (?, ?, 0, ?)", (item_key, reason, transaction.now_us)
        )
    state = ItemState.INDEXED if reason is None else ItemState.PENDING
    return StoredItem(item, state, sequence, transaction.now_us, reason or "")


def expect_sequence(transaction: Transaction, catalog_id: int, item_id: str, expected: int) -> None:
    """Checks the item's sequence, 0 standing for no such item.

    Raises:
        SequenceMismatch: it is another.
    """
    found = get(transaction.connection, catalog_id, [item_id], transaction.now_us)
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
               vector_id = NULL, sequence = :sequence, change_sequence = :sequence,
               update_time_us = :now_us, deleted = 1 WHERE item_key = :item_key""",
            {"sequence": sequence, "now_us": transaction.now_us, "item_key": item_key},
        )
        transaction.connection.execute("DELETE FROM pending WHERE item_key = ?", (item_key,))
        set_more_vectors(transaction.connection, item_key, ())
    return sequence


def changes(
    connection: sqlite3.Connection, catalog_id: int, after: int, limit: int
) -> tuple[list[Change], int]:
    """What changed beyond sequence `after`, oldest first, and the sequence this leads up to."""
    connection.execute("BEGIN")  # the counter and the rows must be of one moment
    try:
        rows = connection.execute(
            """SELECT item_key, item_id, iif(deleted, NULL, attributes), vector, expire_time_us,
                   change_sequence FROM items LEFT JOIN vectors USING (vector_id)
               WHERE catalog_id = ? AND change_sequence > ? ORDER BY change_sequence LIMIT ?""",
            (catalog_id, after, limit),
        ).fetchall()
        reached = rows[-1][5] if len(rows) == limit else last_sequence(connection)
        more = _more_vectors(connection, catalog_id, after, reached)
    finally:
        connection.execute("COMMIT")
    return [
        Change(
            item_id,
            attributes,
            () if vector is None else (vector, *more.get(key, ())),
            expire_time_us,
        )
        for key, item_id, attributes, vector, expire_time_us, _ in rows
    ], reached


def last_sequence(connection: sqlite3.Connection) -> int:
    """The number of the last write."""
    (value,) = connection.execute("SELECT value FROM counters WHERE name = 'sequence'").fetchone()
    return int(value)


def insert_vectors(
    connection: sqlite3.Connection, space_id: int, vectors: Mapping[bytes, bytes]
) -> None:
    """Keeps vectors under their texts' hashes; one that is there already stays."""
    connection.executemany(
        "INSERT INTO vectors (space_id, text_hash, vector) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
        ((space_id, key, vector) for key, vector in vectors.items()),
    )


def vector_ids_of(
    connection: sqlite3.Connection, space_id: int, passages: Sequence[Passage]
) -> list[int]:
    """The ids of the passages' vectors, which are stored on the way if they are new."""
    insert_vectors(
        connection, space_id, {each.text_hash: each.vector.tobytes() for each in passages}
    )
    return [
        connection.execute(
            "SELECT vector_id FROM vectors WHERE space_id = ? AND text_hash = ?",
            (space_id, each.text_hash),
        ).fetchone()[0]
        for each in passages
    ]


def set_more_vectors(
    connection: sqlite3.Connection, item_key: int, vector_ids: Sequence[int]
) -> None:
    """Sets the vectors of an item's passages after the first."""
    connection.execute("DELETE FROM more_vectors WHERE item_key = ?", (item_key,))
    connection.executemany(
        "INSERT INTO more_vectors VALUES (?, ?, ?)",
        ((item_key, position, vector_id) for position, vector_id in enumerate(vector_ids, start=1)),
    )


def _more_vectors(
    connection: sqlite3.Connection, catalog_id: int, after: int, reached: int
) -> dict[int, list[bytes]]:
    """By item, the vectors of the passages after the first, of what changed in (after, reached]."""
    found: dict[int, list[bytes]] = {}
    for item_key, vector in connection.execute(
        """SELECT item_key, vector FROM more_vectors
           JOIN items USING (item_key) JOIN vectors ON vectors.vector_id = more_vectors.vector_id
           WHERE catalog_id = ? AND change_sequence > ? AND change_sequence <= ?
           ORDER BY item_key, position""",
        (catalog_id, after, reached),
    ):
        found.setdefault(item_key, []).append(vector)
    return found


def vectors(
    connection: sqlite3.Connection, space_id: int, hashes: Sequence[bytes]
) -> dict[bytes, bytes]:
    """The vectors known for `hashes`."""
    found: dict[bytes, bytes] = {}
    for key in hashes:
        row = connection.execute(
            "SELECT vector FROM vectors WHERE space_id = ? AND text_hash = ?", (space_id, key)
        ).fetchone()
        if row is not None:
            found[key] = row[0]
    return found
