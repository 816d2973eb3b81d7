"""Sends requests to a paid model: claims, sends and settles each of them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple, Protocol

from service.domain.claims import Claim, ClaimOutcome, Settlement
from service.domain.usage import TokenUsage
from service.domain.vectors import Chunk
from service.embedding.embedder import EmbeddedText, Embedder, EmbeddingOutcome, Embeddings
from service.embedding.errors import ProviderError, TextLeased
from service.embedding.normalization import normalize_batch
from service.embedding.paid_requests import PaidRequests
from service.embedding.prompts import hash_text
from service.embedding.token_estimates import estimate_tokens

# A process that has not settled a request this long after its timeout is considered dead.
LEASE_MARGIN_SECONDS = 10.0

# Bounds the wait at the end of the server for responses that are paid for.
DRAIN_SECONDS = 5.0

# Sends one request, and returns its vectors.
Send = Callable[[Sequence[str]], Awaitable[Embeddings]]


class FindLimit(Protocol):
    """Returns the number of requests that may be under way now."""

    def __call__(self, *, low_priority: bool) -> int:
        """Return the number up to which a request of a priority may be sent."""


class SentTexts(NamedTuple):
    """The outcome of each text, in order, and whether a request was necessary."""

    outcomes: list[EmbeddingOutcome]
    is_sent: bool


class PaidSender:
    """Sends requests to one paid model.

    Args:
        requests: records them.
        embedder: the model.
        find_limit: returns the number of requests that may be under way now.
    """

    def __init__(self, requests: PaidRequests, embedder: Embedder, find_limit: FindLimit) -> None:
        self._requests = requests
        self._space = embedder.space
        self._lease_seconds = embedder.limits.seconds + LEASE_MARGIN_SECONDS
        self._find_limit = find_limit
        self._prices = requests.get_prices(embedder.space.fingerprint)
        self._lines = {low_priority: asyncio.Lock() for low_priority in (False, True)}
        self._under_way: set[asyncio.Task[list[EmbeddingOutcome]]] = set()

    async def send(
        self,
        texts: Sequence[str],
        is_query: Callable[[str], bool],
        send: Send,
        *,
        low_priority: bool = False,
    ) -> SentTexts:
        """Embed those of the texts that neither the store has nor another process embeds.

        Their vectors are on disk or kept in memory, even if the caller leaves.

        Args:
            texts: distinct texts.
            is_query: returns whether a text is of a query and not of an item.
            send: sends one request.
            low_priority: let requests without low priority of all processes go first.

        Raises:
            BudgetSpent: today's budget is spent.
            EmbeddingUnavailable: the vectors have the wrong shape.
            ProviderError: the request failed.
            AkinError: the request cannot be recorded, or an earlier one is not recorded.
        """
        hashes = {hash_text(text): text for text in texts}
        tokens = {key: estimate_tokens(text) for key, text in hashes.items()}
        claimed = await self._claim(tokens, low_priority=low_priority)
        outcomes: dict[str, EmbeddingOutcome] = {
            hashes[key]: EmbeddedText(vector) for key, vector in claimed.vectors.items()
        }
        sent = [text for key, text in hashes.items() if key in claimed.hashes]
        if sent:
            embedded = await self._finish(claimed, sent, send, is_query)
            outcomes |= zip(sent, embedded, strict=True)
        return SentTexts([outcomes.get(text, TextLeased()) for text in texts], bool(sent))

    async def send_probe(self, text: str, send: Send) -> None:
        """Embed a text to check the model; its vector is not stored.

        Raises:
            ProviderError, AkinError: as `send` raises them.
        """
        # Not by the hash of its text: the probe has to be sent, even at the same time as another.
        claimed = await self._claim({os.urandom(32): estimate_tokens(text)})
        await self._finish(claimed, [text], send)

    async def drain(self) -> None:
        """Wait until requests under way have ended and are recorded, for a few seconds at most."""
        if not self._under_way:
            return
        _, late = await asyncio.wait(self._under_way, timeout=DRAIN_SECONDS)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late)

    async def _claim(
        self, tokens: Mapping[bytes, int], *, low_priority: bool = False
    ) -> ClaimOutcome:
        claim = Claim(
            self._requests.owner,
            self._space.fingerprint,
            tokens,
            partial(self._find_limit, low_priority=low_priority),
            self._lease_seconds,
            partial(self._requests.budget.reserve, self._prices),
            low_priority,
        )
        return await self._requests.claim(claim, self._lines[low_priority])

    async def _finish(
        self,
        claimed: ClaimOutcome,
        texts: Sequence[str],
        send: Send,
        is_query: Callable[[str], bool] | None = None,
    ) -> list[EmbeddingOutcome]:
        """Send a claimed request, and settle it even if this caller leaves."""
        task = asyncio.create_task(self._send_claimed(claimed, texts, send, is_query))
        self._under_way.add(task)
        task.add_done_callback(self._forget)
        return await asyncio.shield(task)

    def _forget(self, task: asyncio.Task[list[EmbeddingOutcome]]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            task.exception()  # marks it as retrieved, because the caller may be gone

    async def _send_claimed(
        self,
        claimed: ClaimOutcome,
        texts: Sequence[str],
        send: Send,
        is_query: Callable[[str], bool] | None,
    ) -> list[EmbeddingOutcome]:
        settlement = Settlement(
            claimed.request_id, self._space.fingerprint, estimate=claimed.estimate
        )
        usage = TokenUsage()
        try:
            embeddings = await send(texts)
            usage = TokenUsage(embeddings.prompt_tokens, embeddings.cost_usd)
            outcomes = normalize_batch(embeddings, len(texts), self._space.dimensions)
        except asyncio.CancelledError:
            # The provider may charge for it. Without its claim, the texts can be sent again.
            self._requests.settle_later(replace(settlement, usage=claimed.estimate))
            raise
        except Exception as exc:
            if isinstance(exc, ProviderError):
                usage = exc.usage
            await self._requests.settle(replace(settlement, usage=usage))
            raise
        self._prices.learn(claimed.estimate.prompt_tokens, usage.cost_usd)
        settlement = replace(settlement, usage=usage)
        if is_query is not None:
            settlement = _add_vectors(settlement, texts, outcomes, is_query)
        await self._requests.settle(settlement)
        return outcomes


def _add_vectors(
    settlement: Settlement,
    texts: Sequence[str],
    outcomes: Sequence[EmbeddingOutcome],
    is_query: Callable[[str], bool],
) -> Settlement:
    item_chunks: list[Chunk] = []
    query_chunks: list[Chunk] = []
    for text, outcome in zip(texts, outcomes, strict=True):
        if isinstance(outcome, EmbeddedText):
            chunks = query_chunks if is_query(text) else item_chunks
            chunks.append(Chunk(hash_text(text), outcome.vector))
    return replace(settlement, item_chunks=item_chunks, query_chunks=query_chunks)
