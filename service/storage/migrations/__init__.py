"""The schema as numbered steps. A released step never changes."""

from __future__ import annotations

import sqlite3
from importlib import resources

from service import errors


def migrate(connection: sqlite3.Connection) -> None:
    """Apply the migrations that the database lacks, each in one transaction.

    Raises:
        StoreCorrupted: a newer version of Akin wrote the database.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    migrations = sorted(
        (path for path in resources.files(__name__).iterdir()),
        key=lambda path: path.name,
    )
    scripts = [path.read_text() for path in migrations if path.name.endswith(".sql")]
    if version > len(scripts):
        raise errors.StoreCorrupted(
            f"the database has schema version {version}, but this version of Akin supports only "
            f"{len(scripts)}: run the newer version"
        )
    # A migration replaces a table by a copy while rows of other tables refer to it.
    connection.execute("PRAGMA foreign_keys = OFF")
    for number in range(version, len(scripts)):
        connection.executescript(
            f"BEGIN EXCLUSIVE;\n{scripts[number]}\nPRAGMA user_version = {number + 1};\nCOMMIT;"
        )
    connection.execute("PRAGMA foreign_keys = ON")
