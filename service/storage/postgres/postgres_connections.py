"""Connections to PostgreSQL, as the stores use them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol, Self

import psycopg
from psycopg.abc import Buffer
from psycopg.adapt import AdaptersMap
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import Conninfo
from psycopg.types.string import StrBinaryDumper, StrDumperUnknown, TextBinaryLoader

from service import errors
from service.settings import has_variable
from service.storage.postgres.dialect import combine_rows, translate_sql
from service.storage.sql import Parameters

# All tables are in this schema, so that the database can have those of others.
SCHEMA: Final = "akin"

# libpq's defaults wait for a lost host for minutes, and take any of several servers. The address
# can set others, or a variable of libpq.
_DEFAULTS = {
    "application_name": "akin",
    "connect_timeout": "5",
    "target_session_attrs": "read-write",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
}

# A process that stands still in a transaction must not keep the others from writing. The role and
# the database can have limits for the statements of people. The planner's compiler takes longer
# than these short statements do.
_SESSION_SETTINGS = f"""
    SET search_path = {SCHEMA};
    SET statement_timeout = 0;
    SET lock_timeout = 0;
    SET idle_session_timeout = 0;
    SET idle_in_transaction_session_timeout = '5s';
    SET default_transaction_isolation = 'read committed';
    SET tcp_keepalives_idle = 5;
    SET tcp_keepalives_interval = 2;
    SET tcp_keepalives_count = 3;
    SET jit = off;
"""

# Pause between two attempts to reach a server that cannot be reached at the start.
CONNECT_PAUSE_SECONDS = 1.0

# The version from which on a transaction can have a limit, as libpq writes it.
_TRANSACTION_TIMEOUT_VERSION = 170000

# The pool would write a line of its own for each attempt to connect.
logging.getLogger("psycopg").addHandler(logging.NullHandler())

# PostgreSQL has no text with the character U+0000, which JSON and Protocol Buffers allow.
_ESCAPE, _NUL = "\x1a", "\0"
_ESCAPED_ESCAPE, _ESCAPED_NUL = "\x1aE", "\x1aN"


class _TextDumper(StrDumperUnknown):
    """Writes U+0000 as two characters."""

    def dump(self, obj: str) -> Buffer | None:
        return super().dump(_escape(obj))


class _TextBinaryDumper(StrBinaryDumper):
    """Writes texts in arrays likewise."""

    def dump(self, obj: str) -> Buffer | None:
        return super().dump(_escape(obj))


class _TextLoader(TextBinaryLoader):
    """Reads what `_TextDumper` wrote."""

    def load(self, data: Buffer) -> str:
        text = super().load(data)
        assert isinstance(text, str)  # noqa: S101  (the database has the encoding UTF8)
        if _ESCAPE in text:
            text = text.replace(_ESCAPED_NUL, _NUL).replace(_ESCAPED_ESCAPE, _ESCAPE)
        return text


def _escape(text: str) -> str:
    if _NUL in text or _ESCAPE in text:
        return text.replace(_ESCAPE, _ESCAPED_ESCAPE).replace(_NUL, _ESCAPED_NUL)
    return text


def _make_adapters() -> AdaptersMap:
    adapters = AdaptersMap(psycopg.adapters)
    adapters.register_dumper(str, _TextBinaryDumper)
    adapters.register_dumper(str, _TextDumper)  # the last one is the default
    adapters.register_loader("text", _TextLoader)
    return adapters


# How values are sent and received.
ADAPTERS = _make_adapters()


def complete_address(address: str) -> str:
    """Return an address with the defaults for what neither it nor the environment sets.

    What a file of services (`PGSERVICE`, `service=`) sets is not known, so that its users get
    libpq's defaults.

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
    _check_hosts(address, str(given.get("host") or ""), str(given.get("port") or ""))
    has_service = "service" in given or has_variable("PGSERVICE")
    defaults = {} if has_service else _find_defaults()
    parameters: dict[str, Any] = {**defaults, **given, "client_encoding": "UTF8"}
    return make_conninfo(**parameters)


def _check_hosts(address: str, hosts: str, ports: str) -> None:
    """Check that no part of a password was taken for a host or port, which messages would name.

    Raises:
        StoreUnavailable: a character of the password must be escaped.
    """
    has_parts = address.partition("?")[0].count("@") > 1 or "@" in hosts
    if has_parts or not all(port.isdigit() for port in ports.split(",") if port):
        raise errors.StoreUnavailable(
            "the host or port in the address of the store is not valid: percent-encode the "
            "characters @ : / ? # % of the password, as %40 for @"
        )


def _find_defaults() -> dict[str, str]:
    """Return the defaults of the parameters whose variables are unset."""
    variables = {
        option.keyword.decode(): option.envvar.decode()
        for option in Conninfo.get_defaults()
        if option.envvar
    }
    return {
        name: value
        for name, value in _DEFAULTS.items()
        if name not in variables or not has_variable(variables[name])
    }


def open_connection(address: str) -> psycopg.Connection[Any]:
    """Open a connection without automatic transactions, whose address is complete.

    Raises:
        psycopg.Error: the server cannot be reached, or refuses the connection.
    """
    connection = psycopg.connect(address, autocommit=True, context=ADAPTERS)
    configure(connection)
    return connection


async def wait_for_server(address: str, on_failure: Callable[[psycopg.Error], None]) -> None:
    """Wait until a server accepts connections.

    Args:
        address: of the server; complete.
        on_failure: is called with the error of each attempt.
    """
    while True:
        try:
            connection = await psycopg.AsyncConnection.connect(address)
        except psycopg.OperationalError as exc:
            on_failure(exc)
        else:
            await connection.close()
            return
        await asyncio.sleep(CONNECT_PAUSE_SECONDS)


def configure(connection: psycopg.Connection[Any]) -> None:
    """Set up a new connection of a store."""
    connection.execute(_SESSION_SETTINGS)
    if connection.info.server_version >= _TRANSACTION_TIMEOUT_VERSION:
        connection.execute("SET transaction_timeout = 0")


def watch_connections(note: Callable[[psycopg.Error], None]) -> type[psycopg.Connection[Any]]:
    """Return a class for a pool, which does not tell anyone why it cannot connect.

    Args:
        note: is called with the error of each failed attempt, in a thread of the pool.
    """

    class _WatchedConnection(psycopg.Connection[Any]):
        @classmethod
        def connect(cls, conninfo: str = "", **options: Any) -> Self:  # noqa: ANN401  (as psycopg)
            try:
                return super().connect(conninfo, **options)
            except psycopg.Error as exc:
                note(exc)
                raise

    return _WatchedConnection


class DeferredWrites(Protocol):
    """Writes of a transaction that are not sent to the server yet."""

    def write(self, connection: psycopg.Connection[Any], /) -> None:
        """Send them.

        Raises:
            psycopg.Error: the transaction has failed.
        """


class PostgresConnection:
    """Runs the statements of the stores. It counts the rows that they write.

    Deferred writes come before the next statement, which may depend on them. `is_spoiled` tells
    that they have failed, in an operation that may not be theirs.

    Args:
        connection: the connection, which is in a transaction or commits each statement.
    """

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.connection = connection
        self.written_rows = 0
        self.is_spoiled = False
        self.deferred: DeferredWrites | None = None

    def defer(self, writes: DeferredWrites) -> None:
        """Take writes that can wait for the next statement, or for `flush`."""
        self.flush()
        self.deferred = writes

    def flush(self) -> None:
        """Send the deferred writes."""
        if self.deferred is not None:
            writes, self.deferred = self.deferred, None
            self.is_spoiled = True
            writes.write(self.connection)
            self.is_spoiled = False

    def execute(self, sql: str, parameters: Parameters = (), /) -> psycopg.Cursor[Any]:
        """Run a statement."""
        self.flush()
        cursor = self.connection.cursor(binary=True)
        cursor.execute(translate_sql(sql), parameters)
        self._count(cursor)
        return cursor

    def executemany(self, sql: str, parameters: Iterable[Parameters], /) -> psycopg.Cursor[Any]:
        """Run a statement once for each set of parameters; `rowcount` is the sum of all."""
        self.flush()
        statement, rows = translate_sql(sql), list(parameters)
        combined = combine_rows(statement, len(rows))
        if combined is None:
            cursor = self.connection.cursor(binary=True)
            cursor.executemany(statement, rows)
        else:
            cursor = psycopg.RawCursor(self.connection)
            cursor.execute(combined, [value for row in rows for value in row])
        self._count(cursor)
        return cursor

    def _count(self, cursor: psycopg.Cursor[Any]) -> None:
        if cursor.rowcount > 0 and not (cursor.statusmessage or "").startswith("SELECT"):
            self.written_rows += cursor.rowcount
