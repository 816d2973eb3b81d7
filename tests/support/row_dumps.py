"""All rows that writes of items and users change, in a form that both stores share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from support.stores import CHOICE, rows

# Without keys that depend on how the rows were written.
DUMPS = {
    "items": """SELECT catalog_id, item_id, text, attributes, expire_time_us, sequence,
        change_sequence, update_time_us, deleted, likes_before FROM items ORDER BY item_key""",
    "references": """SELECT generation_id, item_id, position, text_hash FROM item_vectors
        JOIN items USING (item_key) JOIN vectors USING (vector_id)""",
    "all references": """SELECT (SELECT count(*) FROM item_vectors),
        (SELECT count(*) FROM user_vectors)""",
    "vectors": "SELECT space_id, text_hash, vector FROM vectors",
    "unused": """SELECT vectors.space_id, text_hash, since_us
        FROM unused_vectors JOIN vectors USING (vector_id)""",
    "pending": """SELECT generation_id, item_id, reason, message, attempts, next_attempt_us
        FROM pending JOIN items USING (item_key)""",
    "users": """SELECT catalog_id, user_id, preferences, liked_items, sequence, update_time_us
        FROM users ORDER BY user_key""",
    "references of users": """SELECT generation_id, user_id, text_hash FROM user_vectors
        JOIN users USING (user_key) JOIN vectors USING (vector_id)""",
    "pending users": """SELECT generation_id, user_id, next_attempt_us
        FROM pending_users JOIN users USING (user_key)""",
    "likes": "SELECT catalog_id, like_change_count, like_deletion_count FROM catalogs",
}

IN_ORDER = {"items", "users"}
"""The tables whose rows are in the order of their keys."""


def read_value(value: Any) -> Any:
    """A value of either database; PostgreSQL escapes U+0000 in texts."""
    if isinstance(value, str) and CHOICE.uses_postgres:
        return value.replace("\x1aN", "\0").replace("\x1aE", "\x1a")
    return bytes(value) if isinstance(value, memoryview) else value


def dump(folder: Path) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of the tables; those of the items and users in the order of their keys."""
    tables = {}
    for name, query in DUMPS.items():
        table = [tuple(map(read_value, row)) for row in rows(folder, query)]
        tables[name] = table if name in IN_ORDER else sorted(table)
    return tables
