"""Follows the latest changes of a catalog with a shared index."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from service.domain.items import Anchor
from service.index.follower import Follower
from service.index.item_index import ItemIndex
from service.index.shared.tail_index import TailIndex

_T = TypeVar("_T")


class TailFollower(Follower):
    """A follower whose item index is a TailIndex."""

    @property
    def tail(self) -> TailIndex:
        """The tail in use. Only its numbers may be read without its lock."""
        return _narrow(self._access.item_index)

    async def confirms(self, anchor: Anchor) -> bool:
        """Return whether an anchor is in the history of the store.

        Raises:
            StoreUnavailable: the store cannot be read.
        """
        return await self._feed.confirms(anchor)

    async def read_tail(self, work: Callable[[TailIndex], _T], cost: int = 0) -> _T:
        """Run `work` on the tail while nothing else changes it.

        Args:
            work: must neither block nor await.
            cost: its multiply-adds, which decide where it runs.
        """
        return await self._access.run(lambda item_index: work(_narrow(item_index)), cost)


def _narrow(item_index: ItemIndex) -> TailIndex:
    assert isinstance(item_index, TailIndex)  # noqa: S101  (it is opened and replaced as one)
    return item_index
