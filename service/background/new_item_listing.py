"""Lists the new items of a catalog again after its items or its model have changed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import structlog

from service import errors
from service.index.index_reader import IndexReader
from service.recommend.behavior_model import BehaviorModel
from service.recommend.new_items import MAX_NEW_ITEMS, NewItems
from service.storage.behavior_models import BehaviorModelStore

# The pause between two listings, at least and in multiples of the time that a listing takes.
NEW_ITEMS_PAUSE_SECONDS = 2.0
NEW_ITEMS_PAUSE_FACTOR = 20


async def list_new_items(
    store: BehaviorModelStore,
    reader: IndexReader,
    new_items: NewItems,
    find_model: Callable[[], BehaviorModel | None],
    wait_for_model: Callable[[], Awaitable[None]],
) -> None:
    """Keep the new items of a catalog current until cancelled.

    Args:
        store: knows which items are new.
        reader: of the index of the items.
        new_items: where they are listed.
        find_model: returns the present model of the catalog.
        wait_for_model: waits until the catalog has a model.
    """
    state: tuple[BehaviorModel, int, int] | None = None
    pause = NEW_ITEMS_PAUSE_SECONDS
    while True:
        await wait_for_model()
        await asyncio.sleep(pause)
        model = find_model()
        if model is None or state == (model, reader.sequence, reader.change_count):
            continue
        state = model, reader.sequence, reader.change_count
        started = time.monotonic()
        try:
            ids = await store.list_new_ids(reader.catalog_id, reader.item_count, MAX_NEW_ITEMS)
        except errors.AkinError as exc:
            structlog.get_logger().warning("new_items_failed", reason=exc.reason)
            continue
        new_items.ids = await asyncio.to_thread(model.select_unlearned, ids)
        seconds = time.monotonic() - started
        pause = max(NEW_ITEMS_PAUSE_SECONDS, NEW_ITEMS_PAUSE_FACTOR * seconds)
