"""Opens the stores of a move by their addresses."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from types import ModuleType
from urllib.parse import unquote

from service import errors
from service.extras import describe_installation
from service.storage.moving.moves import MoveSource, MoveTarget
from service.storage.moving.sqlite_moves import SqliteMoveSource, SqliteMoveTarget

_SOURCE, _TARGET = "--from", "--to"

_FORMS = "sqlite:///folder or postgresql://user@host/database"


class StoreAddressError(Exception):
    """An address of a store is not valid. The message does not quote it: it can have a password."""


def parse_folder(address: str, option: str) -> Path | None:
    """Return the data folder of an address, None for an address of a PostgreSQL server.

    Args:
        address: the address.
        option: of the command line, which has the address; the message of an error begins with it.

    Raises:
        StoreAddressError: the address has neither form.
    """
    scheme, _, rest = address.partition("://")
    if scheme in {"postgres", "postgresql"}:
        return None  # libpq reads the rest
    if scheme != "sqlite" or not rest.startswith("/") or {"?", "#"} & {*rest}:
        raise StoreAddressError(f"{option} must have the form {_FORMS}")
    return Path(unquote(rest))


@contextmanager
def open_move(source: str, target: str) -> Iterator[tuple[MoveSource, MoveTarget]]:
    """Open the source and the target of a move.

    Raises:
        StoreAddressError: an address is not valid, or both are the same folder.
        StoreUnavailable: a store cannot be used, then or later, or the packages for PostgreSQL are
            not installed.
    """
    source_folder, target_folder = parse_folder(source, _SOURCE), parse_folder(target, _TARGET)
    if source_folder and target_folder and source_folder.resolve() == target_folder.resolve():
        raise StoreAddressError(f"{_SOURCE} and {_TARGET} are the same folder")
    with ExitStack() as stack:
        stack.enter_context(_explain_errors())
        if source_folder and target_folder:
            sides = SqliteMoveSource(source_folder), SqliteMoveTarget(target_folder)
        else:
            postgres = _import_postgres()
            _check_address(postgres, source, source_folder, _SOURCE)
            _check_address(postgres, target, target_folder, _TARGET)
            stack.enter_context(postgres.explain_errors())
            sides = (
                SqliteMoveSource(source_folder)
                if source_folder
                else postgres.PostgresMoveSource(source),
                SqliteMoveTarget(target_folder)
                if target_folder
                else postgres.PostgresMoveTarget(target),
            )
        stack.enter_context(closing(sides[1]))
        yield sides


def _check_address(postgres: ModuleType, address: str, folder: Path | None, option: str) -> None:
    """Check the address of a PostgreSQL server.

    Raises:
        StoreAddressError: libpq does not accept it.
    """
    if folder is None:
        try:
            postgres.name_application(address)
        except errors.StoreUnavailable as exc:
            raise StoreAddressError(f"{option}: {exc}") from exc


def _import_postgres() -> ModuleType:
    """Return the module for PostgreSQL.

    Raises:
        StoreUnavailable: the packages that it needs are not installed.
    """
    try:
        from service.storage.moving import postgres_moves  # noqa: PLC0415
    except ImportError as exc:
        raise errors.StoreUnavailable(
            f"the packages for PostgreSQL are not installed: {describe_installation('postgres')}"
        ) from exc
    return postgres_moves


@contextmanager
def _explain_errors() -> Iterator[None]:
    """Raise errors of SQLite and of the file system with their reasons.

    Raises:
        StoreUnavailable: the disk or the database failed.
    """
    try:
        yield
    except sqlite3.Error as exc:
        raise errors.StoreUnavailable(f"SQLite: {exc}") from exc
    except OSError as exc:
        raise errors.StoreUnavailable(
            f"{exc.filename or 'the disk'}: {exc.strerror or exc}"
        ) from exc
