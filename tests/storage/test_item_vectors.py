"""Items that are read together with their vectors."""

from pathlib import Path

import numpy as np
from support.clock import FakeClock
from support.embedders import DIMENSIONS, unit_vector
from support.stores import indexed, opened, pending

VECTOR_BYTES = DIMENSIONS * np.dtype(np.float32).itemsize


async def test_items_have_their_own_vectors(tmp_path: Path) -> None:
    """Items come with their vectors on request, pending ones with those of their former text."""
    async with opened(tmp_path, FakeClock()) as (stores, generation):
        await stores.items.upsert_many(generation, [indexed("a", "tea"), indexed("b", "rum")])
        await stores.items.upsert_many(generation, [pending("b", "gin"), pending("c", "ale")])
        ids = ["a", "b", "c", "d"]
        items = await stores.items.get_many(generation, ids, with_vectors=True)
        expected = {"a": [unit_vector("tea")], "b": [unit_vector("rum")], "c": []}
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
