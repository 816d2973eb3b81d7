"""Groups items whose texts repeat each other: vectors tell which to compare, the wording decides.

Items whose texts are equal are grouped by that alone, and only one of them has its neighbors
looked for, so that hundreds of copies take no longer than one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from itertools import islice

from service.analysis.neighbors import MOST, neighbors
from service.analysis.sampling import Sample
from service.domain.analyses import DuplicatesQuery
from service.domain.generations import Generation
from service.domain.shingles import COMPARED_CHARACTERS, ShingleRarity, Shingles
from service.index.follower import Follower
from service.storage.items import ItemStore

FIRST = 10
FETCHED = 30
"""So many neighbors are compared first, and so many, as many as lists have, where the farthest of
those repeat. What repeats them in turn belongs to the same group, so that none needs them all."""

GROWTH = 4
"""So many times as many are fetched where most are copies of each other, or around one item."""

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


class NearDuplicateSearch:
    """Compares items with their neighbors, and groups those that repeat each other."""

    def __init__(
        self,
        store: ItemStore,
        generation: Generation,
        follower: Follower,
        query: DuplicatesQuery,
        sample: Sample,
    ) -> None:
        self.groups = Groups()
        self._store = store
        self._generation = generation
        self._follower = follower
        self._query = query
        self._survey = sample
        # Whether an item may have more near-duplicates than the neighbors that were compared.
        self.reached_limit = False
        self._rarity = ShingleRarity(())
        self._first_with: dict[bytes, str] = {}
        self._wordings: dict[str, Shingles] = {}

    async def learn(self, item_ids: Sequence[str]) -> None:
        """Learns from a sample which wording is common."""
        texts = (await self._texts(item_ids)).values()
        loop = asyncio.get_running_loop()
        self._rarity = await loop.run_in_executor(None, lambda: ShingleRarity(map(Shingles, texts)))

    async def examine(self, item_ids: Sequence[str]) -> None:
        """Finds what repeats each of some items, until there is no time left."""
        wanted = self._new(await self._texts(item_ids))
        number = FETCHED
        while wanted:
            growing: list[str] = []
            step = max(1, COMPARED_AT_ONCE // number)
            for start in range(0, len(wanted), step):
                if not self._survey.over:
                    growing += await self._compared(wanted[start : start + step], number)
            wanted = growing
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
        least = self._query.min_similarity - 1e-6  # rounding leaves a little less of equal vectors
        found = await neighbors(
            self._follower,
            item_ids,
            number,
            self._query.filter,
            least,
            exact=self._query.exact,
        )
        near = {item_id: [each.item_id for each in some] for item_id, some in found.items()}
        await self._join({item_id: some[:FIRST] for item_id, some in near.items()})
        close = {
            item_id: some
            for item_id, some in near.items()
            if self._goes_on(item_id, some[:FIRST], FIRST)
        }
        await self._join({item_id: some[FIRST:] for item_id, some in close.items()})
        continuing = {
            item_id: some for item_id, some in close.items() if self._goes_on(item_id, some, number)
        }
        self.reached_limit |= any(len(some) >= MOST for some in continuing.values())
        return [item_id for item_id, some in continuing.items() if self._lacks_others(some)]

    async def _join(self, near: Mapping[str, Sequence[str]]) -> None:
        """Groups items with those of their neighbors that they repeat."""
        near = {item_id: some for item_id, some in near.items() if some}
        names = dict.fromkeys((*near, *(name for some in near.values() for name in some)))
        texts = await self._texts([name for name in names if name not in self._wordings])
        loop = asyncio.get_running_loop()
        repeated = await loop.run_in_executor(None, self._repeated, near, texts)
        for item_id, others in repeated.items():
            for name in others:
                self.groups.join(item_id, name)

    def _goes_on(self, item_id: str, near: Sequence[str], number: int) -> bool:
        """Whether all of `number` neighbors are near enough, and the farthest repeat the item."""
        far = near[number // 2 :]
        return len(near) >= number and any(self.groups.together(item_id, name) for name in far)

    def _lacks_others(self, near: Sequence[str]) -> bool:
        """Whether there may be more to find: around one item, or behind copies of one text."""
        if self._query.item_id or len(near) >= MOST:
            return len(near) < MOST
        known = (self._wordings.get(name) for name in near)
        return len({each.words_hash for each in known if each is not None}) < FIRST

    def _repeated(
        self, near: Mapping[str, Sequence[str]], texts: Mapping[str, str]
    ) -> dict[str, list[str]]:
        """Which of their neighbors items repeat, but for those that are grouped already."""
        known = self._wordings
        known |= {name: Shingles(text) for name, text in texts.items()}
        repeated = {}
        for item_id, some in near.items():
            others = [
                name for name in some if name in known and not self.groups.together(item_id, name)
            ]
            if item_id in known:
                same = self._rarity.are_near_duplicates(
                    known[item_id], [known[name] for name in others]
                )
                repeated[item_id] = [name for name, yes in zip(others, same, strict=True) if yes]
        for name in list(islice(known, max(0, len(known) - REMEMBERED))):
            del known[name]
        return repeated

    async def _texts(self, item_ids: Sequence[str]) -> dict[str, str]:
        """The beginnings of texts, in the order of `item_ids`; none of items that wait."""
        written = await self._store.excerpts(self._generation, item_ids, COMPARED_CHARACTERS)
        return {
            item_id: each.text
            for item_id in item_ids
            if (each := written.get(item_id)) is not None and not each.is_pending
        }
