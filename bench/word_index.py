"""What an index of words costs: in memory, as Akin has it, next to FTS5 in the database file.

    python bench/word_index.py [--items N] [--queries N] [--rounds N] [--json FILE]

Each measurement runs in a process of its own, in turns. Times are of the processor, so that other
work on the machine counts less. A query has three words of a text, or is the name of a package.
"""

from __future__ import annotations

import argparse
import json
import random
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import texts

from service.domain.terms import count_terms
from service.index.term_index import TermIndex

BATCH = 100
HITS = 10
QUERY_WORDS = 3
PARTS = ("rows without words", "rows and FTS5", "memory")

Items = Sequence[dict[str, Any]]
Result = dict[str, float]


def draw_queries(items: Items, count: int) -> tuple[list[str], list[str]]:
    """Return queries of three words of a text, and queries of a name."""
    drawn = random.Random(5)
    chosen = drawn.sample(list(items), count)
    words = [str(item["text"]).split() for item in chosen]
    sampled = [" ".join(drawn.sample(own, min(QUERY_WORDS, len(own)))) for own in words]
    return sampled, [str(item["id"]) for item in chosen]


def time_queries(search: Callable[[str], object], queries: Sequence[str]) -> float:
    """Return the mean time of a query in milliseconds."""
    search(queries[0])
    started = time.process_time()
    for query in queries:
        search(query)
    return (time.process_time() - started) / len(queries) * 1e3


def read_memory_mb() -> float:
    """Return the resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4_096 / 1e6


def measure_memory(items: Items, queries: Sequence[Sequence[str]]) -> Result:
    """Return the figures of the index in memory."""
    before, started, spent = read_memory_mb(), time.process_time(), 0.0
    terms = TermIndex()
    for start in range(0, len(items), BATCH):
        counting = time.process_time()
        counts = [count_terms(str(item["text"])) for item in items[start : start + BATCH]]
        spent += time.process_time() - counting
        terms.upsert(range(start, start + len(counts)), counts)
    seconds = time.process_time() - started

    def search(query: str) -> object:
        shares = terms.score(list(count_terms(query)), len(items))
        return np.argpartition(-shares, HITS)[:HITS]

    size_mb = read_memory_mb() - before
    compacting = time.process_time()
    compaction = terms.start_compaction()
    compaction.run()
    terms.finish_compaction(compaction)
    compaction_seconds = time.process_time() - compacting
    return {
        "write us/item": seconds / len(items) * 1e6,
        "of which splitting us/item": spent / len(items) * 1e6,
        "size MB": size_mb,
        "three words ms": time_queries(search, queries[0]),
        "name ms": time_queries(search, queries[1]),
        "compaction s": compaction_seconds,
        "snapshot MB": sum(array.nbytes for array in terms.capture().values()) / 1e6,
    }


def measure_rows(items: Items, queries: Sequence[Sequence[str]], *, words: bool) -> Result:
    """Return the figures of rows in a database file, with or without FTS5 beside them."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "items.db"
        connection = sqlite3.connect(path, isolation_level=None)
        connection.executescript(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
            "CREATE TABLE items (item_key INTEGER PRIMARY KEY, text TEXT)"
        )
        if words:
            connection.execute(
                "CREATE VIRTUAL TABLE words USING fts5(text, content='items',"
                " content_rowid='item_key', tokenize='unicode61')"
            )
        started = time.process_time()
        for start in range(0, len(items), BATCH):
            rows = list(
                enumerate((str(item["text"]) for item in items[start : start + BATCH]), start)
            )
            connection.execute("BEGIN")
            connection.executemany("INSERT INTO items VALUES (?, ?)", rows)
            if words:
                connection.executemany("INSERT INTO words (rowid, text) VALUES (?, ?)", rows)
            connection.execute("COMMIT")
        seconds = time.process_time() - started
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        result = {"write us/item": seconds / len(items) * 1e6, "size MB": path.stat().st_size / 1e6}

        def search(query: str) -> object:
            any_of = " OR ".join(f'"{term}"' for term in count_terms(query))
            return connection.execute(
                "SELECT rowid FROM words WHERE words MATCH ? ORDER BY rank LIMIT ?", (any_of, HITS)
            ).fetchall()

        if words:
            result["three words ms"] = time_queries(search, queries[0])
            result["name ms"] = time_queries(search, queries[1])
        connection.close()
    return result


def measure(part: str, count: int, query_count: int) -> Result:
    """Return the figures of one part."""
    items = texts.items(count)
    queries = draw_queries(items, query_count)
    if part == "memory":
        return measure_memory(items, queries)
    return measure_rows(items, queries, words=part == "rows and FTS5")


def main() -> None:
    """Run all parts in turns and print the medians."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        print(json.dumps(measure(options.part, options.items, options.queries)))
        return
    results: dict[str, list[Result]] = {part: [] for part in PARTS}
    for _ in range(options.rounds):
        for part in PARTS:
            command = [sys.executable, __file__, "--part", part, "--items", str(options.items)]
            command += ["--queries", str(options.queries)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            results[part].append(json.loads(done.stdout))
    medians = {
        part: {name: statistics.median(run[name] for run in runs) for name in runs[0]}
        for part, runs in results.items()
    }
    for part, figures in medians.items():
        print(part, ", ".join(f"{name} {value:.3g}" for name, value in figures.items()))
    if options.json:
        options.json.write_text(json.dumps(medians, indent=1))


if __name__ == "__main__":
    main()
