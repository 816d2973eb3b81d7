"""The same work on Chroma's server: the ten nearest of real texts' vectors, one process each.

    python bench/chroma.py [--items N] [--seconds S] [--concurrency 4,16] [--rounds R]
                           [--data FOLDER] [--json FILE] [--plot FILE]

Chroma gets ready vectors and is asked with ready vectors, Akin gets texts and is asked by item id;
both hold the embedded model's vectors. In turns, each is asked by its own blocking Python client in
as many processes as there are callers (load/client.py), and by the load generator in Go (load/).
Recall is by score against a comparison of all vectors, the item itself left out of Akin's answers
as Akin leaves it out. Chroma is installed into an environment of its own in the user's cache.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Self

import charts
import numpy as np
from numpy.typing import NDArray
from throughput import (
    CACHE,
    HERE,
    LIMIT,
    SCORE_TOLERANCE,
    Generator,
    Result,
    arguments,
    filled_server,
    middle,
    numbered,
)

from service.embedding.local import LocalEmbedder

VERSION = "1.5.9"
CLIENT = HERE / "load/client.py"
COLLECTIONS = "/api/v2/tenants/default_tenant/databases/default_database/collections"
QUERIES = 500
BATCH_TEXTS = 1_000

Vectors = NDArray[np.float32]


def embedded(items: Sequence[Result]) -> Vectors:
    """The items' vectors as Akin has them, each of length 1."""

    async def embed() -> Vectors:
        embedder = LocalEmbedder()
        words = [each["text"] for each in items]
        parts = [
            (await embedder.embed(words[first : first + BATCH_TEXTS])).vectors
            for first in range(0, len(words), BATCH_TEXTS)
        ]
        await embedder.close()
        return np.concatenate(parts).astype(np.float32)

    vectors = asyncio.run(embed())
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    normalised: Vectors = vectors / np.maximum(lengths, np.finfo(np.float32).tiny)
    return normalised


def environment() -> Path:
    """The bin folder of Chroma's virtual environment, made the first time."""
    folder = CACHE / f"chroma-{VERSION}"
    if not (folder / "ready").exists():
        uv = [sys.executable, "-m", "uv"]
        make = [*uv, "venv", "-q", "--clear", "--python", sys.executable, str(folder)]
        subprocess.run(make, check=True)
        into = ["-q", "--python", str(folder / "bin/python"), f"chromadb=={VERSION}"]
        subprocess.run([*uv, "pip", "install", *into], check=True)
        (folder / "ready").touch()
    return folder / "bin"


@contextmanager
def chroma_server(programs: Path, folder: Path) -> Iterator[str]:
    """Runs Chroma's server on a free port; yields its address."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    command = [str(programs / "chroma"), "run", "--host", "127.0.0.1", "--port", str(port)]
    with (folder / "chroma.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--path", str(folder / "chroma")],
            env={**os.environ, "ANONYMIZED_TELEMETRY": "False"},
            stdout=log,
            stderr=log,
        )
        try:
            yield f"127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait()


class Callers:
    """Processes that ask one server through its Python client, started once and used in rounds."""

    def __init__(self, command: Sequence[str], number: int) -> None:
        self._processes = [
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for _ in range(number)
        ]
        for each in self._processes:
            _received(each)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for each in self._processes:
            each.communicate()

    def answers(self) -> list[list[str]]:
        """The ids found for each query."""
        _send(self._processes[0], 0)
        return _received(self._processes[0])

    def run(self, seconds: float, *, concurrency: int) -> Result:
        """Calls from a number of the processes at once, each one call after the other."""
        asked = self._processes[:concurrency]
        for each in asked:
            _send(each, seconds)
        latencies = np.concatenate([_received(each) for each in asked])
        p50, p99 = np.percentile(latencies, (50, 99))
        return {
            "calls_per_second": round(len(latencies) / seconds, 1),
            "p50_ms": float(p50),
            "p99_ms": float(p99),
        }


def _send(process: subprocess.Popen[str], seconds: float) -> None:
    assert process.stdin is not None
    process.stdin.write(f"{seconds}\n")
    process.stdin.flush()


def _received(process: subprocess.Popen[str]) -> list[Any]:
    assert process.stdout is not None
    received: list[Any] = json.loads(process.stdout.readline())
    return received


def recall(
    vectors: Vectors, rows: NDArray[np.int64], answers: Sequence[Sequence[str]], *, itself: bool
) -> float:
    """The share of the ten best, by cosine, that answers have; with or without the item itself."""
    shares = []
    for row, answer in zip(rows, answers, strict=True):
        scores = vectors @ vectors[row]
        if not itself:
            scores[row] = -np.inf
        least = np.partition(scores, -LIMIT)[-LIMIT] - SCORE_TOLERANCE
        found = [int(each.removeprefix("item"), 16) for each in answer]
        shares.append(np.count_nonzero(scores[found] >= least) / LIMIT)
    return round(float(np.mean(shares)), 4)


def chroma_generator(
    folder: Path, address: str, collection: str, vectors: Vectors
) -> Callable[..., Result]:
    """A load of queries for the vectors, as Chroma's own client words them."""
    to = f"-path={COLLECTIONS}/{collection}/query"
    bodies = (
        {"query_embeddings": [each.tolist()], "n_results": LIMIT, "include": ["distances"]}
        for each in vectors
    )
    messages = (json.dumps(each).encode() for each in bodies)
    return partial(Generator.built(folder / "chroma-requests", messages, to).run, address)


def compared(
    ways: Mapping[str, Callable[..., Result]], concurrency: int, options: argparse.Namespace
) -> Result:
    """All ways to ask, in turns."""
    found: dict[str, list[Result]] = {name: [] for name in ways}
    for _ in range(options.rounds):
        for name, run in ways.items():
            found[name].append(run(options.seconds, concurrency=concurrency))
    result: Result = {"concurrency": concurrency}
    result.update({name: middle(rounds) for name, rounds in found.items()})
    for client in ("python", "go"):
        pairs = zip(found[f"akin_{client}"], found[f"chroma_{client}"], strict=True)
        ratios = (ours["calls_per_second"] / its["calls_per_second"] for ours, its in pairs)
        result[f"ratio_{client}"] = round(median(ratios), 2)
    return result


def filled_chroma(programs: Path, address: str, vectors: Path) -> tuple[str, float]:
    """Fills Chroma with ready vectors; the collection's id, and the seconds it took."""
    fill = [str(programs / "python"), str(CLIENT), "chroma-import", address, str(vectors)]
    done = json.loads(subprocess.run(fill, check=True, stdout=subprocess.PIPE).stdout)
    return done["collection"], done["seconds"]


def measure(options: argparse.Namespace) -> Result:
    """Fills both servers and asks them."""
    programs, items = environment(), numbered(options.items)
    vectors = embedded(items)
    rows = np.random.default_rng(1).choice(len(items), QUERIES, replace=False)
    levels = [int(each) for each in options.concurrency.split(",")]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        queries = folder / "queries.npz"
        np.savez(queries, rows=rows, vectors=vectors[rows])
        np.save(folder / "vectors.npy", vectors)
        ours, imported = stack.enter_context(filled_server(items, options.data))
        its = stack.enter_context(chroma_server(programs, folder))
        collection, seconds = filled_chroma(programs, its, folder / "vectors.npy")
        asked = Generator.of_akin(folder / "akin-requests", [items[row]["id"] for row in rows])
        called = [
            ("akin", sys.executable, ours),
            ("chroma", str(programs / "python"), its),
        ]
        akin, chroma = (
            stack.enter_context(
                Callers([python, str(CLIENT), name, address, str(queries)], max(levels))
            )
            for name, python, address in called
        )
        ways: dict[str, Callable[..., Result]] = {
            "akin_python": akin.run,
            "chroma_python": chroma.run,
            "akin_go": partial(asked.run, ours),
            "chroma_go": chroma_generator(folder, its, collection, vectors[rows]),
        }
        return {
            **_head(options, imported, seconds),
            "recall_at_10": {
                "akin": recall(vectors, rows, akin.answers(), itself=False),
                "chroma": recall(vectors, rows, chroma.answers(), itself=True),
            },
            "callers": [compared(ways, level, options) for level in levels],
        }


def _head(options: argparse.Namespace, imported: Result, seconds: float) -> Result:
    return {
        "items": options.items,
        "rounds": options.rounds,
        "seconds_per_round": options.seconds,
        "chroma_version": VERSION,
        "import_akin_texts": imported,
        "import_chroma_vectors": {
            "items_per_second": round(options.items / seconds),
            "seconds": round(seconds, 1),
        },
    }


def show(result: Result) -> None:
    """Prints the result for people."""
    print(f"The {LIMIT} nearest of {result['items']:,} items; Chroma {result['chroma_version']}")
    print(f"{result['rounds']} rounds of {result['seconds_per_round']:g} s in turns, medians\n")
    print(f"{'callers':18}{'akin':^30}{'Chroma':^30}{'akin/Chroma':>12}")
    heading = f"{'calls/s':>10}{'p50 ms':>10}{'p99 ms':>10}"
    print(f"{'':18}{heading}{heading}{'calls/s':>12}")
    for row in result["callers"]:
        for client in ("python", "go"):
            cells = "".join(
                f"{stats['calls_per_second']:>10,.0f}{stats['p50_ms']:>10.2f}"
                f"{stats['p99_ms']:>10.2f}"
                for stats in (row[f"akin_{client}"], row[f"chroma_{client}"])
            )
            label = f"{row['concurrency']} in {client.capitalize()}"
            print(f"{label:18}{cells}{row[f'ratio_{client}']:>12}")
    print(f"\nrecall@10 by score: {result['recall_at_10']}")
    print(f"import, akin from texts: {result['import_akin_texts'] or 'done in an earlier run'}")
    print(f"import, Chroma from vectors: {result['import_chroma_vectors']}")


def main() -> None:
    """Measures and prints."""
    options = arguments(__doc__, 63_000, "4,16", 5.0)
    result = measure(options)
    show(result)
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")
    if options.plot:
        charts.peer(options.plot, result)


if __name__ == "__main__":
    main()
