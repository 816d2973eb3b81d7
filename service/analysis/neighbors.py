"""Finds the nearest neighbors of many items, in batches.

Built graphs have neighbor lists, which take 40 microseconds for each item. If many vectors are not
in graphs yet, as after an import, all vectors are compared in matrix products. With 63,000 vectors
of 256 dimensions that takes 1 ms for each item, of which the product takes 0.8 ms; FAISS takes 5 ms
with or without batches. Near-duplicates are searched for in lists then: see `candidate_search`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import numpy as np

from service.domain.analyses import MAX_NEIGHBORS, Neighbor
from service.domain.filters import Filter
from service.domain.vectors import Mask, Vectors
from service.index.index_reader import IndexReader
from service.index.item_index import ItemIndex
from service.index.read_requests import (
    ItemsRequest,
    NearestRequest,
    ReadRequest,
    Restriction,
)
from service.index.vector_index import Hits, VectorSearch

# Multiply-adds of one batch: about 15 ms in matrix products.
MAX_BATCH_COST = 300_000_000

MIN_BATCH_ITEMS, MAX_BATCH_ITEMS = 16, 128

# The time of a multiply-add in a product, in that of one that `VectorSearch.estimate_cost` counts.
PRODUCT_COST_FACTOR = 0.5

# Vectors compared with a batch at once.
MAX_PRODUCT_ROWS = 8_192

# No score is below this, except that of a masked key.
LOWEST_SCORE = float(np.finfo(np.float32).min)


async def choose_batch_size(reader: IndexReader, *, exact: bool) -> int:
    """Return the number of items to find neighbors for at once, so that others need not wait."""

    def estimate_cost(item_index: ItemIndex) -> int:
        vectors = item_index.vectors
        return vectors.vector_count * vectors.dimensions if exact else vectors.estimate_cost(1)

    cost = await reader.read_in_worker(estimate_cost)
    return max(MIN_BATCH_ITEMS, min(MAX_BATCH_ITEMS, MAX_BATCH_COST // max(cost, 1)))


async def find_neighbors(
    reader: IndexReader,
    item_ids: Sequence[str],
    count: int,
    filter_: Filter | None,
    min_score: float = LOWEST_SCORE,
    *,
    exact: bool = False,
) -> Mapping[str, Sequence[Neighbor]]:
    """Return the nearest neighbors of items, nearest first, equal ones by id.

    There may be more than `count` if several tie with the last, but at most MAX_NEIGHBORS. An item
    that has no vector or does not match the filter is left out, and is no neighbor of others.

    Args:
        reader: of the index to search.
        item_ids: the items.
        count: the number of neighbors of each item.
        filter_: what items must match.
        min_score: the least cosine of neighbors.
        exact: compare with every vector.
    """

    def search(item_index: ItemIndex) -> Mapping[str, Sequence[Neighbor]]:
        keys = item_index.find_matching_keys(item_ids, filter_)
        allowed = None if filter_ is None else item_index.attributes.compute_mask(filter_)
        vectors = item_index.vectors
        hits_by_item = _search_by_keys(
            vectors, list(keys.values()), count, allowed, min_score, exact=exact
        )
        return {
            item_id: _rank_neighbors(item_index, hits)
            for item_id, hits in zip(keys, hits_by_item, strict=True)
        }

    plan = partial(_plan_neighbors, item_ids, count, filter_, exact)
    return await reader.read_in_worker(search, plan)


def _plan_neighbors(
    item_ids: Sequence[str],
    count: int,
    filter_: Filter | None,
    exact: bool,
    item_index: ItemIndex,
) -> Iterator[ReadRequest]:
    """Yield what the neighbors of items need of an index that is not in memory."""
    yield ItemsRequest(item_ids)
    keys = list(item_index.find_matching_keys(item_ids, filter_).values())
    if keys:
        # Each item is its own nearest neighbor.
        queries = item_index.vectors.get(keys).vectors
        max_items = len(queries) * (count + 1)
        yield NearestRequest(queries, count + 1, Restriction(filter_), exact, max_items)


def _rank_neighbors(item_index: ItemIndex, hits: Hits) -> list[Neighbor]:
    """Return the best hits as neighbors, at most MAX_NEIGHBORS: nearest first, equal ones by id.

    The hits must be best first.
    """
    if np.any(hits.scores[1:] == hits.scores[:-1]):
        ranked = item_index.rank_hits(hits, MAX_NEIGHBORS)
        return [Neighbor(neighbor_id, score) for neighbor_id, score, _ in ranked]
    neighbor_ids = item_index.get_ids(hits.keys[:MAX_NEIGHBORS].tolist())
    return list(map(Neighbor, neighbor_ids, hits.scores[:MAX_NEIGHBORS].tolist()))


def _search_by_keys(
    index: VectorSearch,
    keys: Sequence[int],
    count: int,
    allowed: Mask | None,
    min_score: float,
    *,
    exact: bool,
) -> list[Hits]:
    has_several_vectors = index.vector_count > len(index)
    product_cost = PRODUCT_COST_FACTOR * index.vector_count * index.dimensions
    if has_several_vectors or (not exact and product_cost > index.estimate_cost(1)):
        return [
            _drop_below(index.search_by_key(key, count, (), allowed, exact=exact), min_score)
            for key in keys
        ]
    # Each item is its own nearest neighbor.
    queries = index.get(keys).vectors
    hits_by_key = search_by_products(index, queries, count + 1, allowed, min_score)
    return [_drop_key(hits, key, count) for key, hits in zip(keys, hits_by_key, strict=True)]


def search_by_products(
    index: VectorSearch,
    queries: Vectors,
    count: int,
    allowed: Mask | None,
    min_score: float = LOWEST_SCORE,
) -> list[Hits]:
    """Return the `count` nearest vectors to each query and all that tie with the last.

    All vectors are compared in matrix products.

    Args:
        index: has one vector for each key.
        queries: float32 [queries, dimensions].
        count: the number of hits for each query.
        allowed: the keys that may be hits; None allows every key.
        min_score: the least score of hits.
    """
    best = [Hits.empty()] * len(queries)
    for keys, vectors in index.iterate_blocks(MAX_PRODUCT_ROWS):
        scores = queries @ vectors.T
        if allowed is not None:
            scores[:, ~allowed[keys]] = -np.inf
        best = [
            _add_block(hits, Hits(keys, block_scores), count, min_score)
            for hits, block_scores in zip(best, scores, strict=True)
        ]
    return [_sort(hits) for hits in best]


def _add_block(hits: Hits, block: Hits, count: int, min_score: float) -> Hits:
    """Return the best of earlier hits and of a block of vectors."""
    if len(hits.scores) >= count:
        min_score = max(min_score, float(hits.scores.min()))
    rows = np.flatnonzero(block.scores >= min_score)
    if not len(rows):
        return hits
    keys = np.concatenate([hits.keys, block.keys[rows]])
    scores = np.concatenate([hits.scores, block.scores[rows]])
    if len(scores) > count:
        is_best = scores >= np.partition(scores, -count)[-count]
        keys, scores = keys[is_best], scores[is_best]
    return Hits(keys, scores)


def _drop_below(hits: Hits, min_score: float) -> Hits:
    is_near = hits.scores >= min_score
    return Hits(hits.keys[is_near], hits.scores[is_near])


def _drop_key(hits: Hits, key: int, count: int) -> Hits:
    """Return the best `count` hits without a key, and all that tie with the last."""
    is_other = hits.keys != key
    keys, scores = hits.keys[is_other], hits.scores[is_other]
    if len(scores) > count:
        is_best = scores >= scores[count - 1]
        keys, scores = keys[is_best], scores[is_best]
    return Hits(keys, scores)


def _sort(hits: Hits) -> Hits:
    order = np.argsort(-hits.scores, kind="stable")
    return Hits(hits.keys[order], hits.scores[order])
