"""Connections to a database as the stores use them, whichever database it is.

The stores write their SQL once, in what SQLite and PostgreSQL have in common. Parameters are `?` or
`:name`, and `SELECT value FROM json_each(?)` lists the values of a JSON array. What the databases
express in different ways is translated by `service.storage.postgres.dialect`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

Parameters = Sequence[Any] | Mapping[str, Any]


class Cursor(Protocol):
    """The result of a statement."""

    @property
    def rowcount(self) -> int:
        """The number of rows that were inserted, updated or deleted."""

    def fetchone(self) -> Any:  # noqa: ANN401  (a row is a tuple of any values, or None)
        """Return the next row as a tuple, or None if there is none."""

    def fetchall(self) -> list[Any]:
        """Return the remaining rows."""

    def __iter__(self) -> Iterator[Any]: ...


class Connection(Protocol):
    """Runs statements in the transaction of a write or a read."""

    def execute(self, sql: str, parameters: Parameters = (), /) -> Cursor:
        """Run a statement."""

    def executemany(self, sql: str, parameters: Iterable[Parameters], /) -> Cursor:
        """Run a statement once for each set of parameters; `rowcount` is the sum of all."""
