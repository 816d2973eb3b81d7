"""Writes during a re-embedding to a model that hangs."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from support.embedders import SPACE, HeldEmbedder
from support.open_catalogs import WordCatalogs, word_catalogs

from service.background.pending_items import PendingEmbedder
from service.catalog.handle import CatalogHandle
from service.catalog.items import CatalogItems
from service.catalog.other_generation import OtherGeneration
from service.domain.generations import Generation
from service.domain.items import Item, ItemState
from service.domain.spaces import Model
from service.domain.users import Preference, User
from service.domain.writes import ItemField, ItemUpdate, ItemUpsert, UserUpsert
from service.embedding.prompts import hash_text
from service.embedding.text_embedder import TextEmbedder
from service.embedding.text_vectors import TextVectors

OTHER = Model(replace(SPACE, model="other words"))

Write = Callable[[CatalogHandle], Awaitable[object]]


class BrokenTextEmbedder(TextEmbedder):
    """A text embedder with a bug."""

    def __init__(self, embedder: TextEmbedder) -> None:
        self.space = embedder.space

    async def embed_documents(
        self, texts: Iterable[str], *, low_priority: bool = False, alone: bool = False
    ) -> TextVectors:
        """Raise what no caller expects."""
        raise IndexError


@asynccontextmanager
async def re_embedding(
    folder: Path, embedder: HeldEmbedder
) -> AsyncIterator[tuple[WordCatalogs, CatalogHandle]]:
    """Run the catalog `shop`, whose next generation is embedded by `embedder`."""
    async with word_catalogs(folder, {OTHER: embedder}) as factory:
        await factory.start_next(OTHER)
        async with factory.catalogs.use("shop") as catalog:
            yield factory, catalog


def other(catalog: CatalogHandle) -> tuple[Generation, TextEmbedder]:
    assert catalog.generations.other is not None
    writer = catalog.generations.other.writer
    return writer.generation, writer.text_embedder


async def wait_for_vector(factory: WordCatalogs, generation: Generation, text: str) -> None:
    """Wait until the vector of a text is on disk."""
    while not await factory.stores.vectors.get_many(generation, [hash_text(text)]):
        pass


async def put(catalog: CatalogHandle, item_id: str, text: str) -> ItemState:
    return (await catalog.items.upsert(ItemUpsert(Item(item_id, text)))).stored.state


async def import_item(catalog: CatalogHandle) -> None:
    prepared = await catalog.items.prepare_import([Item("b", "gin")], require_indexed=True)
    await catalog.items.store_import(prepared)


WRITES: dict[str, Write] = {
    "UpsertItem": lambda catalog: put(catalog, "b", "gin"),
    "UpdateItem": lambda catalog: catalog.items.update(
        ItemUpdate(Item("a", "gin"), frozenset({ItemField.TEXT}))
    ),
    "ImportItems": import_item,
    "UpsertUser": lambda catalog: catalog.users.upsert(UserUpsert(User("u", (Preference("gin"),)))),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
async def test_writes_do_not_wait_for_a_model_that_hangs(tmp_path: Path, write: Write) -> None:
    """After a first wait in vain, no text of a write is queued for a model that does not answer."""
    embedder = HeldEmbedder()
    async with re_embedding(tmp_path, embedder) as (factory, catalog):
        assert ItemState.INDEXED is await put(catalog, "a", "tea")
        await write(catalog)
        assert [("tea",)] == embedder.batches
        assert 0 == factory.batchers[OTHER].queued_texts
        embedder.release()


async def test_a_vector_that_comes_late_is_not_paid_for_twice(tmp_path: Path) -> None:
    """The vector of a text that came too late for its write is used for the pending item."""
    embedder = HeldEmbedder()
    async with re_embedding(tmp_path, embedder) as (factory, catalog):
        generation, text_embedder = other(catalog)
        await put(catalog, "a", "tea")
        await put(catalog, "b", "gin")
        embedder.release()
        await wait_for_vector(factory, generation, "tea")
        pending = PendingEmbedder(factory.stores.pending, generation, text_embedder)
        assert 2 == await pending.run_round()
        assert [] == await factory.stores.pending.list_groups(generation)
    assert [("tea",), ("gin",)] == embedder.batches


async def test_writes_wait_again_once_the_model_answers(tmp_path: Path) -> None:
    """After the model has embedded a text in time, writes have their vectors at once."""
    embedder = HeldEmbedder()
    async with re_embedding(tmp_path, embedder) as (factory, catalog):
        generation, _ = other(catalog)
        await put(catalog, "a", "tea")
        embedder.release()
        await wait_for_vector(factory, generation, "tea")
        await put(catalog, "b", "gin")  # does not wait, but tries the model
        await wait_for_vector(factory, generation, "gin")
        await put(catalog, "c", "rum")
        due = await factory.stores.pending.list_due(generation, 10)
        assert "rum" not in {item.text for item in due}
    assert [("tea",), ("gin",), ("rum",)] == embedder.batches


async def test_a_bug_in_the_other_model_does_not_end_the_server(tmp_path: Path) -> None:
    """A text that makes the code of a generation that does not serve raise is pending there."""
    async with re_embedding(tmp_path, HeldEmbedder()) as (factory, catalog):
        other_generation = catalog.generations.other
        assert other_generation is not None
        broken = BrokenTextEmbedder(other_generation.writer.text_embedder)
        writer = replace(other_generation.writer, text_embedder=broken)
        generations = replace(catalog.generations, other=OtherGeneration(writer, factory.spawn))
        items = CatalogItems(factory.stores.items, generations)
        written = await items.upsert(ItemUpsert(Item("a", "tea")))
        assert ItemState.INDEXED is written.stored.state
        due = await factory.stores.pending.list_due(writer.generation, 10)
        assert ["tea"] == [item.text for item in due]
