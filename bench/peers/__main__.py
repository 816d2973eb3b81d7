"""Akin next to Chroma, Qdrant and pgvector: the ten nearest of real texts' vectors.

    PYTHONPATH=tests:bench python -m peers [--items N] [--seconds S] [--concurrency 1,4,16,64]
                                           [--rounds R] [--data FOLDER] [--json FILE] [--plot FILE]

Akin gets texts, and the others get the vectors that Akin's embedded model makes of them. All
servers run at the same time and take turns under the load generator of load/. Akin runs with one
worker and with two. Chroma is installed into an environment of its own in the user's cache. Qdrant
is measured if QDRANT_BINARY has the path of its server, or QDRANT_ADDRESS the address of its gRPC,
and pgvector if the PostgreSQL of this machine has the extension.

Queries by item go by id, or by the vector of the item where a server has nothing else. Filters keep
a range of a random number, or a section, which is related to the text. Recall is by score, against
a comparison of all vectors. Where a query can choose its breadth of search, it is the least one
with the recall of Akin, at least 0.98 and at most 0.99.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import charts
from throughput import LIMIT, Result, arguments, filled_server

from peers.akin_peer import run_akin
from peers.chroma import run_chroma
from peers.contest import MIXED, Contest, Entry
from peers.dataset import list_cases, make_dataset
from peers.peer import Peer
from peers.pgvector import run_pgvector
from peers.qdrant import run_qdrant

# The plot shows these kinds of queries, at the number of callers that is nearest to this one.
PLOTTED = ("by item", "by vector", "unrelated 10%", "section")
PLOTTED_CALLERS = 16


def measure(options: argparse.Namespace) -> Result:
    """Fill all servers and measure each kind of query at each number of callers."""
    dataset = make_dataset(options.items)
    levels = [int(each) for each in options.concurrency.split(",")]
    shown = min(levels, key=lambda level: abs(level - PLOTTED_CALLERS))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        imports: Result = {}
        filled = options.data or folder / "akin"
        with filled_server(dataset.items[: dataset.stored], filled) as (_, imported):
            imports["Akin"] = imported.get("seconds_until_settled")
        peers: list[Peer] = [
            stack.enter_context(run_akin(filled, folder / f"akin{workers}", workers, dataset))
            for workers in (1, 2)
        ]
        for others in (
            run_qdrant(folder, dataset),
            run_pgvector(dataset),
            run_chroma(folder, dataset),
        ):
            started = stack.enter_context(others)
            if started is not None:
                peer, seconds = started
                imports[peer.name] = round(seconds, 1)
                peers.append(peer)
        contest = Contest(dataset, folder, options.seconds, options.rounds)
        prepared = [contest.prepare(peers, case) for case in list_cases(dataset)]
        return {
            "items": options.items,
            "rounds": options.rounds,
            "seconds_per_round": options.seconds,
            "import_seconds": imports,
            "plotted_callers": shown,
            "rows": measure_rows(contest, prepared, levels),
            "curves": measure_curves(contest, prepared, shown),
            "mixed": contest.mix(prepared[0], levels),
        }


def measure_rows(
    contest: Contest, prepared: Sequence[Sequence[Entry]], levels: Sequence[int]
) -> list[Result]:
    """Return the rows of all kinds of queries at all numbers of callers."""
    return [
        row for entries in prepared for level in levels for row in contest.compare(entries, level)
    ]


def measure_curves(
    contest: Contest, prepared: Sequence[Sequence[Entry]], callers: int
) -> list[Result]:
    """Return recall and calls of the plotted queries at each breadth that a peer can have."""
    return [
        row
        for entries in prepared
        if entries[0].case.name.startswith(PLOTTED)
        for entry in entries
        for row in contest.trace(entry, callers)
    ]


def show(result: Result) -> None:
    """Print the result for people."""
    print(f"The {LIMIT} nearest of {result['items']:,} items")
    print(f"{result['rounds']} rounds of {result['seconds_per_round']:g} s in turns, medians")
    print("ratios: calls of Akin with one and with two workers to those of the row")
    print(f"seconds until filled and built: {result['import_seconds']}\n")
    print(f"{'query':18}{'callers':>8}  {'server':18}{'calls/s':>9}{'ratios':>12}"
          f"{'p50 ms':>9}{'p95 ms':>9}{'p99 ms':>9}{'recall':>8}{'breadth':>9}")  # fmt: skip
    for row in [*result["rows"], *result["mixed"]]:
        ratios = " ".join(f"{each:.2f}" for each in row["ratios"].values())
        print(f"{row['case']:18}{row['callers']:>8}  {row['peer']:18}"
              f"{row['calls_per_second']:>9,.0f}{ratios:>12}{row['p50_ms']:>9.2f}"
              f"{row['p95_ms']:>9.2f}{row['p99_ms']:>9.2f}{row['recall_at_10']:>8.3f}"
              f"{row['breadth'] or '':>9}")  # fmt: skip
        if row["case"] == MIXED:
            print(f"{'  its writes':46}{row['write_calls_per_second']:>9,.0f}{'':12}"
                  f"{row['write_p50_ms']:>9.2f}{row['write_p95_ms']:>9.2f}"
                  f"{row['write_p99_ms']:>9.2f}")  # fmt: skip


def main() -> None:
    """Measure and print."""
    options = arguments(__doc__, 100_000, "1,4,16,64", 3.0)
    result = measure(options)
    show(result)
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")
    if options.plot:
        charts.peers(options.plot, result, PLOTTED)


if __name__ == "__main__":
    main()
