"""Where one RecommendSimilar by item spends its time, stage by stage, in one process without gRPC.

python bench/hotpath.py [--items N]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import time
from collections.abc import Callable, Sequence

import numpy as np
import texts
from akin.v1 import recommender_service_pb2 as pb

from service.api.messages.recommendations import (
    parse_recommend_similar,
    recommend_similar_response,
)
from service.domain.items import Change
from service.domain.recommendations import ItemSource, Query, Recommendation, Recommendations
from service.domain.vectors import Vectors
from service.embedding.local import LocalEmbedder
from service.index.faiss_segmented import SegmentedIndex
from service.index.item_index import ItemIndex
from service.recommend.query_preparation import PreparedQuery
from service.recommend.retrieval import Retriever
from service.recommend.scoring import SoftMaximum

CALLS = 2_000
LIMIT = 10
BATCH = 1_000


def vectors_of(found: Sequence[str]) -> Vectors:
    """Unit vectors of texts, float32 [texts, dimensions]."""
    raw = np.asarray(asyncio.run(LocalEmbedder().embed(found)).vectors, np.float32)
    units: Vectors = raw / np.linalg.norm(raw, axis=1, keepdims=True)
    return units


def filled(items: Sequence[dict[str, object]]) -> ItemIndex:
    """An item index that has built all it has to build."""
    vectors = vectors_of([str(each["text"]) for each in items])
    item_index = ItemIndex(SegmentedIndex(vectors.shape[1]), lambda: 0)
    for start in range(0, len(items), BATCH):
        changes = [
            Change(str(each["id"]), json.dumps(each["attributes"]), (vector.tobytes(),), None)
            for each, vector in zip(items[start : start + BATCH], vectors[start:], strict=False)
        ]
        item_index.apply(changes, start + BATCH)
    while (build := item_index.maintenance.start_build(quiet=True)) is not None:
        build.run()
        item_index.maintenance.finish_build(build)
    return item_index


def microseconds(stage: Callable[[int], object]) -> float:
    """The mean time of a stage, over all calls."""
    for number in range(100):
        stage(number)
    started = time.perf_counter()
    for number in range(CALLS):
        stage(number)
    return (time.perf_counter() - started) / CALLS * 1e6


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=63_000)
    items = texts.items(parser.parse_args().items)
    item_index = filled(items)
    ids = [str(each["id"]) for each in random.Random(1).choices(items, k=CALLS)]
    wire = [pb.RecommendSimilarRequest(item_id=each).SerializeToString() for each in ids]
    queries = [Query(ItemSource(each), LIMIT) for each in ids]
    retriever = Retriever(SoftMaximum, None)
    answers = []
    for query in queries:
        candidates = retriever.retrieve(item_index, PreparedQuery(query), LIMIT)
        assert candidates is not None
        ranked = [Recommendation(item_id, score) for item_id, score, _ in candidates.ranked]
        answers.append(Recommendations(ranked, item_index.sequence))
    keys = item_index.find_keys(ids)
    own = [item_index.vectors.get([key]).vectors for key in keys]
    hits = [item_index.vectors.search_by_key(key, LIMIT) for key in keys]
    stages: dict[str, Callable[[int], object]] = {
        "parse and validate the request": lambda n: parse_recommend_similar(
            pb.RecommendSimilarRequest.FromString(wire[n])
        ),
        "neighbours from the list": lambda n: item_index.vectors.search_by_key(keys[n], LIMIT),
        "ids, in order": lambda n: item_index.rank_hits(hits[n], LIMIT),
        "word and serialise the reply": lambda n: recommend_similar_response(
            answers[n], ""
        ).SerializeToString(),
        "instead of the list: a walk": lambda n: item_index.vectors.search(
            own[n], LIMIT, {keys[n]}
        ),
        "instead of the list: compare all": lambda n: item_index.vectors.search(
            own[n % 50], LIMIT, exact=True
        ),
    }
    print(f"{len(items)} items, {item_index.maintenance.collect_stats()}")
    for name, stage in stages.items():
        print(f"{name:36}{microseconds(stage):>10.1f} us")


if __name__ == "__main__":
    main()
