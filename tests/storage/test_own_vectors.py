"""Items with vectors of their callers, written through a catalog over both stores."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.embedders import DIMENSIONS, SPACE, HeldEmbedder, WordEmbedder, raw_vector
from support.open_catalogs import MODEL, WordCatalogs, word_catalogs
from support.stores import pending

from service import errors
from service.catalog.handle import CatalogHandle
from service.domain.generations import Generation
from service.domain.items import Item, ItemState
from service.domain.own_vectors import make_own_chunks
from service.domain.spaces import Model
from service.domain.usage import TokenUsage
from service.domain.vectors import Chunk
from service.domain.writes import ItemField, ItemUpdate, ItemUpsert
from service.embedding.embedder import EmbeddedText, Embeddings
from service.embedding.normalization import normalize_batch
from service.embedding.prompts import hash_text
from service.storage.records import ItemVectors, ItemWrite, UnembeddedItem

OTHER = Model(replace(SPACE, model="other words"))
VECTORS = ItemField.VECTORS
DAY_US = 86_400_000_000


class OtherEmbedder(WordEmbedder):
    """An embedder with other vectors than WordEmbedder."""

    async def embed(self, texts: Sequence[str]) -> Embeddings:
        """Embed one batch."""
        return await super().embed([f"other {text}" for text in texts])


def own_vectors(seed: int, count: int = 1, dimensions: int = DIMENSIONS) -> tuple[bytes, ...]:
    """Vectors of a caller, of unit length."""
    vectors = np.random.default_rng(seed).normal(size=(count, dimensions)).astype("<f4")
    return tuple(
        chunk.vector.tobytes() for chunk in make_own_chunks([each.tobytes() for each in vectors])
    )


def own_item(item_id: str, text: str, *vectors: bytes) -> Item:
    """An item with vectors of its caller."""
    return Item(item_id, text, vectors=vectors)


async def vectors_of(catalog: CatalogHandle, item_id: str) -> tuple[bytes, ...]:
    """The vectors that an item serves with."""
    return tuple((await catalog.items.get(item_id, with_vectors=True)).vectors)


def chunks_of(prompt: str, text: str | None = None) -> list[Chunk]:
    """The only chunk of a prompt, or of a text that is embedded as the prompt."""
    (embedded,) = normalize_batch(Embeddings(raw_vector(prompt)[np.newaxis], 1, 0.0), 1, DIMENSIONS)
    assert isinstance(embedded, EmbeddedText)
    return [Chunk(hash_text(text or prompt), embedded.vector)]


def text_vectors(text: str) -> tuple[bytes, ...]:
    """The vectors of a text."""
    return tuple(chunk.vector.tobytes() for chunk in chunks_of(text))


async def test_a_vector_never_becomes_that_of_the_text(tmp_path: Path) -> None:
    """An item with vectors embeds nothing, and another item with its text has the text's vector."""
    embedder = WordEmbedder()
    async with (
        word_catalogs(tmp_path, {MODEL: embedder}) as factory,
        factory.catalogs.use("shop") as catalog,
    ):
        (own,) = own_vectors(1)
        written = await catalog.items.upsert(ItemUpsert(own_item("a", "black tea", own)))
        assert (ItemState.INDEXED, False, 0) == (
            written.stored.state,
            written.embedded,
            written.usage.prompt_tokens,
        )
        assert [] == embedder.texts
        written = await catalog.items.upsert(ItemUpsert(Item("b", "black tea")))
        assert written.embedded
        await catalog.items.upsert(ItemUpsert(own_item("c", "black tea", own)))
        assert [(own,), text_vectors("black tea"), (own,)] == [
            await vectors_of(catalog, item_id) for item_id in "abc"
        ]
        assert ["black tea"] == embedder.texts


async def test_every_read_tells_own_vectors(tmp_path: Path) -> None:
    """Writes and reads say whose vectors an item has; those of a former version do not count."""
    async with word_catalogs(tmp_path) as factory, factory.catalogs.use("shop") as catalog:
        generation = catalog.generations.serving.generation
        for item_id in "ad":
            written = await catalog.items.upsert(
                ItemUpsert(own_item(item_id, "tea", *own_vectors(1, 2)))
            )
            assert written.stored.has_own_vectors
        written = await catalog.items.upsert(ItemUpsert(Item("b", "tea")))
        assert not written.stored.has_own_vectors
        await factory.stores.items.upsert_many(generation, [pending("c", "tea"), pending("d", "x")])
        changed = await catalog.items.update(
            ItemUpdate(Item("a", "", {"price": 3.0}), frozenset({ItemField.ATTRIBUTES}))
        )
        assert changed.stored.has_own_vectors
        for with_vectors in (False, True):
            got = await catalog.items.get_many(list("abcd"), with_vectors=with_vectors)
            listed = await catalog.items.list_page("", 10, None, with_vectors=with_vectors)
            page, _ = await factory.stores.items.get_page(
                generation, list("abcd"), 2**20, with_vectors=with_vectors
            )
            for items in (got.values(), listed.items, page):
                assert {"a": True, "b": False, "c": False, "d": False} == {
                    stored.item.item_id: stored.has_own_vectors for stored in items
                }


async def test_updates_keep_replace_or_remove_vectors(tmp_path: Path) -> None:
    """Attributes keep the vectors; the mask sets and removes them; a text alone removes them."""
    async with word_catalogs(tmp_path) as factory, factory.catalogs.use("shop") as catalog:
        first, second = own_vectors(1, 3), own_vectors(2)
        await catalog.items.upsert(ItemUpsert(own_item("a", "black tea", *first)))

        async def update(item: Item, *fields: ItemField) -> tuple[bytes, ...]:
            await catalog.items.update(ItemUpdate(item, frozenset(fields)))
            return await vectors_of(catalog, "a")

        attributes = Item("a", "", {"price": 3.0})
        assert first == await update(attributes, ItemField.ATTRIBUTES)
        assert second == await update(own_item("a", "", *second), VECTORS)
        assert text_vectors("black tea") == await update(Item("a", ""), VECTORS)
        new = own_item("a", "green tea", *first)
        assert first == await update(new, ItemField.TEXT, VECTORS)
        assert text_vectors("green tea") == await update(Item("a", "green tea"), ItemField.TEXT)
        stored = await catalog.items.get("a")
        assert ("green tea", {"price": 3.0}) == (stored.item.text, stored.item.attributes)
        await catalog.items.upsert(ItemUpsert(own_item("a", "green tea", *first)))
        await catalog.items.upsert(ItemUpsert(Item("a", "green tea")))
        assert text_vectors("green tea") == await vectors_of(catalog, "a")


async def test_vectors_of_another_width_are_refused(tmp_path: Path) -> None:
    """The error names the field and the width; nothing is embedded or stored, and others are."""
    embedder = WordEmbedder()
    async with (
        word_catalogs(tmp_path, {MODEL: embedder}) as factory,
        factory.catalogs.use("shop") as catalog,
    ):
        good, bad = own_vectors(1)[0], own_vectors(1, dimensions=DIMENSIONS - 1)[0]
        await catalog.items.upsert(ItemUpsert(own_item("a", "tea", good)))
        rule = rf"item.vectors\[1\].values must have {DIMENSIONS} values"
        with pytest.raises(errors.InvalidRequest, match=rule):
            await catalog.items.upsert(ItemUpsert(own_item("b", "tea", good, bad)))
        change = ItemUpdate(own_item("a", "rum", good, bad), frozenset({ItemField.TEXT, VECTORS}))
        with pytest.raises(errors.InvalidRequest, match=rule):
            await catalog.items.update(change)
        assert [] == embedder.texts
        items = [own_item("b", "tea", good, bad), Item("c", "tea"), own_item("d", "rum", good)]
        estimate = await catalog.items.estimate_import(items)
        assert 1 == estimate.usage.text_count
        prepared = await catalog.items.prepare_import(items, require_indexed=True)
        refused, *stored = await catalog.items.store_import(prepared)
        assert isinstance(refused, errors.InvalidRequest)
        assert isinstance(estimate.entries[0], errors.InvalidRequest)
        assert 2 == len(stored)
        assert ["tea"] == embedder.texts
        assert [(good,), text_vectors("tea"), (good,)] == [
            await vectors_of(catalog, item_id) for item_id in "acd"
        ]


async def test_a_late_embedding_does_not_replace_vectors(tmp_path: Path) -> None:
    """What the background embeds for a pending item is not used once the item got vectors."""
    async with word_catalogs(tmp_path) as factory, factory.catalogs.use("shop") as catalog:
        generation = catalog.generations.serving.generation
        await factory.stores.items.upsert_many(generation, [pending("a", "tea")])
        (item,) = await factory.stores.pending.list_due(generation, 10)
        await catalog.items.upsert(ItemUpsert(own_item("a", "tea", *own_vectors(1))))
        assert 0 == await factory.stores.pending.settle(generation, item, chunks_of("tea"))
        assert own_vectors(1) == await vectors_of(catalog, "a")


async def test_vectors_are_not_removed_for_a_former_text(tmp_path: Path) -> None:
    """If the text changes while it is embedded, the new one is embedded instead."""
    embedder = HeldEmbedder()
    async with (
        word_catalogs(tmp_path, {MODEL: embedder}) as factory,
        factory.catalogs.use("shop") as catalog,
    ):
        await catalog.items.upsert(ItemUpsert(own_item("a", "tea", *own_vectors(1))))
        removal = asyncio.ensure_future(
            catalog.items.update(ItemUpdate(Item("a", ""), frozenset({VECTORS})))
        )
        await embedder.held.wait()
        await catalog.items.upsert(ItemUpsert(own_item("a", "rum", *own_vectors(2))))
        embedder.release()
        await removal
        assert text_vectors("rum") == await vectors_of(catalog, "a")


async def test_unused_vectors_of_callers_are_purged_at_once(tmp_path: Path) -> None:
    """Vectors that nobody paid for go with the next purge; paid ones stay for their retention."""
    async with word_catalogs(tmp_path) as factory, factory.catalogs.use("shop") as catalog:
        stores, generation = factory.stores, catalog.generations.serving.generation
        own = [ItemVectors(make_own_chunks(own_vectors(seed))) for seed in range(3)]
        writes = [
            ItemWrite(Item(item_id, "tea"), each) for item_id, each in zip("abc", own, strict=True)
        ]
        await stores.items.upsert_many(generation, writes)
        await catalog.items.upsert(ItemUpsert(Item("a", "rum")))
        await catalog.items.upsert(ItemUpsert(Item("a", "gin")))
        await stores.items.delete_many(generation, ["b"])
        removed, _ = await stores.unused_rows.remove_unused_vectors(
            stores.database.now_us(), DAY_US
        )
        assert 2 == removed
        kept = [*(chunk.text_hash for each in own for chunk in each.chunks), hash_text("rum")]
        stored = await stores.vectors.get_many(generation, kept)
        assert {own[2].chunks[0].text_hash, hash_text("rum")} == stored.keys()
        assert own_vectors(2) == await vectors_of(catalog, "c")


class Walk:
    """Random writes and re-embeddings, and the vectors that each item must have in each space.

    Args:
        factory: the catalogs.
        seed: of the choices.
    """

    def __init__(self, factory: WordCatalogs, seed: int) -> None:
        self._factory = factory
        self._choices = random.Random(seed)
        self._texts: dict[str, str] = {}
        self._own: dict[tuple[Model, str], tuple[bytes, ...]] = {}
        self._serving = MODEL

    async def step(self) -> None:
        """Make a write or a step of a re-embedding, and check every item."""
        steps = [self._upsert] * 4 + [self._update] * 4 + [self._delete, self._move_on, self._undo]
        await self._choices.choice(steps)()
        await self._check()

    def _choose_item(self) -> Item:
        item_id, text = self._choices.choice("abcde"), self._choices.choice(["tea", "rum", "gin"])
        seed = self._choices.randrange(5)
        vectors = own_vectors(seed, 1 + seed % 2) if self._choices.random() < 0.5 else ()
        return Item(item_id, text, vectors=vectors)

    def _note(self, item: Item, text: str) -> None:
        self._texts[item.item_id] = text
        for model in (MODEL, OTHER):
            self._own.pop((model, item.item_id), None)
        if item.vectors:
            self._own[self._serving, item.item_id] = item.vectors

    async def _upsert(self) -> None:
        item = self._choose_item()
        async with self._factory.catalogs.use("shop") as catalog:
            if self._choices.random() < 0.5:
                await catalog.items.upsert(ItemUpsert(item))
            else:
                prepared = await catalog.items.prepare_import([item], require_indexed=False)
                await catalog.items.store_import(prepared)
        self._note(item, item.text)

    async def _update(self) -> None:
        item = self._choose_item()
        fields = frozenset(self._choices.sample([*ItemField], 2))
        if item.item_id not in self._texts:
            return
        async with self._factory.catalogs.use("shop") as catalog:
            await catalog.items.update(ItemUpdate(item, fields))
        if fields & {ItemField.TEXT, VECTORS}:
            text = item.text if ItemField.TEXT in fields else self._texts[item.item_id]
            self._note(item if VECTORS in fields else replace(item, vectors=()), text)

    async def _delete(self) -> None:
        item_id = self._choices.choice("abcde")
        async with self._factory.catalogs.use("shop") as catalog:
            await catalog.items.delete(item_id, allow_missing=True)
        self._note(Item(item_id, ""), "")
        del self._texts[item_id]

    async def _move_on(self) -> None:
        """Take the next step of a re-embedding."""
        generations = self._factory.stores.generations
        async with self._factory.catalogs.use("shop") as catalog:
            record = catalog.record
        if record.previous is not None:
            former = record.previous.model
            await generations.commit(record)
            self._own = {key: own for key, own in self._own.items() if key[0] != former}
        elif record.next is None:
            await self._factory.start_next(OTHER if self._serving == MODEL else MODEL)
        else:
            next_ = record.next.generation
            await self._fill(next_, record.next.model)
            await generations.start_indexing(next_)
            assert await generations.switch(record.serving.generation, next_)
            self._serving = record.next.model
        await self._factory.catalogs.update()

    async def _undo(self) -> None:
        """Cancel a re-embedding, or roll it back."""
        generations = self._factory.stores.generations
        async with self._factory.catalogs.use("shop") as catalog:
            record = catalog.record
        if record.previous is not None:
            await generations.rollback(record)
            dropped, self._serving = self._serving, record.previous.model
            self._own = {key: own for key, own in self._own.items() if key[0] != dropped}
        elif record.next is not None:
            await generations.cancel(record)
        await self._factory.catalogs.update()

    async def _fill(self, generation: Generation, model: Model) -> None:
        """Embed what is missing in a generation."""
        stores = self._factory.stores
        for item in await stores.pending.list_due(generation, 100):
            await stores.pending.settle(generation, item, _chunks_in(model, item))
        unfilled = await stores.reembedding.list_unfilled(generation, 0, 100)
        await stores.reembedding.fill(
            generation,
            [(item, _chunks_in(model, item)) for item in unfilled],
            TokenUsage(0, 0.0),
        )

    async def _check(self) -> None:
        async with self._factory.catalogs.use("shop") as catalog:
            page = await catalog.items.list_page("", 100, None, with_vectors=True)
        assert self._texts == {stored.item.item_id: stored.item.text for stored in page.items}
        for stored in page.items:
            own = self._own.get((self._serving, stored.item.item_id))
            text = _prompt_in(self._serving, stored.item.text)
            assert (own or text_vectors(text)) == tuple(stored.vectors)
            assert stored.has_own_vectors == (own is not None)


def _prompt_in(model: Model, text: str) -> str:
    return text if model == MODEL else f"other {text}"


def _chunks_in(model: Model, item: UnembeddedItem) -> list[Chunk]:
    return chunks_of(_prompt_in(model, item.text), item.text)


@pytest.mark.parametrize("seed", range(4))
async def test_spaces_never_mix(tmp_path: Path, seed: int) -> None:
    """Whatever is written and switched, an item has its caller's vectors or those of its text.

    The caller's vectors come from the last write of vectors or text in the space that serves.
    """
    embedders = {MODEL: WordEmbedder(), OTHER: OtherEmbedder()}
    async with word_catalogs(tmp_path, embedders) as factory:
        walk = Walk(factory, seed)
        for _ in range(60):
            await walk.step()
