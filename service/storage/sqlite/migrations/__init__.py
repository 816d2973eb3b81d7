"""The schema as numbered steps. A released step never changes."""

from __future__ import annotations

import hashlib
import sqlite3
from importlib import resources

from service import errors


def migrate(connection: sqlite3.Connection) -> None:
    """Apply the migrations that the database lacks, each in one transaction.

    Raises:
        StoreCorrupted: a newer version of Akin wrote the database.
    """
    scripts = _read_scripts()
    version = check_version(connection)
    register_functions(connection)
    # A migration replaces a table by a copy while rows of other tables refer to it.
    connection.execute("PRAGMA foreign_keys = OFF")
    for number in range(version, len(scripts)):
        connection.executescript(
            f"BEGIN EXCLUSIVE;\n{scripts[number]}\nPRAGMA user_version = {number + 1};\nCOMMIT;"
        )
    connection.execute("PRAGMA foreign_keys = ON")


def register_functions(connection: sqlite3.Connection) -> None:
    """Add the SQL functions that migrations call: hash_text, the address of a text's vector."""
    connection.create_function(
        "hash_text", 1, lambda text: hashlib.sha256(text.encode()).digest(), deterministic=True
    )


def check_version(connection: sqlite3.Connection) -> int:
    """Return the schema version of a database, 0 if it is empty.

    Raises:
        StoreCorrupted: a newer version of Akin wrote the database.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    supported = len(_read_scripts())
    if version > supported:
        raise errors.StoreCorrupted(
            f"the database has schema version {version}, but this version of Akin supports only "
            f"{supported}: run the newer version"
        )
    return int(version)


def _read_scripts() -> list[str]:
    """Return the SQL of each migration, in order."""
    migrations = sorted(resources.files(__name__).iterdir(), key=lambda path: path.name)
    return [path.read_text() for path in migrations if path.name.endswith(".sql")]
