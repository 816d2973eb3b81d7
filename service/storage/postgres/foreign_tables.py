"""Tables of other applications, which commands read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import psycopg
from psycopg import sql
from psycopg.types.string import TextLoader

# Types of pgvector whose values are lists of numbers.
_VECTOR_TYPES = ["vector", "halfvec"]

# Types that are no columns of a row: vectors of pgvector, bytes and search indexes.
_SKIPPED_TYPES = [*_VECTOR_TYPES, "sparsevec", "bytea", "tsvector"]

# Rows that the server sends at once.
_PAGE_ROWS = 500

_CONNECT_SECONDS = 10

_COLUMNS = """
    SELECT attname, typname FROM pg_attribute JOIN pg_type ON pg_type.oid = atttypid
    WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum
"""


class ForeignTableError(Exception):
    """The table cannot be read; the message is one sentence."""


class ForeignRow(NamedTuple):
    """The columns of a row by name, and its vector if it was requested and is not null."""

    columns: dict[str, object]
    vector: list[float] | None


def read_table(address: str, table: str, *, with_vectors: bool = False) -> Iterator[ForeignRow]:
    """Yield the rows of a table or view as of one moment, without bytes.

    Args:
        address: connection string of the database.
        table: name of the table as in SQL, optionally with its schema.
        with_vectors: read the only column of vectors, too.

    Raises:
        ForeignTableError: the server cannot be reached, the table cannot be read, or it does not
            have exactly one column of vectors if they are requested.
    """
    try:
        with psycopg.connect(address, connect_timeout=_CONNECT_SECONDS) as connection:
            connection.adapters.register_loader("uuid", TextLoader)
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            types: dict[str, str] = dict(connection.execute(_COLUMNS, (table,)).fetchall())
            names = [name for name, kind in types.items() if kind not in _SKIPPED_TYPES]
            vector: sql.Composable = _select_vector(types) if with_vectors else sql.NULL
            columns = [*map(sql.Identifier, names), vector]
            # The server checked the name, and quotes it where it must.
            (name,) = connection.execute("SELECT %s::regclass::text", (table,)).fetchone() or ("",)
            query = sql.SQL("SELECT {} FROM {}").format(sql.SQL(", ").join(columns), sql.SQL(name))
            with connection.cursor("akin_import") as cursor:
                cursor.itersize = _PAGE_ROWS
                for *values, own in cursor.execute(query):
                    yield ForeignRow(dict(zip(names, values, strict=True)), own)
    except psycopg.Error as exc:
        raise ForeignTableError(str(exc).partition("\n")[0]) from exc


def _select_vector(types: Mapping[str, str]) -> sql.Composable:
    """Return the expression of the only column of vectors, as an array.

    Raises:
        ForeignTableError: there is not exactly one such column.
    """
    names = [name for name, kind in types.items() if kind in _VECTOR_TYPES]
    if len(names) != 1:
        columns = f"has several: {', '.join(names)}" if names else "has none"
        raise ForeignTableError(f"--vectors needs one column of vectors, and the table {columns}")
    return sql.SQL("CAST({} AS real[])").format(sql.Identifier(names[0]))
