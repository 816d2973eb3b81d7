"""Connections to PostgreSQL, as the stores use them."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any, Final

import psycopg
from psycopg.abc import Buffer
from psycopg.adapt import AdaptersMap
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.types.string import StrDumperUnknown, TextBinaryLoader

from service import errors
from service.storage.postgres.dialect import translate_sql
from service.storage.sql import Parameters

# All tables are in this schema, so that the database can have those of others.
SCHEMA: Final = "akin"

# libpq's defaults wait for a lost host for minutes. The address can set others.
_DEFAULTS = {
    "application_name": "akin",
    "connect_timeout": "5",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
}

# A process that stands still in a transaction must not keep the others from writing. The planner's
# compiler takes longer than these short statements do.
_SESSION_SETTINGS = f"""
    SET search_path = {SCHEMA};
    SET idle_in_transaction_session_timeout = '5s';
    SET default_transaction_isolation = 'read committed';
    SET tcp_keepalives_idle = 5;
    SET tcp_keepalives_interval = 2;
    SET tcp_keepalives_count = 3;
    SET jit = off;
"""

# The pool would write a line of its own for each attempt to connect.
logging.getLogger("psycopg").addHandler(logging.NullHandler())

# PostgreSQL has no text with the character U+0000, which JSON and Protocol Buffers allow.
_ESCAPE, _NUL = "\x1a", "\0"
_ESCAPED_ESCAPE, _ESCAPED_NUL = "\x1aE", "\x1aN"


class _TextDumper(StrDumperUnknown):
    """Writes U+0000 as two characters."""

    def dump(self, obj: str) -> Buffer | None:
        if _NUL in obj or _ESCAPE in obj:
            obj = obj.replace(_ESCAPE, _ESCAPED_ESCAPE).replace(_NUL, _ESCAPED_NUL)
        return super().dump(obj)


class _TextLoader(TextBinaryLoader):
    """Reads what `_TextDumper` wrote."""

    def load(self, data: Buffer) -> str:
        text = super().load(data)
        assert isinstance(text, str)  # noqa: S101  (the database has the encoding UTF8)
        if _ESCAPE in text:
            text = text.replace(_ESCAPED_NUL, _NUL).replace(_ESCAPED_ESCAPE, _ESCAPE)
        return text


def _make_adapters() -> AdaptersMap:
    adapters = AdaptersMap(psycopg.adapters)
    adapters.register_dumper(str, _TextDumper)
    adapters.register_loader("text", _TextLoader)
    return adapters


# How values are sent and received.
ADAPTERS = _make_adapters()


def complete_address(address: str) -> str:
    """Return an address with the defaults for what neither it nor the environment sets.

    Args:
        address: in the form of libpq: postgresql://user@host/database?option=value.

    Raises:
        StoreUnavailable: it has another form.
    """
    try:
        given = conninfo_to_dict(address)
    except psycopg.ProgrammingError as exc:
        # The message of libpq quotes the address, which can have a password.
        raise errors.StoreUnavailable("the address of the store is not valid") from exc
    parameters: dict[str, Any] = {**_DEFAULTS, **given, "client_encoding": "UTF8"}
    return make_conninfo(**parameters)


def open_connection(address: str) -> psycopg.Connection[Any]:
    """Open a connection without automatic transactions, whose address is complete.

    Raises:
        psycopg.Error: the server cannot be reached, or refuses the connection.
    """
    connection = psycopg.connect(address, autocommit=True, context=ADAPTERS)
    configure(connection)
    return connection


def configure(connection: psycopg.Connection[Any]) -> None:
    """Set up a new connection of a store."""
    connection.execute(_SESSION_SETTINGS)


class PostgresConnection:
    """Runs the statements of the stores. It counts the rows that they write.

    Args:
        connection: the connection, which is in a transaction or commits each statement.
    """

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.connection = connection
        self.written_rows = 0

    def execute(self, sql: str, parameters: Parameters = (), /) -> psycopg.Cursor[Any]:
        """Run a statement."""
        cursor = self.connection.cursor(binary=True)
        cursor.execute(translate_sql(sql), parameters)
        self._count(cursor)
        return cursor

    def executemany(self, sql: str, parameters: Iterable[Parameters], /) -> psycopg.Cursor[Any]:
        """Run a statement once for each set of parameters; `rowcount` is the sum of all."""
        cursor = self.connection.cursor(binary=True)
        cursor.executemany(translate_sql(sql), parameters)
        self._count(cursor)
        return cursor

    def _count(self, cursor: psycopg.Cursor[Any]) -> None:
        if cursor.rowcount > 0 and not (cursor.statusmessage or "").startswith("SELECT"):
            self.written_rows += cursor.rowcount
