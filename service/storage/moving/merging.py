"""Makes a table of one store equal to that of another, and counts what it has read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import NamedTuple, Protocol

from service.storage.moving.moved_tables import MovedTable, TableRow

# Bounds of what one transaction writes, and so of the memory that its rows take.
BATCH_ROWS = 10_000
BATCH_BYTES = 16 * 1024 * 1024

# Rows between two reports of the progress.
ROWS_PER_REPORT = 10_000


class RowTarget(Protocol):
    """Tables that are made equal to others."""

    def read_rows(self, table: MovedTable) -> Iterator[TableRow]:
        """Yield the rows of a table as of this moment, in the order of their keys."""

    def replace(self, table: MovedTable, keys: list[TableRow], rows: list[TableRow]) -> None:
        """Delete rows by their keys, and insert others, in one transaction.

        A row of the table that has a unique value of an inserted row gives way to it.
        """

    def append(self, table: MovedTable, rows: list[TableRow]) -> None:
        """Insert rows, none of which the table has, in one transaction."""


class TableSummary(NamedTuple):
    """The number of rows, and the SHA-256 of all their values in the order of the keys."""

    rows: int
    checksum: str


class TableDigest:
    """Counts rows and computes their checksum."""

    def __init__(self) -> None:
        self._count = 0
        self._hash = sha256()

    def follow(self, rows: Iterator[TableRow]) -> Iterator[TableRow]:
        """Yield rows, all of which count."""
        for row in rows:
            self._count += 1
            # The form of a value is the same for each value of its type, and has no loss.
            self._hash.update(repr(row).encode())
            yield row

    def summarize(self) -> TableSummary:
        """Return the summary of the rows so far."""
        return TableSummary(self._count, self._hash.hexdigest())


def summarize_rows(rows: Iterator[TableRow]) -> TableSummary:
    """Read rows to their end, and return their summary."""
    digest = TableDigest()
    for _ in digest.follow(rows):
        pass
    return digest.summarize()


def merge_table(
    table: MovedTable,
    rows: Iterator[TableRow],
    target: RowTarget,
    report: Callable[[int, int], None],
) -> int:
    """Make a table of the target equal to the rows of the source.

    Args:
        table: the table.
        rows: of the source, in the order of their keys.
        target: has the other table.
        report: called with the number of rows of the source so far, and of those that were written
            or deleted.

    Returns:
        The number of rows that were written or deleted.
    """
    size = len(table.key)
    batch = _Batch(table, target)
    old_rows = target.read_rows(table)
    old = next(old_rows, None)
    for count, row in enumerate(rows, 1):
        while old is not None and old[:size] < row[:size]:
            batch.change(old[:size], None)
            old = next(old_rows, None)
        if old is None:
            batch.append(row)
        elif old[:size] != row[:size]:
            batch.change(None, row)
        else:
            if old != row:
                batch.change(old[:size], row)
            old = next(old_rows, None)
        if not count % ROWS_PER_REPORT:
            report(count, batch.changed_rows)
    while old is not None:
        batch.change(old[:size], None)
        old = next(old_rows, None)
    batch.flush()
    return batch.changed_rows


class _Batch:
    """Collects the changes of a table until they are enough for a transaction."""

    def __init__(self, table: MovedTable, target: RowTarget) -> None:
        self.changed_rows = 0
        self._table = table
        self._target = target
        self._keys: list[TableRow] = []
        self._rows: list[TableRow] = []
        self._appended_rows: list[TableRow] = []
        self._bytes = 0

    def change(self, key: TableRow | None, row: TableRow | None) -> None:
        """Delete the row of a key, and insert another one in its place; None for neither."""
        if key is not None:
            self._keys.append(key)
        if row is not None:
            self._rows.append(row)
        self._count(key if row is None else row)

    def append(self, row: TableRow) -> None:
        """Insert a row whose key is higher than all that the target has had."""
        self._appended_rows.append(row)
        self._count(row)

    def flush(self) -> None:
        """Write the changes. Rows that are replaced make room for those that are appended."""
        if self._keys or self._rows:
            self._target.replace(self._table, self._keys, self._rows)
        if self._appended_rows:
            self._target.append(self._table, self._appended_rows)
        self._keys, self._rows, self._appended_rows, self._bytes = [], [], [], 0

    def _count(self, row: TableRow | None) -> None:
        self.changed_rows += 1
        self._bytes += sum(len(value) for value in row or () if isinstance(value, str | bytes))
        changes = len(self._keys) + len(self._rows) + len(self._appended_rows)
        if changes >= BATCH_ROWS or self._bytes >= BATCH_BYTES:
            self.flush()
