"""Background work on a generation that another worker has removed in the meantime."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from support.clock import FakeClock
from support.embedders import SPACE
from support.stores import (
    all_changes,
    chunks_of,
    default_catalog,
    indexed,
    opened,
    pending,
    remove_dropped,
    rows,
)

from service.domain.generations import Generation
from service.domain.spaces import Model
from service.domain.usage import TokenUsage
from service.storage.records import UnembeddedItem, UserPreferences
from service.storage.stores import Stores

NEW = Model(replace(SPACE, model="new"))

Work = Callable[[Stores, Generation, UnembeddedItem], Awaitable[object]]

# Each with its result.
WORKS: dict[str, tuple[Work, object]] = {
    "list due": (lambda stores, removed, _: stores.pending.list_due(removed, 10), []),
    "settle": (
        lambda stores, removed, item: stores.pending.settle(removed, item, chunks_of("new tea")),
        0,
    ),
    "postpone": (
        lambda stores, removed, item: stores.pending.postpone(removed, item, "R", "m", 1.0),
        None,
    ),
    "defer": (lambda stores, removed, item: stores.pending.defer(removed, item, 1.0), None),
    "fill": (
        lambda stores, removed, item: stores.reembedding.fill(
            removed, [(item, chunks_of("new tea"))], TokenUsage(1, 0.5)
        ),
        None,
    ),
    "list pending preferences": (
        lambda stores, removed, _: stores.reembedding.list_pending_preferences(removed, 10),
        [],
    ),
    "defer preferences": (
        lambda stores, removed, _: stores.reembedding.defer_preferences(
            removed, [UserPreferences(1, ["new tea"])], 1.0
        ),
        None,
    ),
    "fill preferences": (
        lambda stores, removed, _: stores.reembedding.fill_preferences(
            removed, [(UserPreferences(1, ["new tea"]), chunks_of("new tea"))], TokenUsage(1, 0.5)
        ),
        None,
    ),
    "reject": (
        lambda stores, removed, item: stores.reembedding.reject(removed, item, "R", "m"),
        None,
    ),
    "add vectors": (
        lambda stores, removed, _: stores.reembedding.add_vectors(
            removed, chunks_of("new tea"), TokenUsage(1, 0.5)
        ),
        None,
    ),
    "note problem": (
        lambda stores, removed, _: stores.generations.note_problem(removed, "R", "m"),
        None,
    ),
    "write corpus statistics": (
        lambda stores, removed, _: stores.shared_indexes.write_statistics(removed, b"s"),
        0,
    ),
    "start indexing": (
        lambda stores, removed, _: stores.generations.start_indexing(removed),
        None,
    ),
    "switch": (
        lambda stores, removed, _: stores.generations.switch(
            replace(removed, generation_id=1), removed
        ),
        False,
    ),
}


@asynccontextmanager
async def removed_generation(
    folder: Path, *, with_rows: bool
) -> AsyncIterator[tuple[Stores, Generation, UnembeddedItem]]:
    """Cancel the next generation of a catalog whose item "a" is pending in it.

    Args:
        folder: the data folder.
        with_rows: the rows of the generation are still to be removed.
    """
    async with opened(folder, FakeClock()) as (stores, serving):
        await stores.generations.start_next(await default_catalog(stores), NEW)
        record = (await default_catalog(stores)).next
        assert record is not None
        await stores.items.upsert_many(serving, [indexed("a", "tea"), pending("b", "rum")])
        item = (await stores.pending.list_due(record.generation, 10))[0]
        await stores.generations.cancel(await default_catalog(stores))
        if not with_rows:
            await remove_dropped(stores)
        yield stores, record.generation, item


@pytest.mark.parametrize("with_rows", [True, False])
@pytest.mark.parametrize("name", WORKS)
async def test_work_on_a_removed_generation_changes_nothing(
    tmp_path: Path, name: str, with_rows: bool
) -> None:
    """Work that was under way for a generation which another worker removed has no effect."""
    work, expected = WORKS[name]
    async with removed_generation(tmp_path, with_rows=with_rows) as (stores, removed, item):
        serving = (await default_catalog(stores)).serving.generation
        before = stores.database.commits.last_sequence
        assert expected == await work(stores, removed, item)
        assert [] == await all_changes(stores, serving, before)
        await remove_dropped(stores)
        assert [1, 0] == [len(await stores.pending.list_groups(row)) for row in (serving, removed)]
    assert [(1, "serving")] == rows(tmp_path, "SELECT generation_id, state FROM generations")
    assert [(1,)] == rows(tmp_path, "SELECT count(*) FROM item_vectors")
