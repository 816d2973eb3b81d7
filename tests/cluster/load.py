"""Writers and readers of a catalog with a shared index, while faults happen."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from itertools import count, pairwise
from random import Random
from typing import Self

import akin
import grpc

DIMENSIONS = 256

# What a call may fail with while a part is away. A read must never be wrong.
RETRIED_CODES = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.CANCELLED,
}
CALL_SECONDS = 8.0

# Items of each writer, and the share of its writes that are deletions.
ITEMS_PER_WRITER = 200
DELETED_SHARE = 0.2

# A vector finds its own item with a score above this.
SAME_VECTOR_SCORE = 0.999


class Journal:
    """What was acknowledged, and when calls succeeded.

    Attributes:
        stored: the acknowledged items that are not deleted, with their vectors.
        deleted: the ids of items whose deletion was acknowledged.
        unknown: ids of items whose last write may or may not be stored.
        wrong: what reads found that must not be.
    """

    def __init__(self) -> None:
        self.stored: dict[str, list[float]] = {}
        self.deleted: set[str] = set()
        self.unknown: set[str] = set()
        self.wrong: list[str] = []
        self.lock = threading.Lock()
        self._successes: dict[str, list[float]] = {}

    def note_success(self, kind: str) -> None:
        """Note that a call has succeeded now."""
        with self.lock:
            self._successes.setdefault(kind, []).append(time.monotonic())

    def measure_gap(self, kind: str, start: float) -> float:
        """Return the longest time without a success since a moment, in seconds."""
        with self.lock:
            times = [start, *(at for at in self._successes.get(kind, []) if at >= start)]
        times.append(time.monotonic())
        return max(later - earlier for earlier, later in pairwise(times))

    def count(self, kind: str) -> int:
        """Return the number of successes."""
        with self.lock:
            return len(self._successes.get(kind, []))


class Load:
    """Threads that write to and read from servers; a context manager that ends them.

    Each writer has items of its own. It writes one, and reads it back from another server with
    `min_sequence`: the item must be found with its new vector, or not at all once it is deleted.

    Args:
        clients: of the servers, at least two.
        journal: receives what happens.
    """

    def __init__(self, clients: Sequence[akin.Client], journal: Journal, writers: int = 4) -> None:
        self._clients = clients
        self._journal = journal
        self._has_ended = threading.Event()
        self._threads = [
            threading.Thread(target=self._write, args=(number,), daemon=True)
            for number in range(writers)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._has_ended.set()
        for thread in self._threads:
            thread.join()

    def _write(self, writer: int) -> None:
        random = Random(writer)
        for number in count():
            if self._has_ended.is_set():
                return
            item_id = f"w{writer}-{random.randrange(ITEMS_PER_WRITER)}"
            writing = self._clients[(writer + number) % len(self._clients)]
            reading = self._clients[(writer + number + 1) % len(self._clients)]
            former = self._journal.stored.get(item_id)
            if former is not None and random.random() < DELETED_SHARE:
                sequence = self._change(writing, item_id, None)
                query, is_deleted = former, True
            else:
                query, is_deleted = _make_vector(random), False
                sequence = self._change(writing, item_id, query)
            if sequence is not None:
                self._read_back(reading, item_id, query, sequence, is_deleted=is_deleted)

    def _change(self, client: akin.Client, item_id: str, vector: list[float] | None) -> int | None:
        """Write or delete an item; return the sequence number, None if the outcome is unknown."""
        journal = self._journal
        try:
            if vector is None:
                sequence = client.delete_item(item_id)
            else:
                stored = client.upsert_item(item_id, f"item {item_id}", vectors=[vector])
                sequence = stored.item.sequence
        except akin.AkinError as exc:
            with journal.lock:
                journal.unknown.add(item_id)
                if exc.code not in RETRIED_CODES and exc.code is not grpc.StatusCode.NOT_FOUND:
                    journal.wrong.append(f"write of {item_id}: {exc}")
            self._has_ended.wait(0.1)
            return None
        with journal.lock:
            journal.unknown.discard(item_id)
            if vector is None:
                journal.stored.pop(item_id, None)
                journal.deleted.add(item_id)
            else:
                journal.stored[item_id] = vector
                journal.deleted.discard(item_id)
        journal.note_success("write")
        return sequence

    def _read_back(
        self,
        client: akin.Client,
        item_id: str,
        query: list[float],
        sequence: int,
        *,
        is_deleted: bool,
    ) -> None:
        """Search for what was written, on a server that must have the write."""
        try:
            response = client.recommend_similar(vector=query, limit=5, min_sequence=sequence)
        except akin.AkinError as exc:
            if exc.code not in RETRIED_CODES:
                with self._journal.lock:
                    self._journal.wrong.append(f"read of {item_id}: {exc}")
            self._has_ended.wait(0.1)
            return
        self._journal.note_success("read")
        scores = {hit.item_id: hit.score for hit in response.recommendations}
        is_found = scores.get(item_id, 0.0) > SAME_VECTOR_SCORE
        if is_found == is_deleted:
            with self._journal.lock:
                self._journal.wrong.append(
                    f"{item_id}, deleted: {is_deleted}, after write {sequence}: {scores}"
                )


def find_lost(client: akin.Client, journal: Journal) -> list[str]:
    """Return the acknowledged items that a server does not find, and deleted ones that it does."""
    lost = []
    for item_id, vector in journal.stored.items():
        if item_id not in journal.unknown:
            hits = client.recommend_similar(vector=vector, limit=5).recommendations
            if not any(hit.item_id == item_id and hit.score > SAME_VECTOR_SCORE for hit in hits):
                lost.append(item_id)
    page = client.list_items(page_size=1000)
    present = {item.item_id for item in page.items}
    return lost + sorted((journal.deleted - journal.unknown) & present)


def _make_vector(random: Random) -> list[float]:
    """Return a random vector of unit length."""
    values = [random.gauss(0.0, 1.0) for _ in range(DIMENSIONS)]
    length = sum(value * value for value in values) ** 0.5
    return [value / length for value in values]
