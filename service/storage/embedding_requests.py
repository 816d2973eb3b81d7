"""Requests to paid embedding providers: who sends which texts, and what came of it.

Every request is recorded before it is sent, so that all processes share one budget, one limit of
concurrent requests, and one request for each text.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from service.domain.claims import Claim, ClaimOutcome, RequestOwner, Settlement
from service.domain.usage import TokenUsage
from service.domain.vectors import Chunk
from service.storage.database import Database
from service.storage.embedding_request_rows import (
    has_slot,
    hold_place,
    insert_sent,
    is_leased,
    lease_texts,
    remove_request,
    sum_reservations,
    write_off,
    write_off_expired,
)
from service.storage.sql import Connection
from service.storage.usage import add_usage, read_usage
from service.storage.vectors import store_unused_vectors
from service.storage.writer import Transaction

# The vectors of query texts that are kept: 100 MB at 1,536 dimensions.
MAX_QUERY_VECTORS = 16_384


class EmbeddingRequestStore:
    """The requests of all processes over the same data.

    The methods can raise StoreUnavailable and StoreCorrupted, and those that write also Overloaded
    and StoreFull.

    Args:
        database: has the requests. Its leases must not end when the wall clock jumps. After a
            restart of the machine, `write_off` removes the requests of the former processes.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def claim(self, claim: Claim, waiting_id: int | None, *, may_wait: bool) -> ClaimOutcome:
        """Claim a request, so that it may be sent once this returns.

        Requests that have to wait get their turn in the order in which they began to wait, those
        with low priority last.

        Args:
            claim: the request.
            waiting_id: the request id of an earlier outcome that was waiting.
            may_wait: record that the request waits for its turn, if it has to.

        Raises:
            BudgetSpent: raised by the claim's `reserve`; nothing was stored.
        """

        def operation(transaction: Transaction) -> ClaimOutcome:
            return _claim(transaction, claim, waiting_id, may_wait=may_wait)

        return await self._database.write(operation)

    async def settle(self, settlement: Settlement) -> None:
        """Record the usage and the vectors of a request that has ended, and remove its claim."""

        def operation(transaction: Transaction) -> None:
            connection = transaction.connection
            usage, request_id = settlement.usage, settlement.request_id
            if request_id is not None and not remove_request(connection, request_id):
                usage = _exclude(usage, settlement.estimate)  # it expired, and counts as spent
            add_usage(transaction, usage)
            if settlement.chunks:
                space_id = _find_space(connection, settlement.space)
                # The item that gets a vector refers to it later, or never.
                store_unused_vectors(transaction, space_id, settlement.item_chunks)
                _insert_query_vectors(connection, space_id, settlement.query_chunks)

        await self._database.write(operation)

    async def write_off(self, owner: RequestOwner, places: Sequence[str] | None) -> None:
        """Count the requests of dead processes as spent.

        Args:
            owner: the only living process in its place.
            places: all places, if they are known; no process lives in another one.
        """

        def operation(transaction: Transaction) -> None:
            write_off(transaction, "owner = ? AND process != ?", owner)
            if places is not None:
                write_off(
                    transaction,
                    "owner NOT IN (SELECT value FROM json_each(?))",
                    (json.dumps(places),),
                )

        await self._database.write(operation)

    async def read_vectors(
        self, space: str, hashes: Sequence[bytes]
    ) -> dict[bytes, NDArray[np.float32]]:
        """Return the vectors that a space has, by the hashes of their texts.

        Args:
            space: the fingerprint of the space.
            hashes: of the texts.
        """

        def query(connection: Connection) -> dict[bytes, NDArray[np.float32]]:
            row = connection.execute(
                "SELECT space_id FROM spaces WHERE fingerprint = ?", (space,)
            ).fetchone()
            return {} if row is None else _read_vectors(connection, row[0], hashes)

        return await self._database.read(query)


def _claim(
    transaction: Transaction,
    claim: Claim,
    waiting_id: int | None,
    *,
    may_wait: bool,
) -> ClaimOutcome:
    connection, now_us = transaction.connection, transaction.lease_time_us
    write_off_expired(transaction, now_us)
    space_id = _find_space(connection, claim.space)
    vectors = _read_vectors(connection, space_id, claim.tokens)
    hashes = [
        text_hash
        for text_hash in claim.tokens
        if text_hash not in vectors and not is_leased(connection, space_id, text_hash)
    ]
    if not hashes:
        if waiting_id is not None:
            remove_request(connection, waiting_id)
        return ClaimOutcome(vectors=vectors)
    tokens = sum(claim.tokens[text_hash] for text_hash in hashes)
    reservation = claim.reserve(
        tokens, read_usage(transaction).cost_usd, sum_reservations(connection)
    )
    if reservation is None or not has_slot(connection, claim, space_id, waiting_id):
        if may_wait:
            waiting_id = hold_place(connection, claim, space_id, waiting_id, now_us)
        return ClaimOutcome(waiting_id if may_wait else None, is_waiting=True)
    if waiting_id is not None:
        remove_request(connection, waiting_id)
    estimate = TokenUsage(tokens, reservation.cost_usd)
    request_id = insert_sent(connection, claim, space_id, estimate, reservation, now_us)
    lease_texts(connection, space_id, request_id, hashes)
    return ClaimOutcome(request_id, frozenset(hashes), vectors, estimate)


def _find_space(connection: Connection, fingerprint: str) -> int:
    """Return the id of a space, which is inserted if it is new."""
    connection.execute(
        "INSERT INTO spaces (fingerprint) SELECT :space WHERE NOT EXISTS "
        "(SELECT 1 FROM spaces WHERE fingerprint = :space)",
        {"space": fingerprint},
    )
    (space_id,) = connection.execute(
        "SELECT space_id FROM spaces WHERE fingerprint = ?", (fingerprint,)
    ).fetchone()
    return int(space_id)


def _read_vectors(
    connection: Connection, space_id: int, hashes: Iterable[bytes]
) -> dict[bytes, NDArray[np.float32]]:
    vectors: dict[bytes, NDArray[np.float32]] = {}
    for text_hash in hashes:
        for table in ("vectors", "query_vectors"):
            row = connection.execute(
                f"SELECT vector FROM {table} WHERE space_id = ? AND text_hash = ?",
                (space_id, text_hash),
            ).fetchone()
            if row is not None:
                vectors[text_hash] = np.frombuffer(row[0], "<f4")
                break
    return vectors


def _exclude(usage: TokenUsage, estimate: TokenUsage) -> TokenUsage:
    return TokenUsage(
        max(0, usage.prompt_tokens - estimate.prompt_tokens),
        max(0.0, usage.cost_usd - estimate.cost_usd),
    )


def _insert_query_vectors(connection: Connection, space_id: int, chunks: Sequence[Chunk]) -> None:
    """Store vectors of query texts, and remove the oldest ones beyond the maximum number."""
    last_id = 0
    for chunk in chunks:
        row = connection.execute(
            """INSERT INTO query_vectors (space_id, text_hash, vector) VALUES (?, ?, ?)
               ON CONFLICT DO NOTHING RETURNING vector_id""",
            (space_id, chunk.text_hash, chunk.vector.tobytes()),
        ).fetchone()
        if row is not None:
            last_id = int(row[0])
    if last_id:
        connection.execute(
            "DELETE FROM query_vectors WHERE vector_id <= ?", (last_id - MAX_QUERY_VECTORS,)
        )
