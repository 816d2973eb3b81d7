"""Moves a store: copies it while servers write to it, and finishes once they have stopped.

A pass reads every row of both stores in the order of the keys, and writes the rows that differ. So
the target itself tells how far a move has come: after an interruption, the next pass copies only
what is missing. No table needs numbers of its changes, and rows that were deleted disappear.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

from service import errors
from service.storage.moving.merging import (
    RowTarget,
    TableDigest,
    TableSummary,
    merge_table,
    summarize_rows,
)
from service.storage.moving.moved_tables import MOVED_TABLES, MovedTable, TableRow

# A pass that wrote no more rows has caught up: the last one, without writers, writes about as many.
CAUGHT_UP_ROWS = 1_000

# Passes after which a copy ends even if writers change more rows than that during each.
MAX_PASSES = 10


class SourceMoment(Protocol):
    """The source as of one moment."""

    store_id: str
    sequence: int

    @property
    def columns(self) -> Mapping[str, tuple[str, ...]]:
        """The columns of each table, in the order of a row's values."""

    def read_rows(self, table: MovedTable) -> Iterator[TableRow]:
        """Yield the rows of a table in the order of their keys."""

    def read_last_numbers(self) -> Mapping[str, int]:
        """Return the highest number that each numbered table has ever given to a row."""


class MoveSource(Protocol):
    """The store that is moved."""

    def open_moment(self) -> AbstractContextManager[SourceMoment]:
        """Open the source as of this moment.

        Raises:
            StoreUnavailable: it is itself the target of an unfinished move.
        """

    def exclude_servers(self) -> AbstractContextManager[Callable[[], None]]:
        """Keep all servers from writing; yield what raises StoreUnavailable if one could have.

        Raises:
            FolderInUse: a server uses the store.
        """


class MoveTarget(RowTarget, Protocol):
    """The store that the data moves to."""

    def begin(self, moment: SourceMoment) -> None:
        """Begin a move, or go on with one. From now on no server uses the store.

        Raises:
            StoreUnavailable: the store is neither empty nor the target of an unfinished move of
                this source. Nothing was written.
        """

    def finish(self, moment: SourceMoment) -> None:
        """End the move: the store is complete, and servers can use it."""


class Progress(NamedTuple):
    """What a move is doing.

    Attributes:
        number: of the pass; 0 for the final check.
        table: the name of the table.
        rows: the rows of the table that it has read.
        changed_rows: those that it has written or deleted.
    """

    number: int
    table: str
    rows: int
    changed_rows: int


class MoveResult(NamedTuple):
    """What a move has done.

    Attributes:
        passes: how often it compared the stores.
        changed_rows: the rows of the target that it wrote or deleted.
        last_changed_rows: those in the last pass.
        sequence: of the last write in the target.
        tables: the rows of the source in the last pass, by table.
    """

    passes: int
    changed_rows: int
    last_changed_rows: int
    sequence: int
    tables: Mapping[str, TableSummary]


def copy_store(
    source: MoveSource, target: MoveTarget, report: Callable[[Progress], None]
) -> MoveResult:
    """Copy a store until the target has nearly all of it. Servers can write to the source.

    Raises:
        StoreUnavailable, FolderInUse: a store cannot be used; as `MoveTarget.begin` raises it.
    """
    changed_rows = 0
    for number in range(1, MAX_PASSES + 1):
        with source.open_moment() as moment:
            target.begin(moment)
            changes, tables = _run_pass(moment, target, number, report)
        changed_rows += changes.total()
        if changes.total() <= CAUGHT_UP_ROWS:
            break
    return MoveResult(number, changed_rows, changes.total(), moment.sequence, tables)


def finish_move(
    source: MoveSource, target: MoveTarget, report: Callable[[Progress], None]
) -> MoveResult:
    """Copy what is missing, compare both stores, and make the target one that servers can use.

    Raises:
        FolderInUse: a server uses the source.
        StoreUnavailable: a store cannot be used; as `MoveTarget.begin` raises it.
        StoreCorrupted: the target differs from the source after the copy.
    """
    with source.exclude_servers() as confirm, source.open_moment() as moment:
        target.begin(moment)
        changes, tables = _run_pass(moment, target, 1, report)
        # The pass has compared each row of the other tables.
        for name in changes:
            _check_copy(target, name, tables[name], report)
        confirm()
        target.finish(moment)
    return MoveResult(1, changes.total(), changes.total(), moment.sequence, tables)


def _run_pass(
    moment: SourceMoment, target: MoveTarget, number: int, report: Callable[[Progress], None]
) -> tuple[Counter[str], Mapping[str, TableSummary]]:
    """Make all tables equal.

    Returns:
        The number of rows that were written or deleted, by the names of the tables that had any;
        and the rows of the source, by table.
    """
    changes: Counter[str] = Counter()
    tables: dict[str, TableSummary] = {}
    for table in MOVED_TABLES:
        name = table.name
        report(Progress(number, name, 0, 0))

        def report_rows(rows: int, changed: int, name: str = name) -> None:
            report(Progress(number, name, rows, changed))

        digest = TableDigest()
        rows = digest.follow(moment.read_rows(table))
        changed_rows = merge_table(table, rows, target, report_rows)
        if changed_rows:
            changes[name] = changed_rows
        tables[name] = digest.summarize()
    return changes, tables


def _check_copy(
    target: MoveTarget, name: str, expected: TableSummary, report: Callable[[Progress], None]
) -> None:
    """Read what was written to a table of the target, and compare it with the source.

    Raises:
        StoreCorrupted: it differs.
    """
    report(Progress(0, name, 0, 0))
    table = next(table for table in MOVED_TABLES if table.name == name)
    copied = summarize_rows(target.read_rows(table))
    if copied != expected:
        raise errors.StoreCorrupted(
            f"the copy of the table {name} differs from the source: it has {copied.rows} rows with "
            f"the checksum {copied.checksum}, and the source {expected.rows} rows with "
            f"{expected.checksum}"
        )
