"""The history of a database: which commits made it what it is, and in which order.

Each transaction that takes sequence numbers leaves a row with its last number and a random token.
The last number of the store is that of the last row. After the promotion of a standby that lacked
the last commits, their numbers are given to other writes; the token tells the two apart.

Rows are only inserted, and removed at the low end. A row that each commit updates would have a
version for each commit, which the next ones walk through as long as any transaction can see the old
ones: during a backup or a move, 32,000 commits cost four fifths of the rate.
"""

from __future__ import annotations

from typing import NamedTuple

from service.domain.items import BEGINNING, Anchor
from service.storage.postgres.migrations import LOCK_CLASS
from service.storage.sql import Connection
from service.storage.writer import Transaction

# The number of the lock, in the class of Akin's locks, that a writing transaction holds from its
# first statement to its end. The other numbers are those of duties from 1, of migrations 0, and of
# moves 1,000.
WRITE_LOCK = 2_000

# Waits until all earlier writing transactions have ended. What they wrote is visible to the next
# statement: PostgreSQL frees the lock after that, and after a synchronous standby has the commit.
LOCK_WRITES = f"SELECT pg_advisory_xact_lock({LOCK_CLASS}, {WRITE_LOCK})"

# The latest commits whose tokens are kept. A reader that has not read for longer starts again.
KEPT_COMMITS = 100_000

# Rows that are removed in one transaction; they delay other writes by about 5 ms.
PRUNED_ROWS = 1_000

# Time after which nobody asks any more whether a commit without a number has succeeded.
UNNUMBERED_RETENTION = "1 hour"

_LAST_COMMIT = "SELECT sequence, token FROM commits ORDER BY sequence DESC LIMIT 1"


def read_last_anchor(connection: Connection) -> Anchor:
    """Return the last sequence number, with the token of its commit."""
    row = connection.execute(_LAST_COMMIT).fetchone()
    return BEGINNING if row is None else Anchor(*row)


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
        return anchor  # an empty store has no commits
    return Anchor(min(following), tokens[min(following)])


class CommitMark(NamedTuple):
    """The row of a transaction, which tells whether it was committed.

    Attributes:
        is_numbered: the transaction took sequence numbers.
        position: the last of them; without, the server's time in microseconds since 1970 UTC.
        token: random.
    """

    is_numbered: bool
    position: int
    token: int

    @property
    def insertion(self) -> str:
        """The statement that writes the row."""
        table, column = self._key
        return f"INSERT INTO {table} ({column}, token) VALUES ({self.position}, {self.token})"

    @property
    def query(self) -> str:
        """The statement that finds the row."""
        table, column = self._key
        return f"SELECT 1 FROM {table} WHERE {column} = {self.position} AND token = {self.token}"

    @property
    def _key(self) -> tuple[str, str]:
        """The table, and the column of the position."""
        if self.is_numbered:
            return "commits", "sequence"
        return "unnumbered_commits", "time_us"


class OldRows(NamedTuple):
    """Rows to remove, as the lowest and the highest key; None for no rows.

    They were found by a reader. A writer that looked for the first row would delay all others: it
    walks through the rows that were removed while an old transaction could see them.
    """

    sequences: tuple[int | None, int | None]
    times_us: tuple[int | None, int | None]


def find_old_rows(connection: Connection) -> OldRows:
    """Find a round of old commits. Those stay that published snapshots belong to."""
    sequences = connection.execute(
        """SELECT min(sequence), max(sequence) FROM
               (SELECT sequence FROM commits
                WHERE sequence < (SELECT sequence FROM commits
                                  ORDER BY sequence DESC OFFSET ? LIMIT 1)
                AND sequence NOT IN (SELECT anchor_sequence FROM snapshots)
                ORDER BY sequence LIMIT ?) AS old""",
        (KEPT_COMMITS - 1, PRUNED_ROWS),
    ).fetchone()
    times_us = connection.execute(
        f"""SELECT min(time_us), max(time_us) FROM
                (SELECT time_us FROM unnumbered_commits WHERE time_us < CAST(
                     extract(epoch FROM now() - interval '{UNNUMBERED_RETENTION}') * 1000000
                     AS BIGINT)
                 ORDER BY time_us LIMIT ?) AS old""",
        (PRUNED_ROWS,),
    ).fetchone()
    return OldRows(sequences, times_us)


def prune(transaction: Transaction, old: OldRows) -> int:
    """Remove old commits; return their number."""
    connection = transaction.connection
    commits = connection.execute(
        """DELETE FROM commits WHERE sequence BETWEEN ? AND ?
           AND sequence NOT IN (SELECT anchor_sequence FROM snapshots)""",
        old.sequences,
    ).rowcount
    unnumbered = connection.execute(
        "DELETE FROM unnumbered_commits WHERE time_us BETWEEN ? AND ?", old.times_us
    ).rowcount
    return commits + unnumbered
