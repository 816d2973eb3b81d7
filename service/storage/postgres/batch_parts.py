"""What the batches of items and of users have in common.

PostgreSQL may keep the plan of a statement that it made while the tables were empty. In the forms
of these statements, any plan finds rows by their keys: subqueries with OFFSET 0 run once for each
row of an array, and rows are deleted by their places.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from typing import Any, Generic, LiteralString, TypeVar

import psycopg

from service.domain.generations import Generation
from service.domain.own_vectors import OWN_ADDRESS_BYTES
from service.domain.vectors import Chunk

_Run = TypeVar("_Run")

# The times of a transaction by the names of its attributes, as parameters of all statements.
Times = Mapping[str, int]

# Follows a list `removed` of vectors that have lost a reference. Vectors that callers gave were not
# paid for, and can be removed at once.
NOTE_UNUSED: LiteralString = f"""
    INSERT INTO unused_vectors (vector_id, space_id, since_us)
    SELECT DISTINCT vector_id, space_id, CASE WHEN
        (SELECT length(text_hash) FROM vectors WHERE vectors.vector_id = removed.vector_id) =
            {OWN_ADDRESS_BYTES}
        THEN 0 ELSE %(shared_time_us)s::bigint END FROM removed
    ON CONFLICT (vector_id) DO UPDATE SET since_us = excluded.since_us"""

_WRITE_VECTORS: LiteralString = """
    INSERT INTO vectors (space_id, text_hash, vector)
    SELECT * FROM unnest(%(space_ids)s::bigint[], %(hashes)b::bytea[], %(vectors)b::bytea[])
    ON CONFLICT DO NOTHING"""


def make_removal(
    owners: LiteralString, references: LiteralString, pending: LiteralString, key: LiteralString
) -> LiteralString:
    """Return the statement that removes the vectors and the pending work of items or users.

    Args:
        owners: a query of their keys with the ids of generations.
        references: the table of references to vectors.
        pending: the table of pending work.
        key: the name of the key.
    """
    return f"""
        WITH owners AS MATERIALIZED ({owners}), settled AS (
            DELETE FROM {pending} WHERE ctid = ANY (ARRAY(SELECT place FROM owners
                CROSS JOIN LATERAL (SELECT ctid AS place FROM {pending}
                    WHERE generation_id = owners.generation_id AND {key} = owners.{key}
                    OFFSET 0) AS former))
        ), removed AS (
            DELETE FROM {references} WHERE ctid = ANY (ARRAY(SELECT place FROM owners
                CROSS JOIN LATERAL (SELECT ctid AS place FROM {references}
                    WHERE generation_id = owners.generation_id AND {key} = owners.{key}
                    OFFSET 0) AS former))
            RETURNING vector_id,
                (SELECT space_id FROM generations WHERE generation_id = {references}.generation_id)
        ) {NOTE_UNUSED}"""


class Runs(Generic[_Run]):
    """Splits writes into runs that have each key once: a statement cannot write a row twice.

    Args:
        make_run: returns a new run.
    """

    def __init__(self, make_run: Callable[[], _Run]) -> None:
        self._make_run = make_run
        self._runs: list[_Run] = []
        self._write_counts: dict[Hashable, int] = {}

    def __iter__(self) -> Iterator[_Run]:
        return iter(self._runs)

    def choose(self, key: Hashable) -> _Run:
        """Return the run of the next write of a key, after those of its earlier writes."""
        number = self._write_counts.get(key, 0)
        self._write_counts[key] = number + 1
        if number == len(self._runs):
            self._runs.append(self._make_run())
        return self._runs[number]


class NewVectors:
    """The vectors of a run, each text and space once."""

    def __init__(self) -> None:
        self._vectors: dict[tuple[int, bytes], bytes] = {}

    def add(self, generation: Generation, chunks: Iterable[Chunk]) -> None:
        """Add the vectors of chunks in the space of a generation."""
        for chunk in chunks:
            key = (generation.space_id, chunk.text_hash)
            if key not in self._vectors:
                self._vectors[key] = chunk.vector.tobytes()

    def write(self, connection: psycopg.Connection[Any]) -> None:
        """Write the vectors that are not stored yet.

        Raises:
            psycopg.Error: the transaction has failed.
        """
        if not self._vectors:
            return
        space_ids, hashes = zip(*self._vectors, strict=True)
        vectors = {
            "space_ids": to_array(space_ids),
            "hashes": list(hashes),
            "vectors": list(self._vectors.values()),
        }
        connection.execute(_WRITE_VECTORS, vectors)


def to_array(values: Iterable[int | None]) -> str:
    """Return integers as PostgreSQL writes an array of them, in a tenth of psycopg's time."""
    return "{" + ",".join("NULL" if value is None else str(value) for value in values) + "}"
