"""Translates the SQL of the stores for PostgreSQL and psycopg."""

from __future__ import annotations

import re
from functools import lru_cache

# Each statement of the stores; a few of them have several forms.
CACHED_STATEMENTS = 1_000

_RULES = (
    # psycopg's parameters are %s and %(name)s. Casts, as in a::bigint, are no parameters.
    (re.compile(r"%"), "%%"),
    (re.compile(r"\?"), "%s"),
    (re.compile(r"(?<!:):([a-z]\w*)"), r"%(\1)s"),
    # A JSON array as rows.
    (
        re.compile(r"\bjson_each\((%s|%\(\w+\)s)\)"),
        r"jsonb_array_elements_text(CAST(\1 AS jsonb)) AS list(value)",
    ),
    # Hints for SQLite's planner.
    (re.compile(r"\bCROSS JOIN (\w+) USING\b"), r"JOIN \1 USING"),
    (re.compile(r"\bINDEXED BY \w+"), ""),
)


@lru_cache(CACHED_STATEMENTS)
def translate_sql(sql: str) -> str:
    """Return a statement of the stores as psycopg takes it."""
    for pattern, replacement in _RULES:
        sql = pattern.sub(replacement, sql)
    return sql
