"""Tables of PostgreSQL, such as those of pgvector. They need psycopg, which is an extra."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import parse_qsl, urlencode

from service.cli.formats.rows import FileError, PackageMissing
from service.cli.sources.point_mapping import SourcePoint

_ID = "id"


def read_postgres(server: str, query: str, *, with_vectors: bool) -> Iterator[SourcePoint]:
    """Yield the rows of a table; columns of vectors are no fields.

    Args:
        server: the connection string without parameters.
        query: the parameters: `table=NAME`, and those of the connection.
        with_vectors: read the only column of vectors, too.

    Raises:
        FileError: psycopg is not installed, no table is named, or it cannot be read.
    """
    try:
        from service.storage.postgres import foreign_tables  # noqa: PLC0415  (an extra)
    except ImportError as exc:
        raise PackageMissing("PostgreSQL needs", "psycopg", "postgres", exc) from exc
    parameters = dict(parse_qsl(query))
    table = parameters.pop("table", "")
    if not table:
        raise FileError("no table is named; add ?table=NAME")
    address = f"{server}?{urlencode(parameters)}" if parameters else server
    try:
        for row in foreign_tables.read_table(address, table, with_vectors=with_vectors):
            vectors = [] if row.vector is None else [row.vector]
            yield SourcePoint(row.columns.get(_ID), row.columns, vectors)
    except foreign_tables.ForeignTableError as exc:
        raise FileError(f"PostgreSQL cannot be read: {exc}") from exc
