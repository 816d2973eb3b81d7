"""The tables of a store that a move copies: all that both databases have, except for two.

`shared_indexes` and `corpus_statistics` describe collections that the source's servers fill. Those
of the target build their own.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

# The values of a row: those of the key first, then the others by the names of their columns.
# Booleans are 0 and 1.
TableRow = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class MovedTable:
    """A table.

    Attributes:
        name: its name.
        key: the columns that identify a row, in the order of which rows are read and compared.
        unique: further sets of columns that identify a row. A row without a value in one of them,
            NULL or the empty text, is not identified by the set.
        is_numbered: the database gives a new row the next number as key.
    """

    name: str
    key: tuple[str, ...]
    unique: tuple[tuple[str, ...], ...] = ()
    is_numbered: bool = False

    def arrange(self, columns: Collection[str]) -> tuple[str, ...]:
        """Return the columns of the table in the order of a row's values."""
        return (*self.key, *sorted(set(columns) - set(self.key)))


_VECTOR_TEXT = ("space_id", "text_hash")

MOVED_TABLES = (
    MovedTable("identity", ("store_id",)),
    MovedTable("counters", ("name",)),
    MovedTable("spaces", ("space_id",), (("fingerprint",),), is_numbered=True),
    MovedTable("catalogs", ("catalog_id",), (("name",),), is_numbered=True),
    MovedTable("generations", ("generation_id",), is_numbered=True),
    MovedTable("vectors", ("vector_id",), (_VECTOR_TEXT,), is_numbered=True),
    MovedTable("items", ("item_key",), (("catalog_id", "item_id"),), is_numbered=True),
    MovedTable("item_vectors", ("generation_id", "item_key", "position")),
    MovedTable("pending", ("generation_id", "item_key")),
    MovedTable("users", ("user_key",), (("catalog_id", "user_id"),), is_numbered=True),
    MovedTable("user_vectors", ("generation_id", "user_key", "vector_id")),
    MovedTable("pending_users", ("generation_id", "user_key")),
    MovedTable("unused_vectors", ("vector_id",)),
    MovedTable("token_usage", ("day",)),
    MovedTable("embedding_requests", ("request_id",), is_numbered=True),
    MovedTable("leased_texts", _VECTOR_TEXT),
    MovedTable("query_vectors", ("vector_id",), (_VECTOR_TEXT,), is_numbered=True),
    MovedTable(
        "interactions",
        ("catalog_id", "user_id", "time_us", "item_id", "type", "interaction_id"),
        (("catalog_id", "interaction_id"),),
    ),
    MovedTable("click_through", ("catalog_id", "day", "source", "signals")),
    MovedTable("clicked_responses", ("catalog_id", "day", "number")),
    MovedTable("behavior_models", ("catalog_id",)),
    MovedTable("behavior_model_pieces", ("catalog_id", "train_time_us", "array", "number")),
)

# Tables that an empty store has rows in.
INITIAL_TABLES = ("identity", "counters")
