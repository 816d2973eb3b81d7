"""Tables of other applications, which commands read."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
from psycopg import sql
from psycopg.rows import dict_row
from psycopg.types.string import TextLoader

# Types that are not read: vectors of pgvector, bytes and search indexes.
_SKIPPED_TYPES = ["vector", "halfvec", "sparsevec", "bytea", "tsvector"]

# Rows that the server sends at once.
_PAGE_ROWS = 500

_CONNECT_SECONDS = 10

_COLUMNS = """
    SELECT attname FROM pg_attribute JOIN pg_type ON pg_type.oid = atttypid
    WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped AND typname != ALL(%s)
    ORDER BY attnum
"""


class ForeignTableError(Exception):
    """The table cannot be read; the message is one sentence."""


def read_table(address: str, table: str) -> Iterator[dict[str, object]]:
    """Yield the rows of a table or view as of one moment, without vectors and bytes.

    Args:
        address: connection string of the database.
        table: name of the table as in SQL, optionally with its schema.

    Raises:
        ForeignTableError: the server cannot be reached, or the table cannot be read.
    """
    try:
        with psycopg.connect(address, connect_timeout=_CONNECT_SECONDS) as connection:
            connection.adapters.register_loader("uuid", TextLoader)
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            columns = [
                sql.Identifier(name)
                for (name,) in connection.execute(_COLUMNS, (table, _SKIPPED_TYPES))
            ]
            # The server checked the name, and quotes it where it must.
            (name,) = connection.execute("SELECT %s::regclass::text", (table,)).fetchone() or ("",)
            query = sql.SQL("SELECT {} FROM {}").format(sql.SQL(", ").join(columns), sql.SQL(name))
            with connection.cursor("akin_import", row_factory=dict_row) as cursor:
                cursor.itersize = _PAGE_ROWS
                yield from cursor.execute(query)
    except psycopg.Error as exc:
        raise ForeignTableError(str(exc).partition("\n")[0]) from exc
