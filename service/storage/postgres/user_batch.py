"""Writes many users with a few statements."""

from __future__ import annotations

from bisect import bisect
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any, LiteralString

import psycopg

from service.domain.users import StoredUser
from service.storage.like_changes import NO_LIKED_ITEMS, count_changes, note_like_changes
from service.storage.postgres.batch_parts import NewVectors, Runs, Times, make_removal, to_array
from service.storage.sql import Connection
from service.storage.user_writer import PreferencesWrite, UserColumns, encode_user

_READ_LISTS: LiteralString = """
    SELECT catalog_id, user_id, liked_items
    FROM unnest(%(catalog_ids)s::bigint[], %(user_ids)b::text[]) AS new (catalog_id, user_id)
    CROSS JOIN LATERAL (SELECT liked_items FROM users
        WHERE catalog_id = new.catalog_id AND user_id = new.user_id OFFSET 0) AS former"""

# Keys are given in the order of the users.
_WRITE_USERS: LiteralString = """
    INSERT INTO users (catalog_id, user_id, preferences, liked_items, sequence, update_time_us)
    SELECT catalog_id, user_id, preferences, liked_items, sequence, %(now_us)s::bigint
    FROM unnest(%(catalog_ids)s::bigint[], %(user_ids)b::text[], %(preferences)b::text[],
            %(liked_items)b::text[], %(sequences)s::bigint[])
        AS new (catalog_id, user_id, preferences, liked_items, sequence)
    ORDER BY sequence
    ON CONFLICT (catalog_id, user_id) DO UPDATE SET
        preferences = excluded.preferences, liked_items = excluded.liked_items,
        sequence = excluded.sequence, update_time_us = excluded.update_time_us"""

_USER_KEYS: LiteralString = """
    CROSS JOIN LATERAL (SELECT user_key FROM users
        WHERE catalog_id = new.catalog_id AND user_id = new.user_id OFFSET 0) AS owner"""

_REMOVE_FORMER: LiteralString = make_removal(
    f"""SELECT user_key, generation_id
        FROM unnest(%(catalog_ids)s::bigint[], %(user_ids)b::text[], %(generation_ids)s::bigint[])
            AS new (catalog_id, user_id, generation_id) {_USER_KEYS}""",
    "user_vectors",
    "pending_users",
    "user_key",
)

_WRITE_REFERENCES: LiteralString = f"""
    INSERT INTO user_vectors (generation_id, user_key, vector_id)
    SELECT generation_id, user_key, vector_id
    FROM unnest(%(catalog_ids)s::bigint[], %(user_ids)b::text[], %(generation_ids)s::bigint[],
            %(space_ids)s::bigint[], %(hashes)b::bytea[])
        AS new (catalog_id, user_id, generation_id, space_id, text_hash) {_USER_KEYS}
    CROSS JOIN LATERAL (SELECT vector_id FROM vectors
        WHERE space_id = new.space_id AND text_hash = new.text_hash OFFSET 0) AS vector
    ON CONFLICT DO NOTHING"""

_WRITE_PENDING: LiteralString = f"""
    INSERT INTO pending_users (generation_id, user_key, next_attempt_us)
    SELECT generation_id, user_key, %(now_us)s::bigint
    FROM unnest(%(catalog_ids)s::bigint[], %(user_ids)b::text[], %(generation_ids)s::bigint[])
        AS new (catalog_id, user_id, generation_id) {_USER_KEYS}"""


class ListChanges:
    """How much users change the likes of their catalogs, in the order of their writes."""

    def __init__(self) -> None:
        self._sequences: defaultdict[int, list[int]] = defaultdict(list)
        self._sums: defaultdict[int, list[int]] = defaultdict(lambda: [0])
        self._deletions: Counter[int] = Counter()

    def add(self, catalog_id: int, sequence: int, changed: int, deletions: int) -> None:
        """Add what the write with a sequence number changes: see `count_changes`."""
        if changed:
            self._sequences[catalog_id].append(sequence)
            self._sums[catalog_id].append(self._sums[catalog_id][-1] + changed)
            self._deletions[catalog_id] += deletions

    def count_before(self, catalog_id: int, sequence: int) -> int:
        """Return how many likes change before the write with a sequence number."""
        if catalog_id not in self._sequences:
            return 0
        return self._sums[catalog_id][bisect(self._sequences[catalog_id], sequence)]

    def note(self, connection: Connection) -> None:
        """Count the changes in their catalogs."""
        for catalog_id, sums in self._sums.items():
            note_like_changes(connection, catalog_id, sums[-1], self._deletions[catalog_id])


class UserBatch:
    """Users that a transaction writes together.

    Args:
        times: the times of the transaction.
    """

    def __init__(self, times: Times) -> None:
        self._times = times
        self._runs: Runs[_UserRun] = Runs(_UserRun)
        self._users: dict[tuple[int, str], StoredUser] = {}
        self._lists: list[tuple[tuple[int, str], int, UserColumns]] = []

    def add(self, catalog_id: int, stored: StoredUser, parts: Sequence[PreferencesWrite]) -> None:
        """Add a user, which is written after those with its id that were added before."""
        key = (catalog_id, stored.user.user_id)
        self._users[key] = stored
        columns = encode_user(stored.user)
        self._lists.append((key, stored.sequence, columns))
        self._runs.choose(key).add(key, columns, stored.sequence, parts)

    def find(self, catalog_id: int, user_id: str) -> StoredUser | None:
        """Return the last user with an id; None if there is none in the batch."""
        return self._users.get((catalog_id, user_id))

    def write(self, connection: psycopg.Connection[Any]) -> ListChanges:
        """Write the users, except the counts of how much they change the likes.

        Raises:
            psycopg.Error: the transaction has failed.
        """
        if not self._lists:
            return ListChanges()
        catalog_ids, user_ids = zip(*self._users, strict=True)
        keys = {"catalog_ids": to_array(catalog_ids), "user_ids": list(user_ids)}
        cursor = connection.cursor(binary=True)
        cursor.execute(_READ_LISTS, keys)
        for run in self._runs:
            run.write(connection, self._times)
        return self._count_changes({tuple(key): former for *key, former in cursor})

    def _count_changes(self, lists: dict[tuple[Any, ...], str]) -> ListChanges:
        """Count the changes of the lists, whose former ones are given by their keys."""
        changes = ListChanges()
        for key, sequence, (_, liked_items, weighted_ids) in self._lists:
            former = lists.get(key, NO_LIKED_ITEMS)
            lists[key] = liked_items
            changes.add(key[0], sequence, *count_changes(former, liked_items, weighted_ids))
        return changes


class _UserRun:
    """Users with different ids, as arrays for the statements."""

    def __init__(self) -> None:
        self._users: list[tuple[int, str, str, str, int]] = []
        self._vectors = NewVectors()
        self._changed: list[tuple[int, str, int]] = []
        self._references: list[tuple[int, str, int, int, bytes]] = []
        self._pending: list[tuple[int, str, int]] = []

    def add(
        self,
        key: tuple[int, str],
        columns: UserColumns,
        sequence: int,
        parts: Sequence[PreferencesWrite],
    ) -> None:
        self._users.append((*key, columns.preferences, columns.liked_items, sequence))
        for generation, chunks in parts:
            owner = (*key, generation.generation_id)
            self._changed.append(owner)
            if chunks is None:
                self._pending.append(owner)
                continue
            self._vectors.add(generation, chunks)
            self._references += [(*owner, generation.space_id, chunk.text_hash) for chunk in chunks]

    def write(self, connection: psycopg.Connection[Any], times: Times) -> None:
        catalog_ids, user_ids, preferences, liked_items, sequences = zip(*self._users, strict=True)
        users = {
            "catalog_ids": to_array(catalog_ids),
            "user_ids": list(user_ids),
            "preferences": list(preferences),
            "liked_items": list(liked_items),
            "sequences": to_array(sequences),
            **times,
        }
        connection.execute(_WRITE_USERS, users)
        self._vectors.write(connection)
        if self._changed:
            connection.execute(_REMOVE_FORMER, _to_owners(self._changed, times))
        if self._pending:
            connection.execute(_WRITE_PENDING, _to_owners(self._pending, times))
        if self._references:
            catalog_ids, user_ids, generation_ids, space_ids, hashes = zip(
                *self._references, strict=True
            )
            references = {
                "catalog_ids": to_array(catalog_ids),
                "user_ids": list(user_ids),
                "generation_ids": to_array(generation_ids),
                "space_ids": to_array(space_ids),
                "hashes": list(hashes),
            }
            connection.execute(_WRITE_REFERENCES, references)


def _to_owners(owners: Sequence[tuple[int, str, int]], times: Times) -> dict[str, Any]:
    """Return the arrays of users in generations."""
    catalog_ids, user_ids, generation_ids = zip(*owners, strict=True)
    return {
        "catalog_ids": to_array(catalog_ids),
        "user_ids": list(user_ids),
        "generation_ids": to_array(generation_ids),
        **times,
    }
