"""Items that are read together with their vectors."""

from itertools import chain
from pathlib import Path

import numpy as np
import pytest
from support.clock import FakeClock
from support.embedders import DIMENSIONS, unit_vector
from support.stores import chunks_of, indexed, opened, pending

from service import errors
from service.domain import limits
from service.domain.items import Item
from service.domain.vectors import Chunk
from service.storage.records import ItemVectors, ItemWrite

VECTOR_BYTES = DIMENSIONS * np.dtype(np.float32).itemsize


async def test_items_have_their_own_vectors(tmp_path: Path) -> None:
    """Items come with their vectors on request; pending ones have none, not even former ones."""
    async with opened(tmp_path, FakeClock()) as (stores, generation):
        await stores.items.upsert_many(generation, [indexed("a", "tea"), indexed("b", "rum")])
        await stores.items.upsert_many(generation, [pending("b", "gin"), pending("c", "ale")])
        ids = ["a", "b", "c", "d"]
        items = await stores.items.get_many(generation, ids, with_vectors=True)
        expected = {"a": [unit_vector("tea")], "b": [], "c": []}
        assert {
            item_id: [vector.tobytes() for vector in vectors]
            for item_id, vectors in expected.items()
        } == {item_id: list(stored.vectors) for item_id, stored in items.items()}
        plain = await stores.items.get_many(generation, ids)
        assert [] == [vector for stored in plain.values() for vector in stored.vectors]


async def test_a_page_ends_with_its_vectors(tmp_path: Path) -> None:
    """A page with vectors ends with the item whose vectors exceed the bytes, and says so."""
    async with opened(tmp_path, FakeClock()) as (stores, generation):
        ids = [f"i{number:03}" for number in range(120)]
        await stores.items.upsert_many(generation, [indexed(item_id, "x") for item_id in ids])
        max_bytes = 100 * VECTOR_BYTES
        page = await stores.items.list_page(generation, "", 1_000, max_bytes, with_vectors=True)
        assert ids[:101] == [stored.item.item_id for stored in page.items]
        assert {(unit_vector("x").tobytes(),)} == {tuple(stored.vectors) for stored in page.items}
        assert (True, 120) == (page.more, page.total)
        items, is_cut = await stores.items.get_page(generation, ids, max_bytes, with_vectors=True)
        assert (list(page.items), True) == (items, is_cut)
        items, is_cut = await stores.items.get_page(
            generation, ids[:101], max_bytes, with_vectors=True
        )
        assert (list(page.items), False) == (items, is_cut)
        page = await stores.items.list_page(generation, "", 1_000, max_bytes)
        assert (120, False) == (len(page.items), page.more)


async def test_vectors_of_many_items_fit_into_a_message(tmp_path: Path) -> None:
    """Items whose vectors no message could carry are not read on, and the error says what to do."""
    wide = Chunk(b"wide", np.ones(1024 * 1024 // 4, np.float32))
    ids = [f"i{number:03}" for number in range(60)]
    async with opened(tmp_path, FakeClock()) as (stores, generation):
        writes = [ItemWrite(Item(item_id, "x"), ItemVectors((wide,))) for item_id in ids]
        await stores.items.upsert_many(generation, writes)
        some = await stores.items.get_many(generation, ids[:15], with_vectors=True)
        assert {(wide.vector.tobytes(),)} == {tuple(stored.vectors) for stored in some.values()}
        for too_many in (18, 60):
            with pytest.raises(errors.AnswerTooLarge, match="fewer items") as raised:
                await stores.items.get_many(generation, ids[:too_many], with_vectors=True)
            assert str(limits.MESSAGE_BYTES) in raised.value.message
        assert len(ids) == len(await stores.items.get_many(generation, ids))


async def test_texts_beyond_a_bound_are_refused(tmp_path: Path) -> None:
    """Items whose texts exceed the bound together are an error that says what to do."""
    ids = [f"i{number:03}" for number in range(250)]
    async with opened(tmp_path, FakeClock()) as (stores, generation):
        await stores.items.upsert_many(generation, [indexed(each, "ü" * 50) for each in ids])
        items = await stores.items.get_many(generation, ids, max_text_bytes=250 * 100)
        assert {*ids} == items.keys()
        with pytest.raises(errors.AnswerTooLarge, match="fewer items") as raised:
            await stores.items.get_many(generation, ids, max_text_bytes=250 * 100 - 1)
        assert "24999" in raised.value.message


async def test_the_vectors_of_very_many_items_are_read(tmp_path: Path) -> None:
    """However many statements it takes, each item has its own vectors, in the order of chunks."""
    texts = {f"i{number:04}": [f"a{number}", f"b{number}"] for number in range(1_100)}
    async with opened(tmp_path, FakeClock()) as (stores, generation):
        writes = [
            ItemWrite(
                Item(item_id, "x"), ItemVectors([*chain.from_iterable(map(chunks_of, texts))])
            )
            for item_id, texts in texts.items()
        ]
        await stores.items.upsert_many(generation, writes)
        items = await stores.items.get_many(generation, list(texts), with_vectors=True)
        hashes = await stores.items.chunk_hashes(generation, list(texts))
        for write in writes:
            item_id, chunks = write.item.item_id, write.vectors.chunks
            assert [chunk.text_hash for chunk in chunks] == list(hashes[item_id])
            assert [chunk.vector.tobytes() for chunk in chunks] == list(items[item_id].vectors)
