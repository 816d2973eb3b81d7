"""The nearest neighbours of many items, a few at a time.

Graphs have lists of them. A scan of everything is made for a block of items at once, which uses
matrix products: of 3,000 films the ten nearest are found in 50 microseconds each so, and in 160 one
by one; with graphs over 63,000 package descriptions the lists take 40, walks 250.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from service.domain.filters import Filter
from service.index.base import Hits, Keys, Mask, merged
from service.indexer import Indexer
from service.population import passing
from service.view import View

CHUNK_COST = 100_000_000
"""Multiply-adds that one piece of work on the view takes: about 5 ms in matrix products, and as
long in walks, which are not counted so exactly."""

CHUNK_MOST = 128
MOST = 1_000
"""No item has more neighbours than this; hundreds that tie do not count."""


class Neighbour(NamedTuple):
    """An item and its cosine with another."""

    item_id: str
    similarity: float


def chunk(indexer: Indexer) -> int:
    """For how many items neighbours are to be found at once, so that others need not wait."""
    return max(1, min(CHUNK_MOST, CHUNK_COST // max(indexer.search_cost, 1)))


async def neighbours(
    indexer: Indexer, item_ids: Sequence[str], number: int, wanted: Filter | None
) -> Mapping[str, Sequence[Neighbour]]:
    """The `number` nearest of each item, nearest first, equal ones by id.

    Where more tie with the last they are there too. Items that are gone or do not pass are left
    out, and are nobody's neighbours.
    """

    def work(view: View) -> Mapping[str, Sequence[Neighbour]]:
        keys = passing(view, item_ids, wanted)
        mask = None if wanted is None else view.attributes.matching(wanted)
        found = _hits(view, list(keys.values()), number, mask)
        return {
            item_id: [Neighbour(name, score) for name, score, _ in view.best(hits, MOST)]
            for item_id, hits in zip(keys, found, strict=True)
        }

    return await indexer.read_aside(work)


def _hits(view: View, keys: Sequence[int], number: int, mask: Mask | None) -> list[Hits]:
    index = view.index
    if not keys:
        return []
    if index.figures().graph_vectors:
        return [index.nearest(key, number, (), mask) for key in keys]
    owned = index.vectors(keys)
    # Each finds itself as well.
    rows = index.search(owned.vectors, number + 1, (), mask)
    return [
        _others(key, [rows[row] for row in own.tolist()], number)
        for key, own in zip(keys, _rows_by_owner(owned.owners, len(keys)), strict=True)
    ]


def _rows_by_owner(owners: Keys, number: int) -> list[Keys]:
    starts = owners.searchsorted(range(1, number))
    return np.split(np.arange(len(owners)), starts)


def _others(key: int, hits: Sequence[Hits], number: int) -> Hits:
    """The best `number` hits but for the key itself, and what ties with the last."""
    together = hits[0] if len(hits) == 1 else merged(hits)
    kept = together.keys != key
    keys, scores = together.keys[kept], together.scores[kept]
    if len(scores) > number:
        kept = scores >= scores[number - 1]
        keys, scores = keys[kept], scores[kept]
    return Hits(keys, scores)
