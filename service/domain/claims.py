"""Requests to paid embedding providers, as they are recorded before and after they are sent."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.domain.usage import TokenUsage
from service.domain.vectors import Chunk


class RequestOwner(NamedTuple):
    """The process that sends a request, and its place, which a successor of the process takes."""

    place: str
    process: str


class Reservation(NamedTuple):
    """The budget of one request under way, in US dollars.

    `cost_usd` is the estimated cost, which counts as spent if the process dies. `reserved_usd` is
    the part of the budget that no other request may use.
    """

    cost_usd: float
    reserved_usd: float


@dataclass(frozen=True, slots=True)
class Claim:
    """A request that a process wants to send.

    Attributes:
        owner: the process.
        space: the fingerprint of the embedding space.
        tokens: the estimated tokens of each text, by the hash of the text.
        find_limit: returns the maximum number of concurrent requests in the space, of all
            processes.
        lease_seconds: time after which the process is considered dead.
        reserve: takes the estimated tokens, and the US dollars that were spent today and that are
            reserved for other requests. It returns None if other requests have to end first, and
            raises BudgetSpent if the budget does not suffice.
        low_priority: let requests without low priority of all processes go first.
    """

    owner: RequestOwner
    space: str
    tokens: Mapping[bytes, int]
    find_limit: Callable[[], int]
    lease_seconds: float
    reserve: Callable[[int, float, float], Reservation | None]
    low_priority: bool = False


@dataclass(frozen=True, slots=True)
class ClaimOutcome:
    """Which texts of a claim have to be sent. Other processes embed those that are not listed.

    Attributes:
        request_id: the request, under way or waiting; None if there is nothing to send.
        hashes: of the texts to send now.
        vectors: the vectors of texts that are stored, by hash.
        estimate: the estimated usage of the request.
        is_waiting: whether other requests have to end before this one may be sent.
    """

    request_id: int | None = None
    hashes: frozenset[bytes] = frozenset()
    vectors: Mapping[bytes, NDArray[np.float32]] = field(default_factory=dict)
    estimate: TokenUsage = field(default_factory=TokenUsage)
    is_waiting: bool = False


@dataclass(frozen=True, slots=True)
class Settlement:
    """The usage of a request that has ended, and its vectors.

    Attributes:
        request_id: the request; None if it was sent without a claim.
        space: the fingerprint of the embedding space.
        usage: what the provider counted.
        estimate: the estimated usage, which counts as spent if the claim has expired.
        item_chunks: the vectors of texts of items.
        query_chunks: the vectors of texts of queries.
    """

    request_id: int | None
    space: str = ""
    usage: TokenUsage = field(default_factory=TokenUsage)
    estimate: TokenUsage = field(default_factory=TokenUsage)
    item_chunks: Sequence[Chunk] = ()
    query_chunks: Sequence[Chunk] = ()

    @property
    def chunks(self) -> Sequence[Chunk]:
        """All vectors."""
        return [*self.item_chunks, *self.query_chunks]
