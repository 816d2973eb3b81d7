"""One caller of Akin or of Chroma, each through its own blocking Python client.

    python bench/load/client.py akin ADDRESS QUERIES.npz
    python bench/load/client.py chroma ADDRESS QUERIES.npz
    python bench/load/client.py chroma-import ADDRESS VECTORS.npy

It runs in the environment of whichever client it uses. A caller warms up, prints an empty list, and
then for each number of seconds on its standard input calls for so long, one call after the other,
and prints each call's milliseconds as JSON. For 0 seconds it asks each query once and prints the
ids that came back.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

LIMIT = 10
WARM_UP = 30
COLLECTION = "items"
HNSW = {"space": "ip", "max_neighbors": 16, "ef_construction": 100, "ef_search": 128}

Ask = Callable[[int], list[str]]
Vectors = NDArray[np.float32]


def akin_asker(address: str, queries: Mapping[str, NDArray[Any]]) -> tuple[Ask, int]:
    """Asks Akin for what is similar to the n-th item."""
    import akin  # noqa: PLC0415  (not there in Chroma's environment)

    client = akin.Client(address)
    ids = [f"item{row:05x}" for row in queries["rows"]]

    def ask(number: int) -> list[str]:
        answer = client.recommend_similar(item_id=ids[number], limit=LIMIT)
        return [hit.item_id for hit in answer.recommendations]

    return ask, len(ids)


def chroma_client(address: str) -> Any:  # noqa: ANN401  (a class of another environment)
    """Connects, once the server answers."""
    import chromadb  # noqa: PLC0415  (it has its own environment)

    host, _, port = address.rpartition(":")
    settings = chromadb.Settings(anonymized_telemetry=False)
    for _ in range(100):
        try:
            return chromadb.HttpClient(host=host, port=int(port), settings=settings)
        except ValueError:
            time.sleep(0.2)
    raise SystemExit("Chroma's server does not answer")


def chroma_asker(address: str, queries: Mapping[str, NDArray[Any]]) -> tuple[Ask, int]:
    """Asks Chroma for what is similar to the n-th vector."""
    collection = chroma_client(address).get_collection(COLLECTION, embedding_function=None)
    vectors = queries["vectors"]

    def ask(number: int) -> list[str]:
        answer = collection.query(
            query_embeddings=vectors[number : number + 1], n_results=LIMIT, include=["distances"]
        )
        found: list[str] = answer["ids"][0]
        return found

    return ask, len(vectors)


def chroma_import(address: str, vectors: Vectors) -> dict[str, Any]:
    """Fills a collection; its id, and seconds until all is stored and the first query answered."""
    client = chroma_client(address)
    batch = client.get_max_batch_size()
    started = time.perf_counter()
    collection = client.create_collection(
        COLLECTION, configuration={"hnsw": HNSW}, embedding_function=None
    )
    for first in range(0, len(vectors), batch):
        part = vectors[first : first + batch]
        ids = [f"item{first + number:05x}" for number in range(len(part))]
        collection.add(ids=ids, embeddings=part)
    collection.query(query_embeddings=vectors[:1], n_results=LIMIT, include=["distances"])
    return {"collection": str(collection.id), "seconds": time.perf_counter() - started}


def calls(ask: Ask, number: int, seconds: float) -> list[float]:
    """Asks for items drawn at random for so long; each call's milliseconds."""
    drawn = np.random.default_rng()
    times = []
    end = time.perf_counter() + seconds
    while (started := time.perf_counter()) < end:
        ask(int(drawn.integers(number)))
        times.append(round((time.perf_counter() - started) * 1e3, 3))
    return times


def serve(ask: Ask, number: int) -> None:
    """Does what each line of the standard input says."""
    for each in range(WARM_UP):
        ask(each % number)
    print([], flush=True)
    for line in sys.stdin:
        seconds = float(line)
        result: object = (
            calls(ask, number, seconds) if seconds else [ask(each) for each in range(number)]
        )
        print(json.dumps(result), flush=True)


def main() -> None:
    """Does what the arguments say."""
    what, address, path = sys.argv[1:]
    if what == "chroma-import":
        print(json.dumps(chroma_import(address, np.load(path))))
        return
    with np.load(path) as loaded:
        queries = dict(loaded)
    serve(*{"akin": akin_asker, "chroma": chroma_asker}[what](address, queries))


if __name__ == "__main__":
    main()
