"""How often recommendations led to interactions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from service.domain.generations import Generation
from service.domain.recommendation_ids import (
    US_PER_DAY,
    IdentifiedResponse,
    ResponseKind,
    SignalKind,
    SourceKind,
)
from service.domain.stats import ClickThrough
from service.storage.database import Database
from service.storage.row_deletion import ROWS_PER_ROUND, delete_first_rows
from service.storage.sql import Connection
from service.storage.writer import Transaction

# Days in the sums, the present one included, as the contract says.
SUMMED_DAYS = 30

# Days that stay on disk before the present one. Interactions that name older responses count no
# more.
RETENTION_DAYS = 31


class ClickThroughStore:
    """The counts of responses with recommendations on disk, by kind and day.

    Every method can raise StoreUnavailable and StoreCorrupted, and those that write also Overloaded
    and StoreFull.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add_responses(self, counts: Mapping[ResponseKind, int]) -> None:
        """Add numbers of responses; those of deleted catalogs are ignored."""

        def operation(transaction: Transaction) -> None:
            transaction.connection.executemany(
                """INSERT INTO click_through (catalog_id, day, source, signals, response_count)
                   SELECT catalog_id, ?, ?, ?, ? FROM catalogs
                   WHERE catalog_id = ? AND name IS NOT NULL
                   ON CONFLICT (catalog_id, day, source, signals) DO UPDATE SET
                   response_count = click_through.response_count + excluded.response_count""",
                (
                    (kind.day, kind.source, kind.signals, count, kind.catalog_id)
                    for kind, count in counts.items()
                ),
            )

        await self._database.write(operation, len(counts))

    async def sum_days(self, generation: Generation) -> Sequence[ClickThrough]:
        """Return the sums of the last days of a catalog, by source and signals."""
        first_day = self._database.now_us() // US_PER_DAY - SUMMED_DAYS + 1

        def query(connection: Connection) -> Sequence[ClickThrough]:
            rows = connection.execute(
                """SELECT source, signals, CAST(sum(response_count) AS BIGINT),
                       CAST(sum(clicked_response_count) AS BIGINT)
                   FROM click_through WHERE catalog_id = ? AND day >= ?
                   GROUP BY source, signals ORDER BY source, signals""",
                (generation.catalog_id, first_day),
            )
            return [
                ClickThrough(SourceKind(source), SignalKind(signals), responses, clicked_responses)
                for source, signals, responses, clicked_responses in rows
            ]

        return await self._database.read(query)

    async def remove_old_days(self) -> bool:
        """Remove a round of rows of old days; return False if there are none."""

        def operation(transaction: Transaction) -> bool:
            connection, first_day = transaction.connection, _find_first_day(transaction)
            catalogs = connection.execute("SELECT catalog_id FROM catalogs").fetchall()
            return any(
                delete_first_rows(connection, table, {"catalog_id": catalog_id}, first_day)
                for (catalog_id,) in catalogs
                for table in ("click_through", "clicked_responses")
            )

        return await self._database.write(operation, ROWS_PER_ROUND)


def count_click(transaction: Transaction, response: IdentifiedResponse) -> bool:
    """Count a response as clicked.

    Returns:
        False if the response is counted already, is too old or had no recommendations.
    """
    kind = response.kind
    if not response.has_recommendations or kind.day < _find_first_day(transaction):
        return False
    is_new = transaction.connection.execute(
        """INSERT INTO clicked_responses (catalog_id, day, number) VALUES (?, ?, ?)
           ON CONFLICT DO NOTHING""",
        (kind.catalog_id, kind.day, response.number),
    ).rowcount
    if not is_new:
        return False
    transaction.connection.execute(
        """INSERT INTO click_through (catalog_id, day, source, signals, clicked_response_count)
           VALUES (?, ?, ?, ?, 1)
           ON CONFLICT (catalog_id, day, source, signals) DO UPDATE SET
           clicked_response_count = click_through.clicked_response_count + 1""",
        kind,
    )
    return True


def _find_first_day(transaction: Transaction) -> int:
    """Return the first day that stays on disk."""
    return transaction.shared_time_us // US_PER_DAY - RETENTION_DAYS
