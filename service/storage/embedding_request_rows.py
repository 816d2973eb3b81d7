"""How requests to embedding providers are rows: sent or waiting, with leases of their texts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from service.domain.claims import Claim, Reservation
from service.domain.usage import TokenUsage
from service.storage.sql import Connection
from service.storage.usage import add_usage
from service.storage.writer import Transaction

# A process that waits for its turn renews its place in this time, or it loses the place.
WAITING_US = 3_000_000

# Time for a request to be settled once it has expired and another process can write. While the disk
# was full or the machine stood still, a living process could not settle it; it tries each second.
OVERDUE_US = 3_000_000


def is_leased(connection: Connection, space_id: int, text_hash: bytes) -> bool:
    """Return whether a request embeds a text now."""
    row = connection.execute(
        "SELECT 1 FROM leased_texts WHERE space_id = ? AND text_hash = ?", (space_id, text_hash)
    ).fetchone()
    return row is not None


def sum_reservations(connection: Connection) -> float:
    """Return the US dollars that the requests under way may cost."""
    (reserved_usd,) = connection.execute(
        "SELECT coalesce(sum(reserved_usd), 0) FROM embedding_requests WHERE is_sent"
    ).fetchone()
    return float(reserved_usd)


def has_slot(connection: Connection, claim: Claim, space_id: int, waiting_id: int | None) -> bool:
    """Return whether a request may be sent beside those under way and those that go first."""
    (count,) = connection.execute(
        """SELECT count(*) FROM embedding_requests WHERE space_id = :space_id
           AND (is_sent OR low_priority < :low_priority OR low_priority = :low_priority
               AND (request_id < :waiting_id OR CAST(:waiting_id AS BIGINT) IS NULL))""",
        {"space_id": space_id, "low_priority": claim.low_priority, "waiting_id": waiting_id},
    ).fetchone()
    return bool(count < claim.find_limit())


def insert_sent(
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


def lease_texts(
    connection: Connection, space_id: int, request_id: int, hashes: Iterable[bytes]
) -> None:
    """Record that a request embeds texts, so that no other request does."""
    connection.executemany(
        "INSERT INTO leased_texts (space_id, text_hash, request_id) VALUES (?, ?, ?)",
        ((space_id, text_hash, request_id) for text_hash in hashes),
    )


def hold_place(
    connection: Connection,
    claim: Claim,
    space_id: int,
    waiting_id: int | None,
    now_us: int,
) -> int:
    """Record that a request waits, or that it goes on waiting; return its id.

    Args:
        connection: is in a transaction.
        claim: the request.
        space_id: that of its space.
        waiting_id: its id if it was waiting before; another process may have removed it since.
        now_us: the time of leases.
    """
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


def remove_request(connection: Connection, request_id: int) -> bool:
    """Remove a request and the leases of its texts; return whether there was one."""
    cursor = connection.execute(
        "DELETE FROM embedding_requests WHERE request_id = ?", (request_id,)
    )
    return cursor.rowcount > 0


def write_off(transaction: Transaction, condition: str, values: Sequence[object]) -> None:
    """Remove the requests of processes that died; their estimates count as spent.

    Args:
        transaction: writes.
        condition: which requests, in SQL.
        values: the parameters of the condition.
    """
    rows = transaction.connection.execute(
        f"""DELETE FROM embedding_requests WHERE {condition}
            RETURNING CASE WHEN is_sent THEN prompt_tokens ELSE 0 END,
                CASE WHEN is_sent THEN cost_usd ELSE 0 END""",
        values,
    ).fetchall()
    for row in rows:
        add_usage(transaction, TokenUsage(*row))


def write_off_expired(transaction: Transaction, now_us: int) -> None:
    """Remove the requests that expired, but those that were sent only some time later."""
    write_off(transaction, "expire_us <= ? AND (is_overdue OR NOT is_sent)", (now_us,))
    transaction.connection.execute(
        "UPDATE embedding_requests SET is_overdue = TRUE, expire_us = ? WHERE expire_us <= ?",
        (now_us + OVERDUE_US, now_us),
    )


def write_off_all(transaction: Transaction) -> None:
    """Count all requests as spent, in a copy of the database whose servers are not its own."""
    transaction.connection.execute("DELETE FROM leased_texts")
    write_off(transaction, "TRUE", ())
