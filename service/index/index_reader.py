"""The port of an index above its items: what reads, writes and statistics of a catalog ask of it.

`Follower` implements it with an item index in memory, and `SharedIndex` with an engine that all
replicas share.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol, TypeVar

from service.domain.filters import Filter
from service.domain.index_stats import IndexStats
from service.index.item_index import ItemIndex
from service.index.read_requests import ReadPlan, plan_nothing

_T = TypeVar("_T")


class MatchingIds(NamedTuple):
    """The ids of items that match a filter, of `total` that match, as of the write `sequence`."""

    item_ids: list[str]
    total: int
    sequence: int


class IndexReader(Protocol):
    """An index that follows the store. A read sees all writes up to `sequence`, or later ones.

    Reads can raise NotReady and IndexUnavailable.
    """

    @property
    def catalog_id(self) -> int:
        """The catalog that is followed."""

    @property
    def sequence(self) -> int:
        """The sequence number up to which reads reflect writes; 0 while the store may lack them."""

    @property
    def version(self) -> int:
        """A number that rises before changes are applied."""

    @property
    def change_count(self) -> int:
        """The number of changes that were applied."""

    @property
    def item_count(self) -> int:
        """The number of searchable items."""

    def collect_stats(self) -> IndexStats:
        """Return what the index consists of."""

    def count_conditions(self, filter_: Filter | None) -> int:
        """Return the number of conditions to evaluate for a filter, an argument of `read`."""

    async def wait_for(self, sequence: int) -> None:
        """Wait until reads reflect the write `sequence`.

        Raises:
            NotReady: the service shuts down first.
            StoreUnavailable: the store has lost the write.
        """

    async def wait_for_all(self) -> None:
        """Wait until reads reflect every write that the process knows of.

        Raises:
            NotReady: the service shuts down first.
        """

    async def read(
        self,
        work: Callable[[ItemIndex], _T],
        queries: int,
        conditions: int = 0,
        *,
        scans: bool = False,
        hits: int = 0,
        plan: ReadPlan = plan_nothing,
    ) -> _T:
        """Run `work` on an item index with at least the items of a plan, while nothing changes it.

        Args:
            work: must neither block nor await, nor change the item index.
            queries: the number of its searches, which decides where it runs.
            conditions: the number of conditions that it evaluates for all items, likewise.
            scans: whether each search compares with every vector, likewise.
            hits: the number of hits whose attributes it reads, likewise.
            plan: what it needs of an index that is not in memory.
        """

    async def read_in_worker(
        self, work: Callable[[ItemIndex], _T], plan: ReadPlan = plan_nothing
    ) -> _T:
        """Run long `work` in a thread; otherwise like `read`."""

    async def list_matching(self, filter_: Filter, after: str, limit: int) -> MatchingIds:
        """Return the first `limit` ids after `after`, ascending, of items that match.

        Pending items are included.
        """

    async def draw_matching(self, filter_: Filter | None, limit: int) -> MatchingIds:
        """Return the ids of up to `limit` random items that have vectors and match.

        They are in random order, and the same each time.
        """
