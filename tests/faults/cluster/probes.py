"""Probes: simple calls at a steady rate, which show when writes and reads do not go on."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterable
from typing import Self

import grpc
from akin._errors import decode
from akin.v1 import recommender_service_pb2 as pb
from akin.v1.item_pb2 import Item

from faults.cluster.calls import CallCounter
from faults.cluster.replicas import Replica
from faults.writer import CALL_SECONDS, Stubs

# The items of probes are in a catalog of their own, which is not compared.
PROBE_CATALOG = "probes"
PROBE_ITEM = "probe"
PROBE_TEXT = "the text of the probe"
INTERVAL_SECONDS = 0.05

# Time after its start in which a replica may still fail reads: a channel reconnects.
RECONNECT_SECONDS = 1.0

Call = Callable[[Stubs, int], object]


def upsert(stubs: Stubs, number: int) -> object:
    """Write an item whose text is embedded already."""
    item = Item(item_id=PROBE_ITEM, text=PROBE_TEXT)
    item.attributes["number"] = number
    request = pb.UpsertItemRequest(catalog=PROBE_CATALOG, item=item)
    return stubs.recommender.UpsertItem(request, timeout=CALL_SECONDS)


def recommend_by_item(stubs: Stubs, number: int) -> object:
    """Search for the neighbors of an item."""
    request = pb.RecommendSimilarRequest(catalog=PROBE_CATALOG, item_id=PROBE_ITEM, limit=3)
    return stubs.recommender.RecommendSimilar(request, timeout=CALL_SECONDS)


def recommend_by_text(stubs: Stubs, number: int) -> object:
    """Search for a text whose vector the replica has."""
    request = pb.RecommendSimilarRequest(catalog=PROBE_CATALOG, text=PROBE_TEXT, limit=3)
    return stubs.recommender.RecommendSimilar(request, timeout=CALL_SECONDS)


class Probe:
    """Repeats a call to one replica in a thread, while the replica lives; a context manager.

    Attributes:
        successes: when its calls succeeded, a list for each time in which the replica lived.
        failures: when calls failed while the replica lived, with the error.
    """

    def __init__(self, replica: Replica, call: Call, calls: CallCounter) -> None:
        self.successes: list[list[float]] = []
        self.failures: list[tuple[float, str]] = []
        self._replica = replica
        self._call = call
        self._stubs = Stubs(replica.address, calls.connect)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._stopped.set()
        self._thread.join()
        self._stubs.channel.close()

    def find_longest_gap(self, begin: float, end: float) -> float:
        """Return the longest time without a success of a living replica, as the module does."""
        return max((find_longest_gap(life, begin, end) for life in self.successes), default=0.0)

    def _run(self) -> None:
        lives = 0
        for number in itertools.count(1):
            if self._stopped.wait(INTERVAL_SECONDS):
                return
            if not self._replica.is_alive:
                continue
            if lives != self._replica.lives:
                lives = self._replica.lives
                self.successes.append([time.monotonic()])
            self._send(number, lives)

    def _send(self, number: int, lives: int) -> None:
        error = ""
        try:
            self._call(self._stubs, number)
        except grpc.RpcError as exc:
            error = str(decode(exc))
        now = time.monotonic()
        if lives != self._replica.lives:
            return
        if not error:
            self.successes[-1].append(now)
        elif now > self.successes[-1][0] + RECONNECT_SECONDS:
            self.failures.append((now, error))


def find_longest_gap(times: Iterable[float], begin: float, end: float) -> float:
    """Return the longest time between two successes that overlaps a time, in seconds."""
    gaps = (
        later - earlier
        for earlier, later in itertools.pairwise(sorted(times))
        if later >= begin and earlier <= end
    )
    return max(gaps, default=0.0)
