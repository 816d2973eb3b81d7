"""Queries of each kind, prepared for each peer, and the rounds in which the peers take turns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from throughput import Generator, Result, middle

from peers.dataset import NEW_ITEMS, WRITES, Case, Dataset, Truth
from peers.peer import Peer

# Peers whose recall can be chosen get the least breadth with the recall of Akin, within these.
LEAST_RECALL, MOST_RECALL = 0.98, 0.99

CONNECTIONS = "-connections=16"

# Filtered queries of one of the servers take long with many callers.
TIMEOUT = "-timeout=300s"

WRITE_SHARE = 0.1
MIXED = f"mixed, {WRITE_SHARE:.0%} writes"
RATES = ("calls_per_second", "p50_ms", "p95_ms", "p99_ms")


@dataclass(frozen=True)
class Entry:
    """A peer with the queries of a case.

    Args:
        breadth: number of candidates of a query; 0 if the peer has no choice.
    """

    peer: Peer
    case: Case
    generator: Generator
    breadth: int
    recall: float

    def run(self, seconds: float, callers: int, *options: str) -> Result:
        """Return the figures of callers in a closed loop.

        Raises:
            AssertionError: a call failed.
        """
        stats = self.generator.measure(
            self.peer.address, seconds, f"-concurrency={callers}", CONNECTIONS, TIMEOUT, *options
        )
        assert not stats["errors"] + stats.get("writes", stats)["errors"], stats
        return stats


@dataclass(frozen=True)
class Contest:
    """Peers over one dataset, with a folder for messages."""

    dataset: Dataset
    folder: Path
    seconds: float
    rounds: int

    def prepare(self, peers: Sequence[Peer], case: Case) -> list[Entry]:
        """Return each peer with its queries of a case; the first peer sets the recall."""
        truth = Truth(self.dataset, case, self.dataset.stored)
        entries: list[Entry] = []
        for peer in peers:
            least = entries[0].recall if entries else MOST_RECALL
            target = min(max(least, LEAST_RECALL), MOST_RECALL)
            entries.append(self._choose(peer, case, truth, target))
        return entries

    def _choose(self, peer: Peer, case: Case, truth: Truth, target: float) -> Entry:
        for breadth in peer.breadths or (0,):
            recall = measure_recall(peer, case, truth, breadth)
            if recall >= target:
                break
        return self._enter(peer, case, breadth, recall)

    def _enter(self, peer: Peer, case: Case, breadth: int, recall: float) -> Entry:
        messages = (peer.query(case, row, breadth) for row in self.dataset.rows(case))
        path = self.folder / f"{peer.name} {case.name} {breadth}".replace("%", "")
        option = f"-{peer.queries.kind}={peer.queries.path}"
        return Entry(peer, case, Generator.built(path, messages, option), breadth, recall)

    def compare(self, entries: Sequence[Entry], callers: int) -> list[Result]:
        """Return a row for each peer, measured in turns."""
        measured: list[list[Result]] = [[] for _ in entries]
        for _ in range(self.rounds):
            for found, entry in zip(measured, entries, strict=True):
                found.append(entry.run(self.seconds, callers))
        return make_rows(entries, measured, callers)

    def trace(self, entry: Entry, callers: int) -> list[Result]:
        """Return a row for each breadth that the peer of an entry can have."""
        truth = Truth(self.dataset, entry.case, self.dataset.stored)
        rows = []
        for breadth in entry.peer.breadths:
            recall = measure_recall(entry.peer, entry.case, truth, breadth)
            other = self._enter(entry.peer, entry.case, breadth, recall)
            rows += make_rows([other], [[other.run(self.seconds, callers)]], callers)
        return rows

    def mix(self, entries: Sequence[Entry], levels: Sequence[int]) -> list[Result]:
        """Return rows of queries by item with writes among them, and the recall after them."""
        writes = [self._write_requests(entry.peer) for entry in entries]
        measured: dict[int, list[list[Result]]] = {level: [[] for _ in entries] for level in levels}
        for level in levels:
            for _ in range(self.rounds):
                for found, entry, options in zip(measured[level], entries, writes, strict=True):
                    found.append(entry.run(self.seconds, level, *options))
                    entry.peer.settle()
        after = [self._finish_writes(entry) for entry in entries]
        return [row for level in levels for row in make_rows(after, measured[level], level)]

    def _write_requests(self, peer: Peer) -> list[str]:
        path = self.folder / f"{peer.name} writes"
        Generator.built(path, map(peer.write, range(WRITES)), "")
        target = f"-write-{peer.writes.kind}={peer.writes.path}"
        return [target, f"-write-requests={path}", f"-write-share={WRITE_SHARE}"]

    def _finish_writes(self, entry: Entry) -> Entry:
        """Store the same version of all new items, and measure recall over them too."""
        for number in range(NEW_ITEMS):
            entry.peer.writes.send(entry.peer.write(number))
        entry.peer.settle()
        truth = Truth(self.dataset, entry.case, self.dataset.stored + NEW_ITEMS)
        recall = measure_recall(entry.peer, entry.case, truth, entry.breadth)
        return replace(entry, case=replace(entry.case, name=MIXED), recall=recall)


def measure_recall(peer: Peer, case: Case, truth: Truth, breadth: int) -> float:
    """Return recall@10 by score of a peer's answers."""
    replies = (peer.queries.send(peer.query(case, row, breadth)) for row in truth.rows)
    return truth.recall([peer.rows(each) for each in replies])


def make_rows(
    entries: Sequence[Entry], measured: Sequence[Sequence[Result]], callers: int
) -> list[Result]:
    """Return the medians of each peer, and the ratios of the calls of Akin to its own."""
    rows = []
    for entry, rounds in zip(entries, measured, strict=True):
        row: Result = {
            "case": entry.case.name,
            "kept": entry.case.kept,
            "callers": callers,
            "peer": entry.peer.name,
            "breadth": entry.breadth,
            "recall_at_10": entry.recall,
            **middle([{name: each[name] for name in RATES} for each in rounds]),
            "ratios": {
                other.peer.name: compare_calls(measured[number], rounds)
                for number, other in enumerate(entries)
                if other.peer.name.startswith("Akin")
            },
        }
        if "writes" in rounds[0]:
            writes = middle([{name: each["writes"][name] for name in RATES} for each in rounds])
            row.update({f"write_{name}": value for name, value in writes.items()})
        rows.append(row)
    return rows


def compare_calls(these: Sequence[Result], those: Sequence[Result]) -> float:
    """Return the median ratio, over the rounds, of calls each second with writes included."""

    def total(stats: Result) -> float:
        calls: float = stats["calls_per_second"]
        return calls + (stats["writes"]["calls_per_second"] if "writes" in stats else 0.0)

    pairs = zip(these, those, strict=True)
    return round(median(total(one) / total(other) for one, other in pairs), 3)
