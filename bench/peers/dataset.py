"""The vectors that all peers store, the queries that they answer, and the recall of the answers."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from throughput import LIMIT, SCORE_TOLERANCE, Result, numbered

from service.embedding.local import LocalEmbedder

CHANCE, SECTION = "chance", "section"
SHARES = (0.5, 0.2, 0.1, 0.05, 0.01)
RELATED_SHARE = 0.1

# Distinct messages of a load, and how many of them measure recall.
QUERIES, RECALL_QUERIES = 2_000, 200

# A mixed load writes this many new items, each in several versions.
NEW_ITEMS, WRITES = 1_000, 10_000

BATCH_TEXTS = 1_000
SCORED_QUERIES = 20

Vectors = NDArray[np.float32]
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class AtMost:
    """A filter that keeps items whose number is at most a bound."""

    attribute: str
    bound: float


@dataclass(frozen=True)
class Equals:
    """A filter that keeps items with one value of an attribute."""

    attribute: str
    value: str


@dataclass(frozen=True)
class Case:
    """A kind of query.

    Args:
        name: name in the results.
        by: an item that is stored, or a vector that is not.
        where: filter of the items.
        kept: number of stored items that pass the filter.
    """

    name: str
    by: Literal["item", "vector"]
    where: AtMost | Equals | None
    kept: int


@dataclass(frozen=True)
class Dataset:
    """Real texts with their vectors, by row.

    Args:
        items: id, text and attributes of each row.
        vectors: one of unit length for each row.
        stored: number of rows that are stored before any write. Rows after it belong to writes, and
            the last ones to queries by vector.
    """

    items: Sequence[Result]
    vectors: Vectors
    stored: int

    def rows(self, case: Case) -> Rows:
        """Return the rows that queries of a case ask for."""
        if case.by == "vector":
            return np.arange(len(self.items) - QUERIES, len(self.items))
        size = min(QUERIES, self.stored)
        return np.random.default_rng(1).choice(self.stored, size, replace=False)

    def written_row(self, number: int) -> int:
        """Return the row whose id a write has: one of the first new rows."""
        return self.stored + number % NEW_ITEMS

    def passing(self, case: Case, count: int) -> NDArray[np.bool_]:
        """Return which of the first rows pass the filter of a case."""
        where = case.where
        if where is None:
            return np.ones(count, bool)
        values = np.array([each["attributes"][where.attribute] for each in self.items[:count]])
        return values <= where.bound if isinstance(where, AtMost) else values == where.value


def make_dataset(count: int) -> Dataset:
    """Return real texts, embedded: those to store, those to write, and those to ask for.

    Raises:
        SystemExit: the smallest filter would keep fewer items than a query asks for.
    """
    if count * min(SHARES) <= LIMIT:
        raise SystemExit(f"at least {int(LIMIT / min(SHARES)) + 1:,} items are needed")
    drawn = random.Random(5)
    items = [
        {**each, "attributes": {SECTION: each["attributes"][SECTION], CHANCE: drawn.random()}}
        for each in numbered(count + WRITES + QUERIES)
    ]
    return Dataset(items, embed([each["text"] for each in items]), count)


def embed(words: Sequence[str]) -> Vectors:
    """Return the vectors of texts as Akin has them, each of length 1."""

    async def embed_batches() -> Vectors:
        embedder = LocalEmbedder()
        parts = [
            (await embedder.embed(words[first : first + BATCH_TEXTS])).vectors
            for first in range(0, len(words), BATCH_TEXTS)
        ]
        await embedder.close()
        return np.concatenate(parts).astype(np.float32)

    vectors = asyncio.run(embed_batches())
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    normalized: Vectors = vectors / np.maximum(lengths, np.finfo(np.float32).tiny)
    return normalized


def list_cases(dataset: Dataset) -> list[Case]:
    """Return all kinds of queries."""
    stored = dataset.items[: dataset.stored]
    numbers = np.sort([each["attributes"][CHANCE] for each in stored])
    sections, sizes = np.unique(
        [each["attributes"][SECTION] for each in stored], return_counts=True
    )
    related = int(np.argmin(np.abs(sizes - RELATED_SHARE * len(stored))))
    cases = [
        Case("by item", "item", None, len(stored)),
        Case("by vector", "vector", None, len(stored)),
    ]
    for share in SHARES:
        bound = float(numbers[max(int(share * len(stored)), 1) - 1])
        kept = int(np.searchsorted(numbers, bound, "right"))
        cases.append(Case(f"unrelated {share:.0%}", "item", AtMost(CHANCE, bound), kept))
    kept = int(sizes[related])
    section = Equals(SECTION, str(sections[related]))
    cases.append(Case(f"section {kept / len(stored):.1%}", "item", section, kept))
    return cases


class Truth:
    """The least scores of the best results of a case, by comparison with all vectors."""

    def __init__(self, dataset: Dataset, case: Case, count: int) -> None:
        """Compare the first queries of a case with the first `count` rows."""
        self._vectors = dataset.vectors
        self.rows = dataset.rows(case)[:RECALL_QUERIES]
        self._passing = dataset.passing(case, count)
        self._least = np.concatenate(
            [
                self._find_least(self.rows[first : first + SCORED_QUERIES])
                for first in range(0, len(self.rows), SCORED_QUERIES)
            ]
        )

    def _find_least(self, rows: Rows) -> NDArray[np.float32]:
        count = len(self._passing)
        scores = self._vectors[rows] @ self._vectors[:count].T
        scores[:, ~self._passing] = -np.inf
        own = rows < count
        scores[own, rows[own]] = -np.inf
        return np.partition(scores, -LIMIT, axis=1)[:, -LIMIT]

    def recall(self, answers: Sequence[Sequence[int]]) -> float:
        """Return the share of the ten best, by score, that answers have.

        Args:
            answers: result rows of each query of `rows`.

        Raises:
            AssertionError: a result does not pass the filter, or stands twice in an answer.
        """
        shares = []
        for row, least, answer in zip(self.rows, self._least, answers, strict=True):
            hits = [hit for hit in answer if hit != row][:LIMIT]
            assert len(set(hits)) == len(hits), answer
            assert self._passing[hits].all(), answer
            scores = self._vectors[hits] @ self._vectors[row]
            shares.append(np.count_nonzero(scores >= least - SCORE_TOLERANCE) / LIMIT)
        return round(float(np.mean(shares)), 4)
