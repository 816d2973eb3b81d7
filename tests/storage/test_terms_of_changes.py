"""The words of items, as followers read them: in both stores, and after snapshots without them."""

from dataclasses import replace
from pathlib import Path

from support.clock import FakeClock
from support.embedders import DIMENSIONS, SPACE
from support.item_indexes import INDEX_THREADS
from support.stores import delete_item, indexed, opened, pending

from service.domain.generations import Generation
from service.domain.text_formats import TextFormat
from service.index.faiss_segmented import SegmentedIndex
from service.index.item_index import ItemIndex
from service.index.restoring import Restorer
from service.index.snapshot_manifest import SnapshotOrigin
from service.index.snapshots import Snapshots
from service.index.term_index import TermIndex
from service.storage.stores import Stores

LIMIT = 1_000


def make_with_terms() -> ItemIndex:
    return ItemIndex(SegmentedIndex(DIMENSIONS), FakeClock(), TermIndex())


async def read_terms(stores: Stores, generation: Generation) -> dict[str, dict[str, int]]:
    """The terms of each change, by item id."""
    batch = await stores.items.changes(generation, 0, LIMIT, with_terms=True)
    return {change.item_id: dict(change.term_counts) for change in batch.changes}


async def test_changes_have_the_terms_of_present_texts(tmp_path: Path) -> None:
    """Requested changes have the terms of the text that is stored, pending or not."""
    async with opened(tmp_path, FakeClock()) as (stores, catalog):
        await stores.items.upsert_many(catalog, [indexed("a", "old"), indexed("b", "a b a")])
        await stores.items.upsert_many(catalog, [indexed("a", "new <b>bold</b>")])
        await stores.items.upsert_many(catalog, [pending("b", "waiting"), indexed("c", "gone")])
        await delete_item(stores, catalog, "c")
        plain = {"a": {"new": 1, "b": 2, "bold": 1}, "b": {"waiting": 1}, "c": {}}
        assert plain == await read_terms(stores, catalog)
        html = replace(catalog, text_format=TextFormat.HTML)
        assert {"new": 1, "bold": 1} == (await read_terms(stores, html))["a"]
        batch = await stores.items.changes(catalog, 0, LIMIT)
        assert {} == {term: count for c in batch.changes for term, count in c.term_counts.items()}


async def test_a_snapshot_without_terms_gets_those_of_the_store(tmp_path: Path) -> None:
    """An index from a snapshot that was saved without terms finds by the words of all items."""
    count = LIMIT + 200
    async with opened(tmp_path, FakeClock()) as (stores, catalog):
        writes = [indexed(f"i{n}", f"word{n} common") for n in range(count)]
        await stores.items.upsert_many(catalog, writes)
        origin = SnapshotOrigin(stores.database.store_id, SPACE.fingerprint)
        without = ItemIndex(SegmentedIndex(DIMENSIONS), FakeClock())
        while without.sequence < stores.items.last_sequence:
            batch = await stores.items.changes(catalog, without.sequence, LIMIT, without.anchor)
            without.apply(batch.changes, batch.reached, batch.anchor)
        Snapshots(tmp_path / "index", origin).save(without.capture())
        await delete_item(stores, catalog, "i0")
        snapshots = Snapshots(tmp_path / "index", origin)
        restorer = Restorer(stores.items, catalog, snapshots, make_with_terms, INDEX_THREADS)
        restored = await restorer.restore()
        assert restored is not None
        assert restored.terms is not None
        assert snapshots.needs_renewal
        (key,) = restored.find_keys([f"i{count - 1}"])
        shares = restored.terms.score([f"word{count - 1}"], count)
        assert key == shares.argmax()
        assert shares[key] > 0
        snapshots.save(restored.capture())
        again = Snapshots(tmp_path / "index", origin)
        assert await Restorer(
            stores.items, catalog, again, make_with_terms, INDEX_THREADS
        ).restore()
        assert not again.needs_renewal
