"""Writes with require_indexed while another model begins to serve."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from support.embedders import SPACE, HeldEmbedder
from support.open_catalogs import MODEL, word_catalogs
from support.stores import indexed

from service import errors
from service.catalog.handle import CatalogHandle
from service.domain.items import Item, StoredItem
from service.domain.spaces import Model
from service.domain.writes import ItemField, ItemUpdate, ItemUpsert

OTHER = Model(replace(SPACE, model="other words"))

Write = Callable[[CatalogHandle], Awaitable[object]]


async def import_item(catalog: CatalogHandle) -> object:
    prepared = await catalog.items.prepare_import([Item("a", "new")], require_indexed=True)
    (outcome,) = await catalog.items.store_import(prepared)
    if isinstance(outcome, errors.AkinError):
        raise outcome
    return outcome


WRITES: dict[str, Write] = {
    "UpsertItem": lambda catalog: catalog.items.upsert(ItemUpsert(Item("a", "new"), True)),
    "UpdateItem": lambda catalog: catalog.items.update(
        ItemUpdate(Item("a", "new"), frozenset({ItemField.TEXT}), require_indexed=True)
    ),
    "ImportItems": import_item,
}


@pytest.mark.parametrize("name", WRITES)
async def test_an_item_is_never_pending_in_the_model_that_serves(tmp_path: Path, name: str) -> None:
    """If the model is switched after the text was embedded, the write fails and stores nothing."""
    serving, other = HeldEmbedder(), HeldEmbedder()
    async with word_catalogs(tmp_path, {MODEL: serving, OTHER: other}) as factory:
        generations = factory.stores.generations
        await factory.start_next(OTHER)
        async with factory.catalogs.use("shop") as catalog:
            row = catalog.generations.serving.generation
            assert catalog.generations.other is not None
            next_ = catalog.generations.other.writer.generation
            await factory.stores.items.upsert_many(row, [indexed("a", "old")])
            (item,) = await factory.stores.pending.list_due(next_, 10)
            await factory.stores.pending.settle(next_, item, indexed("a", "old").vectors.chunks)
            before = await catalog.items.get("a")
            call = asyncio.ensure_future(WRITES[name](catalog))
            await serving.held.wait()
            await generations.start_indexing(next_)
            assert await generations.switch(row, next_)
            serving.release()
            with pytest.raises(errors.EmbeddingUnavailable, match="new model"):
                await call
            assert before == await catalog.items.get("a")
        other.release()


async def test_other_items_of_an_import_are_stored(tmp_path: Path) -> None:
    """Of an import that spans a switch, items with vectors of the new model are stored."""
    serving, other = HeldEmbedder(), HeldEmbedder(free_batches=1)
    async with word_catalogs(tmp_path, {MODEL: serving, OTHER: other}) as factory:
        generations = factory.stores.generations
        await factory.start_next(OTHER)
        async with factory.catalogs.use("shop") as catalog:
            row = catalog.generations.serving.generation
            assert catalog.generations.other is not None
            writer = catalog.generations.other.writer
            items = [Item("a", "known words"), Item("b", "new")]
            serving.release()
            prepared = await catalog.items.prepare_import(items[:1], require_indexed=True)
            later = await catalog.items.prepare_import(items[1:], require_indexed=True)
            both = replace(prepared, entries=[*prepared.entries, *later.entries])
            await generations.start_indexing(writer.generation)
            assert await generations.switch(row, writer.generation)
            outcomes = await catalog.items.store_import(both)
        assert [StoredItem, errors.EmbeddingUnavailable] == [type(each) for each in outcomes]
        other.release()
