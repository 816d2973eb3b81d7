"""Measures how many texts of a catalog the local model largely does not know."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from service.domain.generations import Generation
from service.domain.spaces import Space
from service.embedding.vocabulary import is_largely_unknown
from service.storage.items import ItemStore

# Items whose texts are examined, those that were written last, as the contract says.
EXAMINED_ITEMS = 100

# Characters of each text that are examined: 3 ms for all texts.
EXAMINED_CHARACTERS = 500


class UnknownTexts:
    """Examines the latest texts of one generation again whenever an item has changed."""

    def __init__(self, items: ItemStore, generation: Generation, space: Space) -> None:
        self._items = items
        self._generation = generation
        self._is_local = space.is_local
        self._examined_change = 0
        self._ratio = 0.0

    async def measure(self) -> float:
        """Return the share of the latest items whose texts are largely unknown.

        It is 0 without items, and for every other model than the local one.
        """
        if not self._is_local:
            return 0.0
        last_change = await self._items.last_change(self._generation)
        if last_change != self._examined_change:
            texts = await self._items.latest_text_beginnings(
                self._generation, EXAMINED_ITEMS, EXAMINED_CHARACTERS
            )
            loop = asyncio.get_running_loop()
            self._ratio = await loop.run_in_executor(None, _measure, texts)
            self._examined_change = last_change
        return self._ratio


def _measure(texts: Sequence[str]) -> float:
    return sum(map(is_largely_unknown, texts)) / max(len(texts), 1)
