"""Which items have vectors of their callers, as followers read it, in both stores."""

from pathlib import Path

import numpy as np
from support.clock import FakeClock
from support.embedders import DIMENSIONS, SPACE
from support.item_indexes import INDEX_THREADS
from support.stores import delete_item, indexed, opened, pending

from service.domain.items import Item
from service.domain.own_vectors import make_own_chunks
from service.index.faiss_segmented import SegmentedIndex
from service.index.item_index import ItemIndex
from service.index.restoring import Restorer
from service.index.snapshot_manifest import SnapshotOrigin
from service.index.snapshots import Snapshots
from service.storage.records import ItemVectors, ItemWrite

LIMIT = 1_000


def own(item_id: str, seed: int) -> ItemWrite:
    """An item with vectors of its caller."""
    vectors = np.random.default_rng(seed).normal(size=(2, DIMENSIONS)).astype("<f4")
    chunks = make_own_chunks([vector.tobytes() for vector in vectors])
    return ItemWrite(Item(item_id, "tea"), ItemVectors(chunks))


def make_item_index() -> ItemIndex:
    """An empty item index."""
    return ItemIndex(SegmentedIndex(DIMENSIONS), FakeClock())


async def test_changes_tell_whose_vectors_serve(tmp_path: Path) -> None:
    """The answer has the items that serve with vectors of callers, present or former ones."""
    async with opened(tmp_path, FakeClock()) as (stores, catalog):
        writes = [own("a", 1), own("b", 2), own("c", 3), own("d", 4), indexed("e", "tea")]
        await stores.items.upsert_many(catalog, writes)
        await stores.items.upsert_many(catalog, [pending("b", "rum"), indexed("c", "tea")])
        await delete_item(stores, catalog, "d")
        batch = await stores.items.changes(catalog, 0, LIMIT)
        assert {"a": True, "b": True, "c": False, "d": False, "e": False} == {
            change.item_id: change.has_own_vectors for change in batch.changes
        }
        assert ["a", "b"] == sorted(await stores.items.own_vector_ids(catalog))


async def test_a_snapshot_of_a_former_version_learns_it_from_the_store(tmp_path: Path) -> None:
    """An index from a snapshot that does not say so knows whose vectors are of callers."""
    async with opened(tmp_path, FakeClock()) as (stores, catalog):
        await stores.items.upsert_many(catalog, [own("a", 1), indexed("b", "tea")])
        batch = await stores.items.changes(catalog, 0, LIMIT)
        item_index = make_item_index()
        item_index.apply(batch.changes, batch.reached, batch.anchor)
        state = item_index.capture()
        arrays = {name: array for name, array in state.arrays.items() if name != "own_vector_keys"}
        origin = SnapshotOrigin(stores.database.store_id, SPACE.fingerprint)
        Snapshots(tmp_path / "index", origin).save(state._replace(arrays=arrays))
        for needs_renewal in (True, False):
            snapshots = Snapshots(tmp_path / "index", origin)
            restored = await Restorer(
                stores.items, catalog, snapshots, make_item_index, INDEX_THREADS
            ).restore()
            assert restored is not None
            assert needs_renewal == snapshots.needs_renewal
            mask = restored.compute_text_vector_mask(None, ())
            assert mask is not None
            assert ["b"] == restored.get_ids(np.flatnonzero(mask).tolist())
            snapshots.save(restored.capture())
