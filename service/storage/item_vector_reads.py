"""Reads the vectors of items, and the hashes of the texts that they are of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, TypeVar

from service.domain.generations import Generation
from service.domain.items import ItemState, StoredItem
from service.domain.own_vectors import OWN_ADDRESS_BYTES
from service.storage.item_rows import IDS_PER_STATEMENT
from service.storage.sql import Connection

_Value = TypeVar("_Value", int, str)


def add_vectors(
    connection: Connection, generation: Generation, items: Sequence[StoredItem], max_bytes: int
) -> list[StoredItem]:
    """Return items with their vectors, up to the item whose vectors exceed `max_bytes`.

    Pending items get none: vectors that still serve are those of a former version.
    """
    ids = [stored.item.item_id for stored in items if stored.state is not ItemState.PENDING]
    sizes = _read_vector_bytes(connection, generation, ids)
    page: list[StoredItem] = []
    size_bytes = 0
    for stored in items:
        if size_bytes > max_bytes:
            break
        page.append(stored)
        size_bytes += sizes.get(stored.item.item_id, 0)
    vectors = read_vectors(
        connection,
        generation,
        [stored.item.item_id for stored in page if stored.item.item_id in sizes],
    )
    return [replace(stored, vectors=vectors.get(stored.item.item_id, ())) for stored in page]


def read_vectors(
    connection: Connection, generation: Generation, item_ids: Sequence[str]
) -> Mapping[str, Sequence[bytes]]:
    """Return the vectors of items in the order of their chunks, as float32 bytes, by id."""
    return _read_chunks(connection, generation, item_ids, "vector")


def read_text_hashes(
    connection: Connection, generation: Generation, item_ids: Sequence[str]
) -> Mapping[str, Sequence[bytes]]:
    """Return the text hashes of the vectors of items in the order of their chunks, by id."""
    return _read_chunks(connection, generation, item_ids, "text_hash")


def read_own_vector_ids(connection: Connection, generation: Generation) -> list[str]:
    """Return the ids of the items whose vectors in a generation callers gave."""
    rows = connection.execute(
        f"""SELECT item_id FROM item_vectors CROSS JOIN vectors USING (vector_id)
            CROSS JOIN items USING (item_key)
            WHERE generation_id = ? AND position = 0
            AND length(text_hash) = {OWN_ADDRESS_BYTES}""",
        (generation.generation_id,),
    )
    return [item_id for (item_id,) in rows]


def _read_vector_bytes(
    connection: Connection, generation: Generation, item_ids: Sequence[str]
) -> Mapping[str, int]:
    """Return how many bytes the vectors of those items have that have any, by id."""
    sizes = _read_chunks(connection, generation, item_ids, "length(vector)")
    return {item_id: sum(item_sizes) for item_id, item_sizes in sizes.items()}


def _read_chunks(
    connection: Connection,
    generation: Generation,
    item_ids: Sequence[str],
    column: Literal["vector", "text_hash", "length(vector)"],
) -> Mapping[str, Sequence[Any]]:
    """Return a column of the vectors of items in the order of their chunks, by id.

    Lists of keys and a nested query find each row by its key. For joins, both databases could read
    the references of all items of the generation.
    """
    values: dict[str, list[Any]] = {}
    ids_by_key = _read_keys(connection, generation, item_ids)
    for keys in _split(list(ids_by_key)):
        for item_key, value in connection.execute(
            f"""SELECT item_key,
                    (SELECT {column} FROM vectors WHERE vectors.vector_id = item_vectors.vector_id)
                FROM item_vectors
                WHERE generation_id = :generation_id AND item_key IN ({_list_names(keys)})
                ORDER BY item_key, position""",
            {"generation_id": generation.generation_id, **keys},
        ):
            values.setdefault(ids_by_key[item_key], []).append(value)
    return values


def _read_keys(
    connection: Connection, generation: Generation, item_ids: Sequence[str]
) -> dict[int, str]:
    """Return the ids of items by their keys."""
    return {
        item_key: item_id
        for ids in _split(item_ids)
        for item_key, item_id in connection.execute(
            f"""SELECT item_key, item_id FROM items
                WHERE catalog_id = :catalog_id AND item_id IN ({_list_names(ids)})""",
            {"catalog_id": generation.catalog_id, **ids},
        )
    }


def _split(values: Sequence[_Value]) -> Iterator[Mapping[str, _Value]]:
    """Yield the values of each statement by the names of its variables."""
    for start in range(0, len(values), IDS_PER_STATEMENT):
        batch = values[start : start + IDS_PER_STATEMENT]
        yield {f"value{number}": value for number, value in enumerate(batch)}


def _list_names(values: Mapping[str, object]) -> str:
    return ",".join(f":{name}" for name in values)
