"""The nearest neighbors of many items, a few at a time.

Settled graphs have lists of them, 40 microseconds each. Where much is not in graphs yet, as after
an import, everything is compared in products of matrices: of 63,000 vectors of 256 dimensions 1 ms
an item, of which 0.8 are the product (FAISS takes 5 for them, alone or in batches).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from service.analysis.sampling import passing
from service.domain.filters import Filter
from service.domain.vectors import Mask, Vectors
from service.index.follower import Follower
from service.index.item_index import ItemIndex
from service.index.vector_index import Hits, VectorSearch

BATCH_COST = 300_000_000
"""Multiply-adds of one piece of work on the item index: about 15 ms in matrix products."""

BATCH_LEAST, BATCH_MOST = 16, 128
PRODUCT_SHARE = 0.5
"""What a multiply-add takes in a product, of what `VectorSearch.cost` counts."""

BLOCK = 8_192
ANY = float(np.finfo(np.float32).min)
"""No score is below this but that of what may not be found."""

MOST = 1_000
"""No item has more neighbors than this; hundreds that tie do not count."""


class Neighbor(NamedTuple):
    """An item and its cosine with another."""

    item_id: str
    similarity: float


def batch_size(follower: Follower) -> int:
    """For how many items neighbors are to be found at once, so that others need not wait."""
    return max(BATCH_LEAST, min(BATCH_MOST, BATCH_COST // max(follower.search_cost, 1)))


async def neighbors(
    follower: Follower,
    item_ids: Sequence[str],
    number: int,
    wanted: Filter | None,
    least: float = ANY,
    *,
    exact: bool = False,
) -> Mapping[str, Sequence[Neighbor]]:
    """The `number` nearest of each item with a cosine of at least `least`, nearest first.

    Equal ones go by id, and where more tie with the last they are there too. Items that are gone or
    do not pass are left out, and are nobody's neighbors.
    """

    def work(item_index: ItemIndex) -> Mapping[str, Sequence[Neighbor]]:
        keys = passing(item_index, item_ids, wanted)
        mask = None if wanted is None else item_index.attributes.compute_mask(wanted)
        found = _hits(item_index, list(keys.values()), number, mask, least, exact=exact)
        return {
            item_id: [Neighbor(name, score) for name, score, _ in item_index.rank_hits(hits, MOST)]
            for item_id, hits in zip(keys, found, strict=True)
        }

    return await follower.read_in_worker(work)


def _hits(
    item_index: ItemIndex,
    keys: Sequence[int],
    number: int,
    mask: Mask | None,
    least: float,
    *,
    exact: bool,
) -> list[Hits]:
    index = item_index.vectors
    vectors = index.vector_count
    product = PRODUCT_SHARE * vectors * index.dimensions
    if vectors > len(index) or product > index.estimate_cost(1):
        return [
            _near(index.search_by_key(key, number, (), mask, exact=exact), least) for key in keys
        ]
    # Each finds itself as well.
    queries = index.get(keys).vectors
    found = compared(index, queries, number + 1, mask, least)
    return [_others(key, hits, number) for key, hits in zip(keys, found, strict=True)]


def compared(
    index: VectorSearch, queries: Vectors, number: int, mask: Mask | None, least: float = ANY
) -> list[Hits]:
    """The `number` nearest vectors to each query and what ties with the last, by comparing all.

    Args:
        index: has one vector for each key.
        queries: float32 [q, dimensions].
        number: how many each may have.
        mask: which keys may be found, or None.
        least: a score below which nothing is wanted.
    """
    found = [Hits(np.empty(0, np.int64), np.empty(0, np.float32))] * len(queries)
    for keys, vectors in index.iterate_blocks(BLOCK):
        scores = queries @ vectors.T
        if mask is not None:
            scores[:, ~mask[keys]] = -np.inf
        found = [
            _better(hits, Hits(keys, own), number, least)
            for hits, own in zip(found, scores, strict=True)
        ]
    return [_sorted(each) for each in found]


def _better(hits: Hits, block: Hits, number: int, least: float) -> Hits:
    """The best of what was found before and of one block's keys with their scores."""
    if len(hits.scores) >= number:
        least = max(least, float(hits.scores.min()))
    new = np.flatnonzero(block.scores >= least)
    if not len(new):
        return hits
    keys = np.concatenate([hits.keys, block.keys[new]])
    scores = np.concatenate([hits.scores, block.scores[new]])
    if len(scores) > number:
        kept = scores >= np.partition(scores, -number)[-number]
        keys, scores = keys[kept], scores[kept]
    return Hits(keys, scores)


def _near(hits: Hits, least: float) -> Hits:
    kept = hits.scores >= least
    return Hits(hits.keys[kept], hits.scores[kept])


def _sorted(hits: Hits) -> Hits:
    order = np.argsort(-hits.scores, kind="stable")
    return Hits(hits.keys[order], hits.scores[order])


def _others(key: int, hits: Hits, number: int) -> Hits:
    """The best `number` hits but for the key itself, and what ties with the last."""
    kept = hits.keys != key
    keys, scores = hits.keys[kept], hits.scores[kept]
    if len(scores) > number:
        kept = scores >= scores[number - 1]
        keys, scores = keys[kept], scores[kept]
    return Hits(keys, scores)
