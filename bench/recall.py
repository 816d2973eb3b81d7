"""Recall against speed: walks of several breadths, lists of neighbors, codes and full scans.

    python bench/recall.py [--items N] [--json FILE] [--plot FILE]

One process, one thread, without gRPC: what a search itself takes. Queries are vectors of the items
themselves, which are left out of their own results. Recall@10 is by score.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import charts
import faiss
import hotpath
import numpy as np
import texts
from threadpoolctl import threadpool_limits

from service.domain.vectors import Vectors
from service.index.faiss_graph_segment import GraphSegment
from service.index.faiss_segmented import SegmentedIndex
from service.index.item_index import ItemIndex

BREADTHS = (16, 32, 64, 100, 160, 320, 640)
QUERIES = 500
LIMIT = 10
TOLERANCE = 1e-6

Result = dict[str, Any]
Search = Callable[[int], Vectors]


def graph_of(item_index: ItemIndex) -> GraphSegment:
    """The one graph that a settled item index has."""
    assert isinstance(item_index.vectors, SegmentedIndex)
    (segment,) = item_index.vectors._graphs.segments.values()
    return segment


def measured(search: Search, rows: list[int], expected: list[float]) -> Result:
    """How fast a way of searching is for items by row, and what it finds of the ten best."""
    for row in rows[:20]:
        search(row)
    started = time.perf_counter()
    found = [search(row) for row in rows]
    seconds = time.perf_counter() - started
    shares = [
        np.count_nonzero(np.sort(scores)[::-1][:LIMIT] >= least - TOLERANCE) / LIMIT
        for scores, least in zip(found, expected, strict=True)
    ]
    return {
        "recall_at_10": round(float(np.mean(shares)), 4),
        "queries_per_second": round(len(rows) / seconds),
    }


def ways(item_index: ItemIndex) -> Iterator[tuple[str, Search]]:
    """Each way of searching, by name; each gives the scores of ten items and maybe more."""
    segment, index = graph_of(item_index), item_index.vectors
    rows_of = segment.row_search
    keys = segment.keys.tolist()

    def walk(breadth: int) -> Search:
        parameters = faiss.SearchParametersHNSW(efSearch=breadth)

        def search(row: int) -> Vectors:
            query = rows_of.get_vectors(slice(row, row + 1))
            scores, rows = rows_of.graph.search(query, LIMIT + 1, params=parameters)
            found: Vectors = scores[0][rows[0] != row]
            return found

        return search

    for breadth in BREADTHS:
        yield f"walk {breadth}", walk(breadth)
    everything = np.ones(max(keys) + 1, np.bool_)
    yield "list", lambda row: index.search_by_key(keys[row], LIMIT).scores
    yield "codes", lambda row: _by_codes(segment, row, everything)
    yield "scan", lambda row: index.search_by_key(keys[row], LIMIT, exact=True).scores


def _by_codes(
    segment: GraphSegment, row: int, mask: np.ndarray[Any, np.dtype[np.bool_]]
) -> Vectors:
    query = segment.row_search.get_vectors(slice(row, row + 1))
    allowed = segment.select_rows(mask)
    scores, rows = segment.row_search.search_pq_codes(query, LIMIT + 1, allowed)
    found: Vectors = scores[0][rows[0] != row]
    return found


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--items", type=int, default=63_000)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    threadpool_limits(1, user_api="blas")
    faiss.omp_set_num_threads(1)
    item_index = hotpath.filled(texts.items(options.items))
    segment = graph_of(item_index)
    rows = random.Random(1).sample(range(len(segment.keys)), QUERIES)
    exact = [
        item_index.vectors.search_by_key(int(segment.keys[row]), LIMIT, exact=True).scores
        for row in rows
    ]
    expected = [float(np.sort(scores)[::-1][LIMIT - 1]) for scores in exact]
    found = {name: measured(search, rows, expected) for name, search in ways(item_index)}
    print(f"{len(segment.keys):,} items\n{'':12}{'recall@10':>10}{'queries/s':>12}")
    for name, each in found.items():
        print(f"{name:12}{each['recall_at_10']:>10}{each['queries_per_second']:>12,}")
    result = {"items": len(segment.keys), "ways": found}
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")
    if options.plot:
        charts.recall(options.plot, result)


if __name__ == "__main__":
    main()
