"""Preferences that a generation did not embed within the write of their user."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from support.embedders import SPACE, Fault, FaultyEmbedder, HeldEmbedder
from support.open_catalogs import WordCatalogs, word_catalogs
from support.stores import chunks_of, remove_dropped, rows

from service.background.pending_preferences import PREFERENCES_SECONDS, PreferenceEmbedder
from service.background.reembedding import GenerationFiller
from service.catalog.generation_writer import GenerationWriter
from service.catalog.handle import CatalogHandle
from service.domain.generations import Generation
from service.domain.spaces import Model
from service.domain.users import Preference, User
from service.domain.writes import UserUpsert
from service.embedding.embedder import Embedder
from service.embedding.prompts import hash_text
from service.storage.records import UserWrite

OTHER = Model(replace(SPACE, model="other words"))
FAR_FUTURE_US = 1 << 62
GIN = User("u", (Preference("gin"),))


def ignore_end() -> None:
    """Do nothing once a generation is filled."""


@asynccontextmanager
async def re_embedding(
    folder: Path, embedder: Embedder
) -> AsyncIterator[tuple[WordCatalogs, CatalogHandle, GenerationWriter]]:
    """Run the catalog `shop`, whose next generation was filled before a user was written."""
    async with word_catalogs(folder, {OTHER: embedder}) as factory:
        await factory.start_next(OTHER)
        async with factory.catalogs.use("shop") as catalog:
            assert catalog.generations.other is not None
            writer = catalog.generations.other.writer
            stores = factory.stores
            filler = GenerationFiller(stores.reembedding, stores.generations, writer, ignore_end)
            await filler.run()
            yield factory, catalog, writer


def preference_embedder(factory: WordCatalogs, writer: GenerationWriter) -> PreferenceEmbedder:
    return PreferenceEmbedder(factory.stores.reembedding, writer.generation, writer.text_embedder)


async def remains_after_a_purge(factory: WordCatalogs, generation: Generation, text: str) -> bool:
    """Return whether the purge keeps the vector of a text whatever the retention time is."""
    await factory.stores.unused_rows.remove_unused_vectors(FAR_FUTURE_US, 0)
    return bool(await factory.stores.vectors.get_many(generation, [hash_text(text)]))


async def test_a_vector_that_comes_late_belongs_to_its_user(tmp_path: Path) -> None:
    """A preference whose vector came after the write and the filling uses it, without a payment."""
    embedder = HeldEmbedder()
    async with re_embedding(tmp_path, embedder) as (factory, catalog, writer):
        await catalog.users.upsert(UserUpsert(GIN))
        embedder.release()
        while not await factory.stores.vectors.get_many(writer.generation, [hash_text("gin")]):
            pass
        assert 1 == await preference_embedder(factory, writer).run_round()
        assert await remains_after_a_purge(factory, writer.generation, "gin")
        assert 0 == await preference_embedder(factory, writer).run_round()
    assert [("gin",)] == embedder.batches


async def test_a_preference_is_tried_again_after_an_outage(tmp_path: Path) -> None:
    """While the model fails, a user is tried at intervals and at a start, and stays pending."""
    embedder = FaultyEmbedder(Fault.UNAVAILABLE)
    async with re_embedding(tmp_path, embedder) as (factory, catalog, writer):
        await catalog.users.upsert(UserUpsert(GIN))
        pending = preference_embedder(factory, writer)
        assert 1 == await pending.run_round()
        assert 0 == await pending.run_round()
        await factory.stores.pending.retry_all()
        assert 1 == await pending.run_round()
        assert 0 == await pending.run_round()
        embedder.fault = None
        factory.clock.advance(microseconds=int(PREFERENCES_SECONDS * 1e6))
        assert 1 == await pending.run_round()
        assert await remains_after_a_purge(factory, writer.generation, "gin")
        factory.clock.advance(microseconds=int(PREFERENCES_SECONDS * 1e6))
        assert 0 == await pending.run_round()


async def test_a_rejected_preference_is_not_tried_again(tmp_path: Path) -> None:
    """A text that another model rejects costs one request, and its user is not pending."""
    embedder = FaultyEmbedder(Fault.ZEROS)
    async with re_embedding(tmp_path, embedder) as (factory, catalog, writer):
        await catalog.users.upsert(UserUpsert(GIN))
        assert 0 == await preference_embedder(factory, writer).run_round()
    assert [("gin",)] == embedder.batches


async def test_a_write_that_did_not_know_a_generation_is_pending_there(tmp_path: Path) -> None:
    """As from another worker, or from before a switch; a user without preferences is complete."""
    async with re_embedding(tmp_path, HeldEmbedder()) as (factory, catalog, writer):
        serving = catalog.generations.serving.generation
        chunks = {serving.generation_id: chunks_of("gin")}
        writes = [UserWrite(GIN, chunks), UserWrite(User("v"), {})]
        await factory.stores.users.upsert_many(serving, writes)
        (due,) = await factory.stores.reembedding.list_pending_preferences(writer.generation, 10)
        assert ["gin"] == due.texts
        await factory.stores.users.update(serving, "u", lambda _: User("u"), {})
        assert [] == await factory.stores.reembedding.list_pending_preferences(
            writer.generation, 10
        )


@pytest.mark.parametrize("end", ["user", "re-embedding", "catalog"])
async def test_nothing_is_pending_for_what_is_gone(tmp_path: Path, end: str) -> None:
    """A deleted user or catalog, or a cancelled re-embedding, has no pending preference."""
    async with re_embedding(tmp_path, HeldEmbedder()) as (factory, catalog, writer):
        serving, stores = catalog.generations.serving.generation, factory.stores
        write = UserWrite(GIN, {serving.generation_id: chunks_of("gin")})
        await stores.users.upsert_many(serving, [write])
        if end == "user":
            await stores.users.delete(serving, "u")
        elif end == "re-embedding":
            await stores.generations.cancel(catalog.record)
        else:
            await stores.generations.delete_catalog("shop")
        assert 0 == await preference_embedder(factory, writer).run_round()
        await remove_dropped(stores)
    assert [] == rows(tmp_path, "SELECT * FROM pending_users")
    assert [] == rows(tmp_path, "PRAGMA foreign_key_check")
