"""Requests to paid models over a real store."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from service import errors
from service.domain.claims import Claim, ClaimOutcome, RequestOwner, Settlement
from service.embedding.budget import Budget
from service.embedding.embedder import Embeddings, Vector
from service.embedding.paid_requests import PaidRequests
from service.embedding.paid_sender import PaidSender
from service.embedding.request_sender import is_no_query
from service.storage.stores import Stores
from support.embedders import WordEmbedder

_numbers = itertools.count()


PLACES = ["0", "1"]


def make_requests(
    stores: Stores, usd_per_day: float | None = None, place: str = PLACES[0]
) -> PaidRequests:
    """Return the paid requests of one process over a store."""
    return PaidRequests(stores.embedding_requests, Budget(usd_per_day), place, PLACES)


def make_failing_requests(store: FailingStore) -> PaidRequests:
    """Return the paid requests of a process over a store that can fail."""
    return PaidRequests(store, Budget(None), PLACES[0], PLACES)


def make_sender(requests: PaidRequests, limit: int = 8) -> PaidSender:
    """Return a sender of one model of a process."""
    return PaidSender(requests, WordEmbedder(), lambda low_priority: limit)


async def spend(sender: PaidSender, cost_usd: float, words: int = 3) -> None:
    """Send a request with one new text of `words` words, which costs this much."""
    text = f"{'word ' * (words - 1)}number{next(_numbers)}"

    async def send(texts: Sequence[str]) -> Embeddings:
        embeddings = await WordEmbedder().embed(texts)
        return Embeddings(embeddings.vectors, words, cost_usd)

    await sender.send([text], is_no_query, send)


class FailingStore:
    """A PaidRequestStore that fails with `error` while it is set, except for reads.

    `settle_error` fails settlements alone. `settlements` counts attempts to settle.
    """

    def __init__(self, stores: Stores) -> None:
        self.error: errors.AkinError | None = None
        self.settle_error: errors.AkinError | None = None
        self.settlements = 0
        self._store = stores.embedding_requests

    async def claim(self, claim: Claim, waiting_id: int | None, *, may_wait: bool) -> ClaimOutcome:
        """Claim a request, or fail."""
        if self.error is not None:
            raise self.error
        return await self._store.claim(claim, waiting_id, may_wait=may_wait)

    async def settle(self, settlement: Settlement) -> None:
        """Record a request, or fail."""
        self.settlements += 1
        if (error := self.error or self.settle_error) is not None:
            raise error
        await self._store.settle(settlement)

    async def write_off(self, owner: RequestOwner, places: Sequence[str] | None) -> None:
        """Count the requests of dead processes as spent, or fail."""
        if self.error is not None:
            raise self.error
        await self._store.write_off(owner, places)

    async def read_vectors(self, space: str, hashes: Sequence[bytes]) -> dict[bytes, Vector]:
        """Return vectors."""
        return await self._store.read_vectors(space, hashes)
