"""Translates the SQL of the stores for PostgreSQL and psycopg."""

from __future__ import annotations

import re
from functools import lru_cache

# Each statement of the stores; a few of them have several forms.
CACHED_STATEMENTS = 1_000

# The greatest number of parameters of a statement.
MAX_PARAMETERS = 65_535

# An insertion of a row that ignores rows that are there, or fails; it can as well insert many rows.
_INSERTION = re.compile(
    r"(\s*INSERT INTO [^?]*?\bVALUES\s*)(\((?:%s|[, ])+\))((?:\s*ON CONFLICT DO NOTHING)?\s*)"
)

# Insertions of many rows, each with up to 500 kB.
CACHED_INSERTIONS = 32

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


@lru_cache(CACHED_INSERTIONS)
def combine_rows(statement: str, count: int) -> str | None:
    """Return the insertion of `count` rows for that of one, which takes half the time.

    Args:
        statement: as `translate_sql` returns it.
        count: the number of rows.

    Returns:
        A statement with PostgreSQL's own parameters ($1), which psycopg does not have to find in
        it; None if the statement is another one, or there are no rows or too many.
    """
    match = _INSERTION.fullmatch(statement)
    if match is None:
        return None
    width = match[2].count("%s")
    if not 0 < count * width <= MAX_PARAMETERS:
        return None
    rows = (
        ", ".join(f"${number}" for number in range(start, start + width))
        for start in range(1, count * width + 1, width)
    )
    return f"{match[1]}{', '.join(f'({row})' for row in rows)}{match[3]}"
