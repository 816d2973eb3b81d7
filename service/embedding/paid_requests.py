"""Records requests to paid providers before and after they are sent.

Nothing is sent before its claim is on disk, nor while the usage or the vectors of an earlier
request could not be stored. Vectors that arrived stay in memory until they are on disk.
"""

from __future__ import annotations

import asyncio
import os
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Protocol, TypeVar

import structlog

from service import errors
from service.domain.claims import Claim, ClaimOutcome, RequestOwner, Settlement
from service.domain.generations import Generation
from service.domain.usage import TokenUsage
from service.embedding.budget import Budget, RequestPrices
from service.embedding.embedder import Vector

# The interval of checks whether requests of other processes have ended. A check takes 0.2 ms of the
# database's only writer.
TURN_SECONDS = 0.02

# The interval of attempts to record what could not be recorded.
RETRY_SECONDS = 1.0


class HasUsage(Protocol):
    """The outcome of a request, with what it cost."""

    @property
    def usage(self) -> TokenUsage:
        """What the provider counted."""


_Outcome = TypeVar("_Outcome", bound=HasUsage)


class PaidRequestStore(Protocol):
    """The store of requests to paid providers, which all processes over the same data share."""

    async def claim(self, claim: Claim, waiting_id: int | None, *, may_wait: bool) -> ClaimOutcome:
        """Claim a request, so that it may be sent once this returns.

        Args:
            claim: the request.
            waiting_id: the request id of an earlier outcome that was waiting.
            may_wait: record that the request waits for its turn, if it has to.
        """

    async def settle(self, settlement: Settlement) -> None:
        """Record the usage and the vectors of a request that has ended, and remove its claim."""

    async def write_off(self, owner: RequestOwner, places: Sequence[str] | None) -> None:
        """Count the requests of dead processes as spent.

        Args:
            owner: the only living process in its place.
            places: all places, if they are known; no process lives in another one.
        """

    async def read_vectors(self, space: str, hashes: Sequence[bytes]) -> Mapping[bytes, Vector]:
        """Return the vectors that a space has, by the hashes of their texts."""


class PaidRequests:
    """The requests of this process to paid providers.

    Args:
        store: where they are recorded.
        budget: limits their cost.
        place: names this process among those over the same data; its successor has the same name.
        places: the names of all of them; None if they are not known.
    """

    def __init__(
        self, store: PaidRequestStore, budget: Budget, place: str, places: Sequence[str] | None
    ) -> None:
        self.budget = budget
        self.owner = RequestOwner(place, os.urandom(8).hex())
        self._places = places
        self._store = store
        self._prices: defaultdict[str, RequestPrices] = defaultdict(RequestPrices)
        self._unsettled: deque[Settlement] = deque()
        self._is_predecessor_settled = False
        self._settling: asyncio.Task[None] | None = None
        self._ended = asyncio.Event()

    def get_prices(self, space: str) -> RequestPrices:
        """Return the prices of requests in a space, by its fingerprint."""
        return self._prices[space]

    async def run(self) -> None:
        """Record what could not be recorded, as soon as the store accepts it, until cancelled."""
        while True:
            with suppress(errors.AkinError):  # logged when it failed for the first time
                await self._settle_rest()
            await asyncio.sleep(RETRY_SECONDS)

    async def close(self) -> None:
        """Try for the last time to record what could not be recorded."""
        try:
            await self._settle_rest()
        except errors.AkinError as exc:
            texts = sum(len(settlement.chunks) for settlement in self._unsettled)
            if texts:
                structlog.get_logger().error("embedding_lost", reason=exc.reason, texts=texts)

    async def claim(self, claim: Claim, line: asyncio.Lock) -> ClaimOutcome:
        """Claim a request, and wait for its turn.

        Args:
            claim: the request.
            line: held while a request waits, so that only one of a model and a priority is waiting
                on disk.

        Raises:
            BudgetSpent: raised by the claim's `reserve`.
            AkinError: the store failed now, or an earlier request is not recorded yet.
        """
        outcome = await self._try_claim(claim)
        if not outcome.is_waiting:
            return outcome
        async with line:
            return await self._wait_for_turn(claim)

    async def settle(self, settlement: Settlement) -> None:
        """Record a request that has ended; if this fails, keep it in memory until it succeeds."""
        try:
            await self._store.settle(settlement)
        except Exception as exc:  # noqa: BLE001  (whatever failed, the vectors are paid for)
            self.settle_later(settlement)
            reason = exc.reason if isinstance(exc, errors.AkinError) else type(exc).__name__
            structlog.get_logger().error(
                "embedding_not_recorded", reason=reason, texts=len(settlement.chunks)
            )
        self._ended.set()

    async def send_unclaimed(self, send: Callable[[], Awaitable[_Outcome]]) -> _Outcome:
        """Send a request that checks a model, and record its usage before the next request.

        Raises:
            AkinError: raised by `send`, or an earlier request cannot be recorded; then nothing was
                sent.
        """
        await self._settle_rest()
        outcome = await send()
        self.settle_later(Settlement(None, usage=outcome.usage))
        return outcome

    def settle_later(self, settlement: Settlement) -> None:
        """Record a request that has ended before the next one is sent."""
        self._unsettled.append(settlement)

    async def read_vectors(self, space: str, hashes: Sequence[bytes]) -> Mapping[bytes, Vector]:
        """Return the vectors that a space has on disk or in memory, by the hashes of their texts.

        Raises:
            StoreUnavailable: the store cannot be read.
        """
        vectors = {
            chunk.text_hash: chunk.vector
            for settlement in self._unsettled
            if settlement.space == space
            for chunk in settlement.chunks
        }
        vectors = {text_hash: vectors[text_hash] for text_hash in hashes if text_hash in vectors}
        missing = [text_hash for text_hash in hashes if text_hash not in vectors]
        return {**vectors, **await self._store.read_vectors(space, missing)}

    async def _try_claim(
        self, claim: Claim, waiting_id: int | None = None, *, may_wait: bool = False
    ) -> ClaimOutcome:
        await self._settle_rest()
        claiming = asyncio.ensure_future(self._store.claim(claim, waiting_id, may_wait=may_wait))
        try:
            return await asyncio.shield(claiming)
        except asyncio.CancelledError:
            claiming.add_done_callback(self._give_up_claim)
            raise

    async def _wait_for_turn(self, claim: Claim) -> ClaimOutcome:
        waiting_id: int | None = None
        try:
            while True:
                self._ended.clear()
                outcome = await self._try_claim(claim, waiting_id, may_wait=True)
                if not outcome.is_waiting:
                    return outcome
                waiting_id = outcome.request_id
                with suppress(TimeoutError):
                    async with asyncio.timeout(TURN_SECONDS):
                        await self._ended.wait()
        except BaseException:
            self._give_up(waiting_id)
            raise

    def _give_up_claim(self, claiming: asyncio.Future[ClaimOutcome]) -> None:
        if not claiming.cancelled() and claiming.exception() is None:
            self._give_up(claiming.result().request_id)

    def _give_up(self, request_id: int | None) -> None:
        if request_id is not None:
            self.settle_later(Settlement(request_id))

    async def _settle_rest(self) -> None:
        """Record what is not recorded yet.

        Raises:
            AkinError: the store does not accept it.
        """
        if self._is_predecessor_settled and not self._unsettled:
            return
        if self._settling is None or self._settling.done():
            self._settling = asyncio.create_task(self._write_rest())
            # Marks its exception as retrieved, because all callers may be gone.
            self._settling.add_done_callback(lambda task: task.cancelled() or task.exception())
        # A caller that leaves must not end it, or the same usage would be recorded again.
        await asyncio.shield(self._settling)

    async def _write_rest(self) -> None:
        if not self._is_predecessor_settled:
            await self._store.write_off(self.owner, self._places)
            self._is_predecessor_settled = True
        while self._unsettled:
            await self._store.settle(self._unsettled[0])
            self._unsettled.popleft()


class PaidVectors:
    """The vectors of a paid model, on disk or in memory; a VectorStore."""

    def __init__(self, requests: PaidRequests, space: str) -> None:
        self._requests = requests
        self._space = space

    async def get_many(
        self, generation: Generation, hashes: Sequence[bytes]
    ) -> Mapping[bytes, Vector]:
        """Return the vectors in the space, by hash.

        Raises:
            StoreUnavailable: the store cannot be read.
        """
        del generation
        return await self._requests.read_vectors(self._space, hashes)
