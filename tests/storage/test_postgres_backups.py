"""Backups of PostgreSQL with the commands that the documentation names."""

import asyncio
import subprocess
from pathlib import Path

import pytest
from support.moves import MovedStore, fill, summaries
from support.postgres import find_programs
from support.server import WAIT_SECONDS

# The rows come from a file.
pytestmark = pytest.mark.sqlite

PAGE = Path(__file__).parents[2] / "docs/operating.md"


async def open_and_close(store: MovedStore) -> None:
    """Open a store as a server does."""
    await store.open().close()


def test_the_documented_commands_restore_every_row(tmp_path: Path) -> None:
    """A dump into an empty database has all rows, and servers can use it."""
    store, copy = (MovedStore(tmp_path / name, is_file=False) for name in ("store", "copy"))
    asyncio.run(fill(store))
    dump, restore = (
        line.partition("  #")[0]
        for line in PAGE.read_text().splitlines()
        if line.startswith(("pg_dump ", "pg_restore "))
    )
    for command, target in ((dump, store), (restore, copy)):
        subprocess.run(
            ["/bin/sh", "-c", f"exec {find_programs()}/{command}"],
            check=True,
            cwd=tmp_path,
            env={"AKIN_STORE": target.address},
            timeout=WAIT_SECONDS,
        )
    asyncio.run(open_and_close(copy))
    assert summaries(store.address, tmp_path / "spare") == summaries(
        copy.address, tmp_path / "spare"
    )
