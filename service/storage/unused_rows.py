"""The removal of what nothing needs any more: tombstones, and vectors that nothing refers to.

A tombstone is needed until every follower of its catalog has passed it. `purged_sequence` of the
catalog tells a follower that comes later. A vector that lost its last reference is needed if its
text comes back; how long it is worth keeping depends on what the vector cost. Vectors that callers
gave are noted as unused since the beginning of time.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from service.domain.spaces import LOCAL_PROVIDER
from service.storage.database import Database, ReadKind
from service.storage.sql import Connection
from service.storage.writer import Transaction

# Tombstones removed in one transaction; they delay other writes by about 5 ms.
TOMBSTONES_PER_ROUND = 500

# Vectors removed in one transaction, likewise. Each of them is also in an index by random hashes.
VECTORS_PER_ROUND = 200


class UnusedRowStore:
    """Tombstones and unused vectors on disk.

    Every method can raise StoreUnavailable and StoreCorrupted, and those that write also Overloaded
    and StoreFull.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def count_tombstones(self) -> Mapping[int, int]:
        """Return the number of tombstones of each catalog that has any, by catalog id."""

        def query(connection: Connection) -> Mapping[int, int]:
            return dict(
                connection.execute(
                    "SELECT catalog_id, count(*) FROM items WHERE deleted GROUP BY catalog_id"
                ).fetchall()
            )

        return await self._database.read(query, ReadKind.SCAN)

    async def remove_tombstones(self, catalog_id: int, up_to: int, min_age_us: int = 0) -> int:
        """Remove a round of a catalog's tombstones; return their number.

        Args:
            catalog_id: the catalog.
            up_to: the sequence number that all followers have reached.
            min_age_us: the time in microseconds for which followers in other processes can need a
                tombstone.
        """

        def operation(transaction: Transaction) -> int:
            connection = transaction.connection
            rows = connection.execute(
                """SELECT item_key, change_sequence FROM items
                   WHERE catalog_id = ? AND deleted AND change_sequence <= ?
                   AND update_time_us <= ? ORDER BY change_sequence LIMIT ?""",
                (catalog_id, up_to, transaction.shared_time_us - min_age_us, TOMBSTONES_PER_ROUND),
            ).fetchall()
            if rows:
                connection.executemany(
                    "DELETE FROM items WHERE item_key = ?", ((item_key,) for item_key, _ in rows)
                )
                connection.execute(
                    """UPDATE catalogs SET purged_sequence = ?
                       WHERE catalog_id = ? AND purged_sequence < ?""",
                    (rows[-1][1], catalog_id, rows[-1][1]),
                )
            return len(rows)

        return await self._database.write(operation)

    async def remove_unused_vectors(self, now_us: int, retention_us: int) -> tuple[int, bool]:
        """Remove a round of vectors that nothing refers to.

        Args:
            now_us: the present time in microseconds; vectors noted later stay. So do those that are
                not old enough by the clock that all processes share.
            retention_us: the time in microseconds for which unused vectors of a provider are kept,
                because they cost money. Those of the local model are not kept.

        Returns:
            The number of removed vectors, and whether there may be more of them.
        """

        def operation(transaction: Transaction) -> tuple[int, bool]:
            connection = transaction.connection
            present_us = min(now_us, transaction.shared_time_us)
            spaces = connection.execute("SELECT space_id, fingerprint FROM spaces").fetchall()
            for space_id, fingerprint in spaces:
                is_local = json.loads(fingerprint)["provider"] == LOCAL_PROVIDER
                before_us = present_us - (0 if is_local else retention_us)
                rows = connection.execute(
                    """SELECT vector_id FROM unused_vectors WHERE space_id = ? AND since_us <= ?
                       ORDER BY since_us LIMIT ?""",
                    (space_id, before_us, VECTORS_PER_ROUND),
                ).fetchall()
                if rows:
                    ids = json.dumps([vector_id for (vector_id,) in rows])
                    return _remove_vectors(connection, ids), True
            return 0, False

        return await self._database.write(operation)


def _remove_vectors(connection: Connection, ids: str) -> int:
    """Remove vectors that were noted as unused and still are; return their number."""
    removed = connection.execute(
        """DELETE FROM vectors WHERE vector_id IN (SELECT CAST(value AS BIGINT) FROM json_each(?))
           AND NOT EXISTS (SELECT 1 FROM item_vectors
               WHERE item_vectors.vector_id = vectors.vector_id)
           AND NOT EXISTS (SELECT 1 FROM user_vectors
               WHERE user_vectors.vector_id = vectors.vector_id)""",
        (ids,),
    ).rowcount
    # The others are used again. Losing their last reference notes them again.
    connection.execute(
        """DELETE FROM unused_vectors
           WHERE vector_id IN (SELECT CAST(value AS BIGINT) FROM json_each(?))""",
        (ids,),
    )
    return removed
