"""The history of a database: which commits made it what it is.

After the promotion of a standby that lacked the last commits, their numbers are given to other
writes. Each commit leaves a row with a random token, which tells the two apart.
"""

from __future__ import annotations

from service.domain.items import BEGINNING, Anchor
from service.storage.sql import Connection
from service.storage.writer import Transaction

# The latest commits whose tokens are kept. A reader that has not read for longer starts again.
KEPT_COMMITS = 100_000

# Rows that are removed in one transaction; they delay other writes by about 5 ms.
PRUNED_ROWS = 1_000

# Time after which a writing process has ended that has not committed since, or else commits again.
WRITER_RETENTION = "1 day"


def read_last_anchor(connection: Connection) -> Anchor:
    """Return the last sequence number, with the token of its commit."""
    row = connection.execute(
        """SELECT value,
               (SELECT token FROM commits ORDER BY commits.sequence DESC LIMIT 1)
           FROM counters WHERE name = 'sequence'"""
    ).fetchone()
    sequence, token = row
    return Anchor(int(sequence), token or BEGINNING.token)


def confirm(connection: Connection, anchor: Anchor, sequence: int) -> Anchor | None:
    """Return an anchor for what was read up to `sequence`: see Database."""
    tokens = dict(
        connection.execute(
            """SELECT sequence, token FROM commits WHERE sequence = :former
               OR sequence = (SELECT min(sequence) FROM commits WHERE sequence >= :reached)""",
            {"former": anchor.sequence, "reached": sequence},
        ).fetchall()
    )
    if anchor != BEGINNING and tokens.get(anchor.sequence) != anchor.token:
        return None
    following = [number for number in tokens if number >= sequence]
    if not following:
        return anchor  # a copy of another database has numbers without commits
    return Anchor(min(following), tokens[min(following)])


def find_prune_limit(connection: Connection) -> int:
    """Return the number of the first commit to keep, 0 if all are kept."""
    row = connection.execute(
        "SELECT sequence FROM commits ORDER BY sequence DESC OFFSET ? LIMIT 1", (KEPT_COMMITS - 1,)
    ).fetchone()
    return 0 if row is None else int(row[0])


def prune(transaction: Transaction, first_kept: int) -> int:
    """Remove a round of old commits and of writers that have ended; return their number.

    The commits stay that published snapshots belong to.
    """
    connection = transaction.connection
    commits = connection.execute(
        """DELETE FROM commits WHERE sequence IN
               (SELECT sequence FROM commits WHERE sequence < ?
                AND sequence NOT IN (SELECT anchor_sequence FROM snapshots)
                ORDER BY sequence LIMIT ?)""",
        (first_kept, PRUNED_ROWS),
    ).rowcount
    writers = connection.execute(
        f"""DELETE FROM writers WHERE writer IN
                (SELECT writer FROM writers
                 WHERE commit_time < now() - interval '{WRITER_RETENTION}' LIMIT ?)""",
        (PRUNED_ROWS,),
    ).rowcount
    return commits + writers
