"""Imports of items with vectors of their callers, while the provider does not respond."""

import asyncio
from pathlib import Path

from support.embedders import HeldEmbedder, unit_vector
from support.open_catalogs import MODEL, word_catalogs

from service.domain.items import Item, ItemState, StoredItem
from service.embedding.batcher import EMBEDDED_MESSAGES


async def test_items_with_vectors_do_not_wait_for_the_provider(tmp_path: Path) -> None:
    """However many imports wait for the model, one that needs no embedding is stored at once."""
    embedder = HeldEmbedder()
    async with (
        word_catalogs(tmp_path, {MODEL: embedder}) as factory,
        factory.catalogs.use("shop") as catalog,
    ):
        imports = [
            asyncio.create_task(
                catalog.items.prepare_import(
                    [Item(f"t{number}", f"tea {number}")], require_indexed=False
                )
            )
            for number in range(EMBEDDED_MESSAGES + 2)
        ]
        await embedder.held.wait()
        item = Item("own", "tea", vectors=(unit_vector("rum").tobytes(),))
        prepared = await catalog.items.prepare_import([item], require_indexed=True)
        (stored,) = await catalog.items.store_import(prepared)
        assert isinstance(stored, StoredItem)
        assert ItemState.INDEXED is stored.state
        assert not any(task.done() for task in imports)
        embedder.release()
        await asyncio.gather(*imports)
