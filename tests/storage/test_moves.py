"""Moves between stores, without servers."""

from itertools import pairwise
from pathlib import Path

import pytest
from support.moves import (
    fill_folder,
    finish,
    folder_address,
    last_numbers,
    postgres_address,
    summaries,
)

from service.storage.moving.moved_tables import MOVED_TABLES

pytestmark = pytest.mark.sqlite

# Tables that the end of a move changes: requests under way count as spent.
SETTLED = {"token_usage", "embedding_requests", "leased_texts"}


async def test_a_store_comes_back_unchanged(tmp_path: Path) -> None:
    """From a file to PostgreSQL, to another one and back: each row and number is the same."""
    first, last = folder_address(tmp_path / "a"), folder_address(tmp_path / "d")
    stores = [first, *(postgres_address(tmp_path / name) for name in "bc"), last]
    await fill_folder(tmp_path / "a")
    before = summaries(first, tmp_path / "spare")
    assert {table.name for table in MOVED_TABLES} == {
        name for name, summary in before.items() if summary.rows
    }
    for source, target in pairwise(stores):
        moved = finish(source, target)
        assert summaries(source, tmp_path / "spare") == moved.tables
        copied = summaries(target, tmp_path / "spare")
        assert {name for name in before if before[name] != copied[name]} == SETTLED
        assert 0 == copied["embedding_requests"].rows
        assert last_numbers(first, tmp_path / "spare") == last_numbers(target, tmp_path / "spare")
    assert before == summaries(first, tmp_path / "spare")
    assert not (tmp_path / "spare").exists()
