"""Finds the items from which new items borrow scores, when nobody calls."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

import structlog

from service import errors
from service.index.follower import Follower
from service.recommend.behavior_model import BehaviorModel
from service.recommend.new_items import MAX_NEW_ITEMS, NewItems
from service.storage.behavior_models import BehaviorModelStore

# Pause after all new items have their neighbors, and after each round, for calls to come first.
NEW_ITEMS_IDLE_SECONDS = 2.0
NEW_ITEMS_REST_SECONDS = 0.02


async def follow_new_items(
    store: BehaviorModelStore,
    follower: Follower,
    new_items: NewItems,
    find_model: Callable[[], BehaviorModel | None],
) -> None:
    """Keep the neighbors of new items current until cancelled.

    Args:
        store: knows which items are new.
        follower: has the item index.
        new_items: the neighbors.
        find_model: returns the present model of the catalog.
    """
    state: tuple[BehaviorModel, int] | None = None
    while True:
        await asyncio.sleep(NEW_ITEMS_IDLE_SECONDS)
        model = find_model()
        if model is None or state == (model, follower.sequence):
            continue
        state = model, follower.sequence
        try:
            new_ids = await store.list_new_ids(
                follower.catalog_id, follower.item_count, MAX_NEW_ITEMS
            )
            unlearned_ids = await asyncio.to_thread(model.list_unlearned, new_ids)
        except errors.AkinError as exc:
            structlog.get_logger().warning("new_items_failed", reason=exc.reason)
            continue
        update = partial(new_items.update, model=model, new_ids=unlearned_ids)
        has_more = True
        while has_more:
            has_more = await follower.read_in_worker(update)
            await asyncio.sleep(NEW_ITEMS_REST_SECONDS)
