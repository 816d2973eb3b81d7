"""The change of a catalog to a shared index, beside what fills the index."""

import asyncio
from pathlib import Path

import pytest
from support.open_catalogs import word_catalogs

from service.background.index_change import IndexChange
from service.domain.index_kinds import IndexKind


class Filler:
    """Fills an index when a test says so, or fails."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.settled_sequence = -1
        self.has_started = asyncio.Event()
        self.has_ended = False
        self._failure = failure

    async def run(self) -> None:
        """Run until cancelled."""
        self.has_started.set()
        try:
            if self._failure is not None:
                raise self._failure
            await asyncio.Event().wait()
        finally:
            self.has_ended = True


async def test_an_index_serves_once_it_is_filled(tmp_path: Path) -> None:
    """The filler ends then, because the open catalog has one of its own."""
    async with word_catalogs(tmp_path) as factory:
        generations, filler, calls = factory.stores.generations, Filler(), list[None]()
        shop = (await generations.list_catalogs())["shop"]
        await generations.start_index_change(shop, IndexKind.SHARED)
        change = IndexChange(generations, shop, filler, lambda: calls.append(None))
        changing = asyncio.create_task(change.run())
        await filler.has_started.wait()
        assert IndexKind.MEMORY is (await generations.list_catalogs())["shop"].index
        filler.settled_sequence = 0
        await changing
        record = (await generations.list_catalogs())["shop"]
        assert (IndexKind.SHARED, None) == (record.index, record.next_index)
        assert (True, [None]) == (filler.has_ended, calls)


async def test_what_ends_a_filler_ends_the_change(tmp_path: Path) -> None:
    """The error is not lost, and the former index goes on serving."""
    async with word_catalogs(tmp_path) as factory:
        generations = factory.stores.generations
        shop = (await generations.list_catalogs())["shop"]
        await generations.start_index_change(shop, IndexKind.SHARED)
        change = IndexChange(generations, shop, Filler(LookupError("no")), lambda: None)
        with pytest.raises(LookupError):
            await change.run()
        assert IndexKind.MEMORY is (await generations.list_catalogs())["shop"].index
