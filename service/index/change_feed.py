"""The store as an index needs it: changes in the order of their sequence numbers."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Protocol

from service.domain.generations import Generation
from service.domain.items import BEGINNING, Anchor, ChangeBatch, ChangedCatalogs


class ChangeFeed(Protocol):
    """The store as a follower needs it: changes in the order of their sequence numbers."""

    @property
    def last_sequence(self) -> int:
        """The sequence number of the last write known to this process."""

    @property
    def doubts(self) -> int:
        """A number that grows when the store may have lost commits."""

    async def changes(
        self,
        generation: Generation,
        after: int,
        limit: int,
        anchor: Anchor = BEGINNING,
        *,
        with_terms: bool = False,
    ) -> ChangeBatch:
        """Return up to `limit` changes after a sequence number.

        Args:
            generation: the generation whose vectors to read.
            after: the sequence number that the reader has reached.
            limit: the number of changes.
            anchor: the reader's place in the history of the store, which must confirm it.
            with_terms: count the terms of the texts.

        Raises:
            StoreUnavailable: the store cannot be read.
        """

    async def changed_catalogs(self, after: int, anchors: Collection[Anchor]) -> ChangedCatalogs:
        """Return which catalogs have changed after a sequence number.

        Args:
            after: the sequence number.
            anchors: places in the history of the store, which it is to confirm.

        Raises:
            StoreUnavailable: the store cannot be read.
        """

    async def confirms(self, anchor: Anchor) -> bool:
        """Return whether an anchor is in the history of the store.

        Raises:
            StoreUnavailable: the store cannot be read.
        """

    async def undeleted_ids(self, generation: Generation) -> tuple[Collection[str], int]:
        """Return the ids of all items that are not deleted, and the sequence number they reflect.

        Raises:
            StoreUnavailable: the store cannot be read.
        """

    async def own_vector_ids(self, generation: Generation) -> Collection[str]:
        """Return the ids of the items whose vectors in a generation callers gave.

        Raises:
            StoreUnavailable: the store cannot be read.
        """

    async def refresh(self) -> int:
        """Look for writes of other processes; return the last sequence number."""

    def listen(self, listener: Callable[[int], None]) -> None:
        """Call `listener` in the event loop with the last sequence number after each commit."""

    def unlisten(self, listener: Callable[[int], None]) -> None:
        """Stop calling `listener`."""
