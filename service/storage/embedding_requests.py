"""Requests to paid embedding providers: who sends which texts, and what came of it.

Every request is recorded before it is sent, so that all processes share one budget, one limit of
concurrent requests, and one request for each text.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from service.domain.claims import Claim, ClaimOutcome, RequestOwner, Reservation, Settlement
from service.domain.usage import TokenUsage
from service.domain.vectors import Chunk
from service.storage.database import Database
from service.storage.sql import Connection
from service.storage.usage import add_usage, read_usage
from service.storage.vectors import store_unused_vectors
from service.storage.writer import Transaction

# A process that waits for its turn renews its place in this time, or it loses the place.
WAITING_US = 3_000_000

# Time for a request to be settled once it has expired and another process can write. While the disk
# was full or the machine stood still, a living process could not settle it; it tries each second.
OVERDUE_US = 3_000_000

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
            usage = settlement.usage
            if settlement.request_id is not None and not _remove(connection, settlement.request_id):
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
            _write_off(transaction, "owner = ? AND process != ?", owner)
            if places is not None:
                _write_off(
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


def write_off_all(transaction: Transaction) -> None:
    """Count all requests as spent, in a copy of the database whose servers are not its own."""
    transaction.connection.execute("DELETE FROM leased_texts")
    _write_off(transaction, "TRUE", ())


def _claim(
    transaction: Transaction,
    claim: Claim,
    waiting_id: int | None,
    *,
    may_wait: bool,
) -> ClaimOutcome:
    connection, now_us = transaction.connection, transaction.lease_time_us
    _write_off_expired(transaction, now_us)
    space_id = _find_space(connection, claim.space)
    vectors = _read_vectors(connection, space_id, claim.tokens)
    hashes = [
        text_hash
        for text_hash in claim.tokens
        if text_hash not in vectors and not _is_leased(connection, space_id, text_hash)
    ]
    if not hashes:
        if waiting_id is not None:
            _remove(connection, waiting_id)
        return ClaimOutcome(vectors=vectors)
    tokens = sum(claim.tokens[text_hash] for text_hash in hashes)
    reservation = claim.reserve(
        tokens, read_usage(transaction).cost_usd, _sum_reservations(connection)
    )
    if reservation is None or not _has_slot(connection, claim, space_id, waiting_id):
        request_id = _wait(connection, claim, space_id, waiting_id, now_us) if may_wait else None
        return ClaimOutcome(request_id, is_waiting=True)
    if waiting_id is not None:
        _remove(connection, waiting_id)
    estimate = TokenUsage(tokens, reservation.cost_usd)
    request_id = _start(connection, claim, space_id, estimate, reservation, now_us)
    connection.executemany(
        "INSERT INTO leased_texts (space_id, text_hash, request_id) VALUES (?, ?, ?)",
        ((space_id, text_hash, request_id) for text_hash in hashes),
    )
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


def _is_leased(connection: Connection, space_id: int, text_hash: bytes) -> bool:
    row = connection.execute(
        "SELECT 1 FROM leased_texts WHERE space_id = ? AND text_hash = ?", (space_id, text_hash)
    ).fetchone()
    return row is not None


def _sum_reservations(connection: Connection) -> float:
    (reserved_usd,) = connection.execute(
        "SELECT coalesce(sum(reserved_usd), 0) FROM embedding_requests WHERE is_sent"
    ).fetchone()
    return float(reserved_usd)


def _has_slot(connection: Connection, claim: Claim, space_id: int, waiting_id: int | None) -> bool:
    """Return whether a request may be sent beside those under way and those that go first."""
    (count,) = connection.execute(
        """SELECT count(*) FROM embedding_requests WHERE space_id = :space_id
           AND (is_sent OR low_priority < :low_priority OR low_priority = :low_priority
               AND (request_id < :waiting_id OR CAST(:waiting_id AS BIGINT) IS NULL))""",
        {"space_id": space_id, "low_priority": claim.low_priority, "waiting_id": waiting_id},
    ).fetchone()
    return bool(count < claim.find_limit())


def _start(
    connection: Connection,
    claim: Claim,
    space_id: int,
    estimate: TokenUsage,
    reservation: Reservation,
    now_us: int,
) -> int:
    """Record a request that is sent now; return its id."""
    (request_id,) = connection.execute(
        """INSERT INTO embedding_requests (owner, process, space_id, is_sent, prompt_tokens,
               cost_usd, reserved_usd, expire_us) VALUES (?, ?, ?, TRUE, ?, ?, ?, ?)
           RETURNING request_id""",
        (
            *claim.owner,
            space_id,
            estimate.prompt_tokens,
            estimate.cost_usd,
            reservation.reserved_usd,
            now_us + int(claim.lease_seconds * 1e6),
        ),
    ).fetchone()
    return int(request_id)


def _wait(
    connection: Connection,
    claim: Claim,
    space_id: int,
    waiting_id: int | None,
    now_us: int,
) -> int:
    """Record that a request waits, or that it goes on waiting; return its id."""
    row = connection.execute(
        "SELECT expire_us FROM embedding_requests WHERE request_id = ?", (waiting_id,)
    ).fetchone()
    if waiting_id is None or row is None:
        (request_id,) = connection.execute(
            """INSERT INTO embedding_requests (owner, process, space_id, low_priority, expire_us)
               VALUES (?, ?, ?, ?, ?) RETURNING request_id""",
            (*claim.owner, space_id, claim.low_priority, now_us + WAITING_US),
        ).fetchone()
        return int(request_id)
    if row[0] < now_us + WAITING_US // 2:
        connection.execute(
            "UPDATE embedding_requests SET expire_us = ? WHERE request_id = ?",
            (now_us + WAITING_US, waiting_id),
        )
    return waiting_id


def _remove(connection: Connection, request_id: int) -> bool:
    """Remove a request and the leases of its texts; return whether there was one."""
    cursor = connection.execute(
        "DELETE FROM embedding_requests WHERE request_id = ?", (request_id,)
    )
    return cursor.rowcount > 0


def _write_off(transaction: Transaction, condition: str, values: Sequence[object]) -> None:
    """Remove the requests of processes that died; their estimates count as spent."""
    rows = transaction.connection.execute(
        f"""DELETE FROM embedding_requests WHERE {condition}
            RETURNING CASE WHEN is_sent THEN prompt_tokens ELSE 0 END,
                CASE WHEN is_sent THEN cost_usd ELSE 0 END""",
        values,
    ).fetchall()
    for row in rows:
        add_usage(transaction, TokenUsage(*row))


def _write_off_expired(transaction: Transaction, now_us: int) -> None:
    """Remove the requests that expired, but those that were sent only some time later."""
    _write_off(transaction, "expire_us <= ? AND (is_overdue OR NOT is_sent)", (now_us,))
    transaction.connection.execute(
        "UPDATE embedding_requests SET is_overdue = TRUE, expire_us = ? WHERE expire_us <= ?",
        (now_us + OVERDUE_US, now_us),
    )


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
