"""Databases that lose their last commits, as when a standby is promoted that lacks them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from support.postgres import PostgresServer, query_database

# A copy of the cluster must have every commit that was acknowledged before.
SETTINGS = {"fsync": "off", "full_page_writes": "off"}


def lose_commits(folder: Path, after: int) -> None:
    """Take the items of a folder's database back to the sequence number of a commit."""
    for table, column in (("items", "change_sequence"), ("commits", "sequence")):
        query_database(folder, f"DELETE FROM {table} WHERE {column} > {after}")  # noqa: S608


class RestorableServer(PostgresServer):
    """A server whose cluster can be taken back to a former state."""

    def __init__(self) -> None:
        super().__init__(SETTINGS)
        self._copy = self.folder / "copy"

    @property
    def url(self) -> str:
        """The address of its database as a setting takes it."""
        return self.address()

    def remember(self) -> None:
        """Copy the cluster; all connections are lost."""
        self.kill()
        _copy(self.folder / "data", self._copy)
        self.start()

    def go_back(self) -> None:
        """Replace the cluster by the copy; all connections are lost."""
        self.kill()
        shutil.rmtree(self.folder / "data")
        _copy(self._copy, self.folder / "data")
        self.start()


def _copy(source: Path, target: Path) -> None:
    subprocess.run(["/bin/cp", "-a", str(source), str(target)], check=True)
