"""The SQL of what embedding took. All of it runs inside a connection's thread."""

from __future__ import annotations

import sqlite3

from service.domain.usage import TokenUsage
from service.storage.writer import Transaction


def by_day(connection: sqlite3.Connection, days: int) -> dict[str, TokenUsage]:
    """The last `days` days on which anything was spent, latest first, as YYYY-MM-DD of UTC."""
    rows = connection.execute("SELECT * FROM spend ORDER BY day DESC LIMIT ?", (days,))
    return {day: TokenUsage(tokens, cost) for day, tokens, cost in rows}


def add(transaction: Transaction, day: str, spend: TokenUsage) -> None:
    """Adds to a day."""
    transaction.connection.execute(
        """INSERT INTO spend VALUES (?, ?, ?) ON CONFLICT (day) DO UPDATE SET
           prompt_tokens = prompt_tokens + excluded.prompt_tokens,
           cost_usd = cost_usd + excluded.cost_usd""",
        (day, spend.prompt_tokens, spend.cost_usd),
    )
