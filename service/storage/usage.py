"""The tokens and money that embedding used, by day."""

from __future__ import annotations

from collections.abc import Mapping

from service.domain.usage import TokenUsage, format_utc_day
from service.storage.database import Database
from service.storage.sql import Connection
from service.storage.writer import Transaction


class UsageStore:
    """Embedding usage on disk, by day in UTC as YYYY-MM-DD.

    The method can raise StoreUnavailable and StoreCorrupted.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list_days(self, days: int) -> Mapping[str, TokenUsage]:
        """Return the usage of the last `days` days that had any, latest first."""

        def query(connection: Connection) -> Mapping[str, TokenUsage]:
            rows = connection.execute(
                """SELECT day, prompt_tokens, cost_usd FROM token_usage
                   ORDER BY day DESC LIMIT ?""",
                (days,),
            )
            return {day: TokenUsage(tokens, cost_usd) for day, tokens, cost_usd in rows}

        return await self._database.read(query)


def read_usage(transaction: Transaction) -> TokenUsage:
    """Return the usage of today."""
    row = transaction.connection.execute(
        "SELECT prompt_tokens, cost_usd FROM token_usage WHERE day = ?", (_find_day(transaction),)
    ).fetchone()
    return TokenUsage() if row is None else TokenUsage(*row)


def add_usage(transaction: Transaction, usage: TokenUsage) -> None:
    """Add to the usage of today."""
    if not (usage.prompt_tokens or usage.cost_usd):
        return
    transaction.connection.execute(
        """INSERT INTO token_usage (day, prompt_tokens, cost_usd) VALUES (?, ?, ?)
           ON CONFLICT (day) DO UPDATE SET
           prompt_tokens = token_usage.prompt_tokens + excluded.prompt_tokens,
           cost_usd = token_usage.cost_usd + excluded.cost_usd""",
        (_find_day(transaction), usage.prompt_tokens, usage.cost_usd),
    )


def _find_day(transaction: Transaction) -> str:
    return format_utc_day(transaction.shared_time_us * 1_000)
