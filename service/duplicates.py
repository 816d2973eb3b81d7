"""Finds groups of items that repeat each other, over a whole catalog or around one item."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator, Sequence

from service import errors
from service.domain.analysis import DuplicateItem, Duplicates, DuplicatesQuery, Extent
from service.index.base import Vectors
from service.indexer import Indexer
from service.neighbours import chunk
from service.population import PRESENT_AT_ONCE, Survey, passing, population
from service.repetitions import Repetitions
from service.storage import Layer, Store
from service.view import View

SAMPLE = 5_000
"""Texts that tell which wording is common: 0.3 s for those of films."""

PROGRESS_SECONDS = 0.5
MESSAGE_ITEMS = 10_000
"""Items in one reply, and in one group, at most: 2.6 MB with the longest ids."""

Group = Sequence[DuplicateItem]


class DuplicateFinder:
    """Finds duplicates in one catalog."""

    def __init__(self, store: Store, layer: Layer, indexer: Indexer) -> None:
        self._store = store
        self._layer = layer
        self._indexer = indexer

    async def found(self, query: DuplicatesQuery) -> AsyncIterator[Duplicates]:
        """Tells the progress, and at the end the groups, largest first.

        Raises:
            ItemNotFound: there is no item of the query's id.
            EmbeddingUnavailable: that item has no vector yet.
        """
        if query.item_id:
            await self._require(query.item_id)
        survey = Survey(await population(self._indexer, query.filter))
        found = Repetitions(self._store, self._layer, self._indexer, query, survey)
        await found.learn(survey.population.item_ids[:SAMPLE])
        extent = survey.extent
        if query.item_id:
            await found.examine([query.item_id])
            extent = Extent(extent.item_count, min(1, extent.item_count), False, extent.sequence)
        else:
            told = time.monotonic()
            for some in survey.some(chunk(self._indexer)):
                await found.examine(some)
                if time.monotonic() >= told + PROGRESS_SECONDS:
                    told = time.monotonic()
                    yield Duplicates((), survey.extent)
            extent = survey.extent
        groups = [await self._group(members, query) for members in found.groups.several()]
        for some_groups in _messages(groups):
            yield Duplicates(some_groups, extent)

    async def _require(self, item_id: str) -> None:
        """Checks that there is an item, with its vector."""
        if await self._indexer.read_aside(lambda view: view.key(item_id)) is not None:
            return
        if item_id in await self._store.written(self._layer, [item_id], 0):
            raise errors.EmbeddingUnavailable("the item's text is not embedded yet")
        raise errors.ItemNotFound("there is no such item")

    async def _group(self, members: Sequence[str], query: DuplicatesQuery) -> Group:
        """The members that still pass: the one that was written first, then by similarity."""
        written = await self._store.written(self._layer, members, 0)
        ordered = sorted(written, key=lambda item_id: written[item_id].order)[:MESSAGE_ITEMS]
        group: list[DuplicateItem] = []
        first: Vectors | None = None
        for start in range(0, len(ordered), PRESENT_AT_ONCE):
            some = ordered[start : start + PRESENT_AT_ONCE]

            def work(
                view: View, some: Sequence[str] = some, first: Vectors | None = first
            ) -> tuple[Group, Vectors | None]:
                return _compared(view, passing(view, some, query.filter), first)

            more, first = await self._indexer.read_aside(work)
            group += more
        return group[:1] + sorted(group[1:], key=lambda each: (-each.similarity, each.item_id))


def _compared(
    view: View, keys: dict[str, int], first: Vectors | None
) -> tuple[Group, Vectors | None]:
    """Items with their cosines with the first of all, whose vectors are handed on."""
    found = []
    for item_id, key in keys.items():
        own = view.index.vectors([key]).vectors
        first = own if first is None else first
        found.append(DuplicateItem(item_id, float((own @ first.T).max())))
    return found, first


def _messages(groups: Sequence[Group]) -> Iterator[Sequence[Group]]:
    """The groups of several items, largest first, so many at a time as fit into a reply."""
    ordered = sorted(
        (each for each in groups if len(each) > 1), key=lambda each: (-len(each), each[0].item_id)
    )
    some: list[Group] = []
    size = 0
    for each in ordered:
        if size + len(each) > MESSAGE_ITEMS:
            yield some
            some, size = [], 0
        some.append(each)
        size += len(each)
    yield some
