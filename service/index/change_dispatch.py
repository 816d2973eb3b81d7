"""Tells the followers of many catalogs of a commit, with one query for all of them.

Each commit changes few catalogs, but each follower reflects every commit. With many catalogs, the
store says once which of them have changed. Only their followers read; the others only note the
number that they have reached.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Protocol

import structlog

from service import errors
from service.domain.items import Anchor, ChangedCatalogs
from service.index.change_feed import ChangeFeed

# Up to as many followers look for changes themselves: it takes less time than one more query.
MAX_DIRECT_FOLLOWERS = 16

# Followers that read while others commit are at different places. Those at the rarest places read.
CONFIRMED_ANCHORS = 8


class Dispatched(Protocol):
    """A follower as the dispatch needs it."""

    @property
    def catalog_id(self) -> int:
        """The catalog that it follows."""

    def wake(self) -> None:
        """Look for changes."""

    @property
    def anchor(self) -> Anchor:
        """Its place in the history of the store."""

    def skip(self, after: int, changed: ChangedCatalogs, doubts: int) -> bool:
        """Note that the catalog has not changed since `after`; return False if that cannot be."""


class ChangeDispatch:
    """Wakes followers after commits, while `run` runs.

    Args:
        feed: the store.
    """

    def __init__(self, feed: ChangeFeed) -> None:
        self._feed = feed
        self._followers: set[Dispatched] = set()
        self._reached = 0
        self._has_news = asyncio.Event()

    def add(self, follower: Dispatched) -> None:
        """Wake a follower after each commit that it may have to read."""
        self._followers.add(follower)

    def remove(self, follower: Dispatched) -> None:
        """Wake a follower no longer."""
        self._followers.discard(follower)

    async def run(self) -> None:
        """Dispatch until cancelled."""
        self._feed.listen(self._note_commit)
        try:
            while True:
                await self._has_news.wait()
                self._has_news.clear()
                await self._dispatch()
        finally:
            self._feed.unlisten(self._note_commit)

    def _note_commit(self, _sequence: int) -> None:
        if len(self._followers) <= MAX_DIRECT_FOLLOWERS:
            self._wake_all()
        else:
            self._has_news.set()

    async def _dispatch(self) -> None:
        after, doubts = self._reached, self._feed.doubts
        anchors = Counter(follower.anchor for follower in self._followers)
        common_anchors = [anchor for anchor, _ in anchors.most_common(CONFIRMED_ANCHORS)]
        try:
            changed = await self._feed.changed_catalogs(after, common_anchors)
        except errors.AkinError as exc:
            structlog.get_logger().warning("changed_catalogs_unknown", reason=exc.reason)
            return self._wake_all()  # each one tries again by itself
        self._reached = changed.reached
        if doubts != self._feed.doubts:
            return self._wake_all()
        for follower in tuple(self._followers):
            has_changed = follower.catalog_id in changed.catalog_ids
            if has_changed or not follower.skip(after, changed, doubts):
                follower.wake()
        return None

    def _wake_all(self) -> None:
        for follower in tuple(self._followers):
            follower.wake()
