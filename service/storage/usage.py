"""The tokens and money that embedding used, by day."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

from service.domain.usage import TokenUsage
from service.storage.database import Database
from service.storage.writer import Transaction


class UsageStore:
    """Embedding usage on disk, by day in UTC as YYYY-MM-DD.

    The methods can raise StoreUnavailable and StoreCorrupted, and `add` also Overloaded and
    StoreFull.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, day: str, usage: TokenUsage) -> None:
        """Add to the usage of a day."""

        def operation(transaction: Transaction) -> None:
            transaction.connection.execute(
                """INSERT INTO token_usage (day, prompt_tokens, cost_usd) VALUES (?, ?, ?)
                   ON CONFLICT (day) DO UPDATE SET
                   prompt_tokens = prompt_tokens + excluded.prompt_tokens,
                   cost_usd = cost_usd + excluded.cost_usd""",
                (day, usage.prompt_tokens, usage.cost_usd),
            )

        await self._database.write(operation)

    async def list_days(self, days: int) -> Mapping[str, TokenUsage]:
        """Return the usage of the last `days` days that had any, latest first."""

        def query(connection: sqlite3.Connection) -> Mapping[str, TokenUsage]:
            rows = connection.execute(
                """SELECT day, prompt_tokens, cost_usd FROM token_usage
                   ORDER BY day DESC LIMIT ?""",
                (days,),
            )
            return {day: TokenUsage(tokens, cost_usd) for day, tokens, cost_usd in rows}

        return await self._database.read(query)
