"""The shared indexes of generations, and the corpus statistics that go with them.

No method takes a sequence number: the writer of the indexes follows the sequence, and would never
rest if its own notes raised it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from service.domain.generations import Generation
from service.domain.index_kinds import IndexKind
from service.domain.items import BEGINNING, Anchor
from service.domain.shared_indexes import SharedIndexRecord, SharedIndexState
from service.storage.database import REMOVED_STATES, Database
from service.storage.sql import Connection
from service.storage.writer import Transaction

_COLUMNS = """generation_id, version, state, reached, anchor_sequence, anchor_token, target,
    item_count, dropped_us"""

# The generations whose catalogs use a shared index, or will use one.
_USED_GENERATIONS = f"""
    SELECT generation_id FROM generations JOIN catalogs USING (catalog_id)
    WHERE state NOT IN {REMOVED_STATES}
    AND (index_kind = '{IndexKind.SHARED.value}' OR next_index_kind = '{IndexKind.SHARED.value}')
"""


class SharedIndexStore:
    """What the database records of collections in another one.

    Every method can raise StoreUnavailable and StoreCorrupted, and those that write also Overloaded
    and StoreFull.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, generation: Generation) -> SharedIndexRecord | None:
        """Return the shared index of a generation, or None if it has none."""
        records = await self._list_where("generation_id = ?", generation.generation_id)
        return records[0] if records else None

    async def list_all(self) -> Sequence[SharedIndexRecord]:
        """Return all shared indexes, also those that nothing uses, by generation id."""
        return await self._list_where("TRUE")

    async def list_unused(self) -> Sequence[SharedIndexRecord]:
        """Return the shared indexes that no catalog uses or changes to, by generation id.

        Their generation was removed or is being removed, or their catalog has another index.
        """
        return await self._list_where(f"generation_id NOT IN ({_USED_GENERATIONS})")

    async def start_build(self, generation: Generation, target: int) -> SharedIndexRecord:
        """Record an empty index of the next version in place of the former one.

        Args:
            generation: the generation. The index of a removed one is listed as unused.
            target: the sequence number at which the index is ready.
        """

        def operation(transaction: Transaction) -> SharedIndexRecord:
            row = transaction.connection.execute(
                f"""INSERT INTO shared_indexes ({_COLUMNS}) VALUES (?, 1, ?, 0, ?, ?, ?, 0, NULL)
                    ON CONFLICT (generation_id) DO UPDATE SET
                    version = shared_indexes.version + 1, state = excluded.state,
                    reached = excluded.reached, anchor_sequence = excluded.anchor_sequence,
                    anchor_token = excluded.anchor_token, target = excluded.target,
                    item_count = excluded.item_count, dropped_us = excluded.dropped_us
                    RETURNING {_COLUMNS}""",
                (generation.generation_id, SharedIndexState.BUILDING.value, *BEGINNING, target),
            ).fetchone()
            return _read_row(*row)

        return await self._database.write(operation)

    async def note_progress(
        self, record: SharedIndexRecord, reached: int, anchor: Anchor, item_count: int
    ) -> bool:
        """Note what an index has; it is ready once it has reached its target.

        Args:
            record: the index.
            reached: it has all changes up to this sequence number.
            anchor: the place in the store's history at `reached`.
            item_count: the number of its items that can be found.

        Returns:
            False if another version has replaced it, or if it was removed; then nothing changes.
        """

        def operation(transaction: Transaction) -> bool:
            changed_count = transaction.connection.execute(
                """UPDATE shared_indexes SET reached = :reached,
                   anchor_sequence = :anchor_sequence, anchor_token = :anchor_token,
                   item_count = :item_count,
                   state = CASE WHEN target <= :reached THEN :ready ELSE state END
                   WHERE generation_id = :generation_id AND version = :version""",
                {
                    "reached": reached,
                    "anchor_sequence": anchor.sequence,
                    "anchor_token": anchor.token,
                    "item_count": item_count,
                    "ready": SharedIndexState.READY.value,
                    "generation_id": record.generation_id,
                    "version": record.version,
                },
            ).rowcount
            return changed_count == 1

        return await self._database.write(operation)

    async def mark_dropped(self, record: SharedIndexRecord) -> None:
        """Note that an index is not used any more, unless that is noted or it was replaced."""

        def operation(transaction: Transaction) -> None:
            transaction.connection.execute(
                """UPDATE shared_indexes SET dropped_us = ?
                   WHERE generation_id = ? AND version = ? AND dropped_us IS NULL""",
                (transaction.shared_time_us, record.generation_id, record.version),
            )

        await self._database.write(operation)

    async def mark_used(self, record: SharedIndexRecord) -> None:
        """Note that a process uses an index that was marked as unused, unless it was replaced."""

        def operation(transaction: Transaction) -> None:
            transaction.connection.execute(
                """UPDATE shared_indexes SET dropped_us = NULL
                   WHERE generation_id = ? AND version = ?""",
                (record.generation_id, record.version),
            )

        await self._database.write(operation)

    async def remove(self, record: SharedIndexRecord) -> None:
        """Remove the record of an index whose collection is deleted, unless it was replaced."""

        def operation(transaction: Transaction) -> None:
            transaction.connection.execute(
                "DELETE FROM shared_indexes WHERE generation_id = ? AND version = ?",
                (record.generation_id, record.version),
            )

        await self._database.write(operation)

    async def get_statistics_version(self, generation: Generation) -> int:
        """Return the version of the corpus statistics of a generation, 0 if it has none."""
        row = await self._database.read(
            lambda connection: connection.execute(
                "SELECT version FROM corpus_statistics WHERE generation_id = ?",
                (generation.generation_id,),
            ).fetchone()
        )
        return 0 if row is None else int(row[0])

    async def read_statistics(self, generation: Generation) -> tuple[int, bytes] | None:
        """Return the corpus statistics of a generation with their version, or None without any."""
        row = await self._database.read(
            lambda connection: connection.execute(
                "SELECT version, statistics FROM corpus_statistics WHERE generation_id = ?",
                (generation.generation_id,),
            ).fetchone()
        )
        return None if row is None else (int(row[0]), bytes(row[1]))

    async def write_statistics(self, generation: Generation, statistics: bytes) -> int:
        """Replace the corpus statistics of a generation.

        Returns:
            Their version, one above that of the former ones. It is 0 if the generation was removed
            or is being removed; then nothing changes.
        """

        def operation(transaction: Transaction) -> int:
            row = transaction.connection.execute(
                f"""INSERT INTO corpus_statistics (generation_id, version, statistics)
                    SELECT generation_id, 1, ? FROM generations
                    WHERE generation_id = ? AND state NOT IN {REMOVED_STATES}
                    ON CONFLICT (generation_id) DO UPDATE SET
                    version = corpus_statistics.version + 1, statistics = excluded.statistics
                    RETURNING version""",
                (statistics, generation.generation_id),
            ).fetchone()
            return 0 if row is None else int(row[0])

        return await self._database.write(operation)

    async def _list_where(self, condition: str, *parameters: int) -> Sequence[SharedIndexRecord]:
        def query(connection: Connection) -> Sequence[SharedIndexRecord]:
            rows = connection.execute(
                f"""SELECT {_COLUMNS} FROM shared_indexes
                    WHERE {condition} ORDER BY generation_id""",
                parameters,
            )
            return [_read_row(*row) for row in rows.fetchall()]

        return await self._database.read(query)


def _read_row(*row: Any) -> SharedIndexRecord:  # noqa: ANN401
    generation_id, version, state, reached, anchor_sequence, anchor_token, *numbers = row
    target, item_count, dropped_us = numbers
    return SharedIndexRecord(
        generation_id,
        version,
        SharedIndexState(state),
        reached,
        Anchor(anchor_sequence, anchor_token),
        target,
        item_count,
        dropped_us,
    )
