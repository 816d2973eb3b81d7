"""Groups items whose texts repeat each other: vectors tell which to compare, the wording decides.

Items whose texts are equal are grouped by that alone, and only one of them has its neighbours
looked for, so that hundreds of copies take no longer than one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from hashlib import blake2b

from service.domain.analysis import DuplicatesQuery
from service.domain.texts import TEXT_CHARACTERS, Rarity, Wording
from service.indexer import Indexer
from service.neighbours import MOST, neighbours
from service.population import Survey
from service.storage import Layer, Store

FIRST = 10
GROWTH = 4
"""So many neighbours are compared first, and so many times as many while the farthest repeat."""

COMPARED_AT_ONCE = 2_000
"""Pairs between which the clock is looked at: some 50 ms."""

REMEMBERED = 20_000
"""Wordings kept at once: 10 MB of packages' descriptions, 130 MB of the longest texts."""


class Groups:
    """Ids that belong together, directly or over others (union-find, halving paths)."""

    def __init__(self) -> None:
        self._parents: dict[str, str] = {}

    def join(self, one: str, other: str) -> None:
        """Has two ids, and all that belong with them, belong together."""
        first, second = self._root(one), self._root(other)
        self._parents[second] = first

    def together(self, one: str, other: str) -> bool:
        """Whether two ids belong together."""
        return one == other or self._root(one) == self._root(other)

    def several(self) -> list[list[str]]:
        """The groups of two ids or more."""
        members: dict[str, list[str]] = {}
        for each in list(self._parents):
            members.setdefault(self._root(each), []).append(each)
        return [each for each in members.values() if len(each) > 1]

    def _root(self, each: str) -> str:
        parents = self._parents
        parent = parents.setdefault(each, each)
        while parent != each:
            parents[each] = parents[parent]
            each, parent = parent, parents[parent]
        return each


class Repetitions:
    """Compares items with their neighbours, and groups those that repeat each other."""

    def __init__(
        self,
        store: Store,
        layer: Layer,
        indexer: Indexer,
        query: DuplicatesQuery,
        survey: Survey,
    ) -> None:
        self.groups = Groups()
        self._store = store
        self._layer = layer
        self._indexer = indexer
        self._query = query
        self._survey = survey
        self._rarity = Rarity(())
        self._first_with: dict[bytes, str] = {}
        self._wordings: dict[str, Wording] = {}

    async def learn(self, item_ids: Sequence[str]) -> None:
        """Learns from a sample which wording is common."""
        texts = (await self._texts(item_ids)).values()
        loop = asyncio.get_running_loop()
        self._rarity = await loop.run_in_executor(None, lambda: Rarity(map(Wording, texts)))

    async def examine(self, item_ids: Sequence[str]) -> None:
        """Finds what repeats each of some items, until there is no time left."""
        wanted = self._new(await self._texts(item_ids))
        number = FIRST
        while wanted and not self._survey.over:
            growing: list[str] = []
            step = max(1, COMPARED_AT_ONCE // number)
            for start in range(0, len(wanted), step):
                if not self._survey.over:
                    growing += await self._compared(wanted[start : start + step], number)
            wanted = growing if number < MOST else []
            number = min(number * GROWTH, MOST)

    def _new(self, texts: Mapping[str, str]) -> list[str]:
        """The items but for those with the text of one before, whose groups they join."""
        new = []
        for item_id, text in texts.items():
            digest = blake2b(text.encode(), digest_size=16).digest()
            first = self._first_with.setdefault(digest, item_id)
            if first == item_id:
                new.append(item_id)
            else:
                self.groups.join(first, item_id)
        return new

    async def _compared(self, item_ids: Sequence[str], number: int) -> list[str]:
        """Compares items with their `number` nearest; returns those that want more."""
        found = await neighbours(self._indexer, item_ids, number, self._query.filter)
        least = self._query.min_similarity - 1e-6  # rounding leaves a little less of equal vectors
        near = {
            item_id: [each.item_id for each in some if each.similarity >= least]
            for item_id, some in found.items()
        }
        near = {item_id: some for item_id, some in near.items() if some}
        names = dict.fromkeys((*near, *(name for some in near.values() for name in some)))
        texts = await self._texts([name for name in names if name not in self._wordings])
        loop = asyncio.get_running_loop()
        repeated = await loop.run_in_executor(None, self._repeated, near, texts)
        for item_id, others in repeated.items():
            for name in others:
                self.groups.join(item_id, name)
        return [
            item_id
            for item_id, some in near.items()
            if len(some) >= number
            and any(self.groups.together(item_id, name) for name in some[number // 2 :])
        ]

    def _repeated(
        self, near: Mapping[str, Sequence[str]], texts: Mapping[str, str]
    ) -> dict[str, list[str]]:
        """Which of their neighbours items repeat, but for those that are grouped already."""
        known = self._wordings
        known |= {name: Wording(text) for name, text in texts.items()}
        repeated = {}
        for item_id, some in near.items():
            others = [
                name for name in some if name in known and not self.groups.together(item_id, name)
            ]
            if item_id in known:
                same = self._rarity.repeated(known[item_id], [known[name] for name in others])
                repeated[item_id] = [name for name, yes in zip(others, same, strict=True) if yes]
        for name in list(known)[: max(0, len(known) - REMEMBERED)]:
            del known[name]
        return repeated

    async def _texts(self, item_ids: Sequence[str]) -> dict[str, str]:
        """The beginnings of texts, in the order of `item_ids`; none of items that wait."""
        written = await self._store.written(self._layer, item_ids, TEXT_CHARACTERS)
        return {
            item_id: each.text
            for item_id in item_ids
            if (each := written.get(item_id)) is not None and not each.waits
        }
