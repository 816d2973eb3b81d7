"""Finds the items from which new items borrow scores, when nobody calls."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from service.index.follower import Follower
from service.recommend.behavior_model import BehaviorModel
from service.recommend.new_items import NewItems

# Pause after all new items have their neighbors, and after each round, for calls to come first.
NEW_ITEMS_IDLE_SECONDS = 2.0
NEW_ITEMS_REST_SECONDS = 0.02


async def follow_new_items(
    follower: Follower, new_items: NewItems, find_model: Callable[[], BehaviorModel | None]
) -> None:
    """Keep the neighbors of new items current until cancelled.

    Args:
        follower: has the item index.
        new_items: the neighbors.
        find_model: returns the present model of the catalog.
    """
    while True:
        model, has_more = find_model(), False
        if model is not None:
            has_more = await follower.read_in_worker(partial(new_items.update, model=model))
        await asyncio.sleep(NEW_ITEMS_REST_SECONDS if has_more else NEW_ITEMS_IDLE_SECONDS)
