"""Number formats of vectors in an index, next to each other: memory, build, recall and time.

    python bench/storages.py [--items N]

One process, one thread, without gRPC: what a search itself takes. Queries are vectors of the items
themselves, which are left out of their own results. Recall@10 is by score, and the scores are those
of the original vectors for every format. Times are those of the processor.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable, Iterator
from typing import Any

import hotpath
import numpy as np
import texts
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from service.domain.spaces import VectorStorage
from service.domain.vectors import Vectors
from service.index.faiss_segmented import SegmentedIndex
from service.index.vector_index import Hits

FORMATS = (VectorStorage.FLOAT32, VectorStorage.FLOAT16, VectorStorage.INT8)
QUERIES = 600
LIMIT = 10
TOLERANCE = 1e-6

# Builds of neighbor lists, of 1,024 rows each; queries by item are for these rows.
LIST_BUILDS = 2
LISTED_ROWS = 2_048

# The share of items that a filter without a subject keeps.
FILTER_SHARE = 0.1

Search = Callable[[int], Hits]


def built(vectors: Vectors, storage: VectorStorage) -> SegmentedIndex:
    """An index with one graph over all vectors, whose keys are their rows, and some lists."""
    index = SegmentedIndex(vectors.shape[1], storage=storage)
    index.upsert(range(len(vectors)), vectors)
    for _ in range(1 + LIST_BUILDS):
        build = index.start_build(quiet=True)
        assert build is not None
        build.run()
        index.finish_build(build)
    return index


def least_scores(vectors: Vectors, rows: list[int], allowed: NDArray[np.bool_]) -> list[float]:
    """The score of the tenth best allowed item for the vector of each row, itself left out."""
    least = []
    for row in rows:
        scores = np.where(allowed, vectors @ vectors[row], -np.inf)
        scores[row] = -np.inf
        least.append(float(np.partition(scores, -LIMIT)[-LIMIT]))
    return least


def measured(
    search: Search, vectors: Vectors, rows: list[int], least: list[float]
) -> tuple[float, float]:
    """The recall of a search by row, and the median of its microseconds."""
    found = 0
    seconds = []
    for row, expected in zip(rows, least, strict=True):
        started = time.thread_time()
        hits = search(row)
        seconds.append(time.thread_time() - started)
        scores = np.sort(vectors[hits.keys] @ vectors[row])[::-1][:LIMIT]
        found += int(np.count_nonzero(scores >= expected - TOLERANCE))
    return found / LIMIT / len(rows), float(np.median(seconds)) * 1e6


def ways(
    index: SegmentedIndex, vectors: Vectors, mask: NDArray[np.bool_]
) -> Iterator[tuple[str, Search]]:
    """Each way of searching, by name."""
    yield "by vector", lambda row: index.search(vectors[row][None], LIMIT, (row,))[0]
    yield "filter", lambda row: index.search(vectors[row][None], LIMIT, (row,), mask)[0]
    yield "by item", lambda row: index.search_by_key(row, LIMIT)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--items", type=int, default=63_000)
    threadpool_limits(1, user_api="blas")
    items = texts.items(parser.parse_args().items)
    vectors = hotpath.vectors_of([str(each["text"]) for each in items])
    mask = np.random.default_rng(1).random(len(vectors)) < FILTER_SHARE
    rows = random.Random(1).sample(range(LISTED_ROWS), QUERIES)
    everything = np.ones(len(vectors), np.bool_)
    least: dict[str, Any] = {
        name: least_scores(vectors, rows, allowed)
        for name, allowed in (("", everything), ("filter", mask))
    }
    for storage in FORMATS:
        started = time.thread_time()
        index = built(vectors, storage)
        seconds = time.thread_time() - started
        memory = index.collect_stats().memory_bytes / len(vectors)
        line = f"{storage.value:8} {memory:6,.0f} bytes an item, built in {seconds:.0f} s"
        for name, search in ways(index, vectors, mask):
            recall, microseconds = measured(search, vectors, rows, least.get(name, least[""]))
            line += f"; {name} {recall:.4f} in {microseconds:.0f} us"
        print(line, flush=True)


if __name__ == "__main__":
    main()
