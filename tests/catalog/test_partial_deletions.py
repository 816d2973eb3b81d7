from collections.abc import Sequence
from pathlib import Path

import pytest
from support.open_catalogs import word_catalogs
from support.stores import indexed

from service import errors
from service.catalog.items import CatalogItems
from service.domain import limits
from service.domain.filters import Condition, Exists, Filter
from service.domain.generations import Generation
from service.domain.writes import ItemsDeletion
from service.storage.database import Database
from service.storage.items import ItemStore
from service.storage.records import Deletion

EVERY_ITEM = Filter((Condition("words", Exists(True)),))


class FullStore(ItemStore):
    """A store whose disk is full after some deletions."""

    def __init__(self, database: Database, deletions: int) -> None:
        super().__init__(database)
        self._deletions = deletions

    async def delete_many(
        self, generation: Generation, item_ids: Sequence[str], max_sequence: int | None = None
    ) -> Deletion:
        """Delete items, or fail."""
        if not self._deletions:
            raise errors.StoreFull("the disk is full")
        self._deletions -= 1
        return await super().delete_many(generation, item_ids, max_sequence)


@pytest.mark.parametrize("deletions", [0, 1])
async def test_a_deletion_that_fails_tells_what_is_deleted(tmp_path: Path, deletions: int) -> None:
    """The error has the number of items that a deletion by filter had deleted before."""
    async with word_catalogs(tmp_path) as factory, factory.catalogs.use("shop") as catalog:
        row = catalog.generations.serving.generation
        writes = [indexed(f"i{number:04}", "tea") for number in range(limits.BATCH_ITEMS + 1)]
        await factory.stores.items.upsert_many(row, writes)
        items = CatalogItems(FullStore(factory.stores.database, deletions), catalog.generations)
        with pytest.raises(errors.StoreFull) as caught:
            await items.delete_many(ItemsDeletion(filter=EVERY_ITEM))
        count = deletions * limits.BATCH_ITEMS
        assert {"deletedCount": str(count)} == caught.value.metadata
        suffix = f"; items that are deleted already: {count}" if deletions else ""
        assert f"the disk is full{suffix}" == caught.value.message
        assert len(writes) - count == await factory.stores.items.count(row)
