"""What replicas over PostgreSQL take: disk, connections, starts, and how far they are behind.

    python bench/replicas.py [--items N] [--writes N] [--json FILE]

Starts a PostgreSQL server with a fresh cluster that syncs each commit to the disk, and a server of
Akin over it with the embedded model, which imports generated items. Then a second replica starts
three times from the published snapshot, and once without one. Before the latter, items are written
to the first replica, and read from the second one with the sequence number of the write.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

import akin
from postgres import import_part, make_texts
from servers import Server, akin_server
from support.postgres import PostgresServer
from throughput import settle

STARTS = 3
POLL_SECONDS = 0.5

COUNT_CONNECTIONS = """
    SELECT count(*) FROM pg_stat_activity
    WHERE backend_type = 'client backend' AND pid != pg_backend_pid()
"""
MEASURE_SNAPSHOT = "SELECT pg_total_relation_size('akin.snapshot_pieces')"
MEASURE_DATABASE = "SELECT pg_database_size(current_database())"
COUNT_PUBLISHED = "SELECT count(*) FROM akin.snapshots"
REMOVE_PUBLISHED = "TRUNCATE akin.snapshots, akin.snapshot_pieces"


class ReplicaBench:
    """Replicas over one PostgreSQL server.

    Args:
        postgres: the server, with an empty database.
    """

    def __init__(self, postgres: PostgresServer) -> None:
        self._postgres = postgres

    @contextmanager
    def run_replica(self) -> Iterator[Server]:
        """Run a replica with an empty data folder."""
        settings = {"AKIN_EMBEDDER": "local", "AKIN_STORE": self._postgres.address()}
        with akin_server(None, **settings) as server:
            yield server

    def read_number(self, query: str) -> int:
        """Return the only value of a query."""
        ((number,),) = self._postgres.execute(query)
        return int(number)

    def fill(self, server: Server, count: int) -> dict[str, int]:
        """Import items and wait until their snapshot is published; return bytes on disk."""
        empty = self.read_number(MEASURE_DATABASE)
        texts = islice(make_texts(1), count)
        items = [
            {"id": f"item{n:06}", "text": text, "attributes": {"number": n}}
            for n, text in enumerate(texts)
        ]
        import_part(server.address, items)
        settle(server.address)
        while not self.read_number(COUNT_PUBLISHED):
            time.sleep(POLL_SECONDS)
        snapshot = self.read_number(MEASURE_SNAPSHOT)
        rows = self.read_number(MEASURE_DATABASE) - empty - snapshot
        return {"rows": rows // count, "snapshot": snapshot // count}

    def start(self) -> float:
        """Start a replica; return the seconds until it serves."""
        with self.run_replica() as server:
            return server.seconds_to_serve

    def measure_lag(self, first: Server, writes: int) -> dict[str, float]:
        """Return how long after a write another replica answers with it, in ms."""
        texts = islice(make_texts(2), writes)
        with (
            self.run_replica() as second,
            akin.Client(first.address) as writer,
            akin.Client(second.address) as reader,
        ):
            connections = self.read_number(COUNT_CONNECTIONS)
            reader.recommend_similar(item_id="item000000", limit=1)
            plain, waits = [], []
            for number, text in enumerate(texts):
                sequence = writer.upsert_item(f"new{number}", text).item.sequence
                waits.append(_time_read(reader, sequence))
                plain.append(_time_read(reader))
        return {
            "connections of an idle replica": connections / 2,
            "read, p50": _round(plain, 0.5),
            "read of the last write, p50": _round(waits, 0.5),
            "read of the last write, p99": _round(waits, 0.99),
        }


def _time_read(client: akin.Client, min_sequence: int = 0) -> float:
    began = time.perf_counter()
    client.recommend_similar(item_id="item000000", limit=1, min_sequence=min_sequence)
    return 1_000 * (time.perf_counter() - began)


def _round(values: Sequence[float], share: float) -> float:
    return round(sorted(values)[int(share * (len(values) - 1))], 1)


def measure(postgres: PostgresServer, items: int, writes: int) -> dict[str, Any]:
    """Run the replicas, and return the figures."""
    bench = ReplicaBench(postgres)
    result: dict[str, Any] = {"items": items}
    with bench.run_replica() as first:
        result["bytes per item"] = bench.fill(first, items)
        result["start from the snapshot, s"] = round(median(_repeat(bench)), 2)
        result.update(bench.measure_lag(first, writes))
    postgres.execute(REMOVE_PUBLISHED)
    result["start without a snapshot, s"] = round(bench.start(), 2)
    return result


def _repeat(bench: ReplicaBench) -> list[float]:
    return [bench.start() for _ in range(STARTS)]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--items", type=int, default=63_000)
    parser.add_argument("--writes", type=int, default=300)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    postgres = PostgresServer({})
    try:
        result = measure(postgres, options.items, options.writes)
    finally:
        postgres.stop()
    for name, figures in result.items():
        print(f"{name:34}{figures}")
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
