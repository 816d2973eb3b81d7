"""Finds keys by the words of their texts, and scores them by BM25 (Robertson and Zaragoza 2009).

Versions are as in `attributes`: replacing or deleting an item forgets its version, which makes its
postings stale. Once most versions are stale, the index needs a compaction.
"""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from service.domain.vectors import Keys, Vectors
from service.index.term_compaction import TermCompaction
from service.index.term_postings import (
    COUNT_BITS,
    MAX_COUNT,
    Postings,
    count_postings,
    split_postings,
    to_bytes,
)

_Lengths = TypeVar("_Lengths", float, NDArray[np.float64])

# BM25's usual constants: how fast repetitions of a term stop counting, and how much length counts.
SATURATION, LENGTH_SHARE = 1.2, 0.75

# The terms of a query that are looked up: the rarest ones that texts have, and others if there is
# room.
MAX_QUERY_TERMS = 256

# Stale versions that are tolerated, beside as many as there are live ones, before a compaction.
MAX_STALE_TEXTS = 1_024


@dataclass(frozen=True, slots=True)
class TermWeights:
    """What the terms of a query weigh in a catalog.

    Attributes:
        weights: the inverse document frequency of each term.
        mean_length: the mean number of terms of a text, with repetitions; above 0.
    """

    weights: Mapping[str, float]
    mean_length: float

    def score(self, term_counts: Mapping[str, int]) -> float:
        """Return the share of a text that has these terms: see `TermIndex.score`."""
        norm = _compute_norm(sum(term_counts.values()) / self.mean_length)
        total = sum(self.weights.values())
        share = sum(
            weight * count / (count + SATURATION * norm)
            for term, weight in self.weights.items()
            if (count := min(term_counts.get(term, 0), MAX_COUNT))
        )
        return share / total if total else 0.0


class TermIndex:
    """The terms of items by key. Not thread-safe.

    It takes 0.3 to 0.45 KB for each text of 70 words, by how many different words there are.
    """

    def __init__(self) -> None:
        self._postings: Postings = {}
        self._version_of = array("i")
        self._key_of = array("i")
        self._lengths = array("I")
        self._live = 0
        self._live_length = 0

    def __len__(self) -> int:
        """Return the number of keys."""
        return self._live

    def upsert(self, keys: Sequence[int], term_counts: Sequence[Mapping[str, int]]) -> None:
        """Replace all terms of each key; a key occurs once."""
        self.delete(keys)
        postings = self._postings
        for key, counts in zip(keys, term_counts, strict=True):
            version = len(self._key_of)
            length = sum(counts.values())
            self._key_of.append(key)
            self._lengths.append(length)
            if key >= len(self._version_of):
                self._version_of.extend([-1] * (key + 1 - len(self._version_of)))
            self._version_of[key] = version
            self._live += 1
            self._live_length += length
            for term, count in counts.items():
                posting = version << COUNT_BITS | min(count, MAX_COUNT)
                entry = postings.get(term)
                if entry is None:
                    postings[term] = posting
                elif isinstance(entry, int):
                    postings[term] = array("I", (entry, posting))
                else:
                    entry.append(posting)

    def delete(self, keys: Iterable[int]) -> None:
        """Remove keys; a key that has no terms is no error."""
        for key in keys:
            if key < len(self._version_of) and self._version_of[key] >= 0:
                version = self._version_of[key]
                self._live_length -= self._lengths[version]
                self._key_of[version] = -1
                self._version_of[key] = -1
                self._live -= 1

    @property
    def needs_compaction(self) -> bool:
        """Whether most versions are stale."""
        return len(self._key_of) > 2 * self._live + MAX_STALE_TEXTS

    def start_compaction(self) -> TermCompaction:
        """Return the work that drops stale postings; keys can be deleted while it runs."""
        return TermCompaction(
            self._postings,
            np.array(self._key_of),
            np.array(self._lengths),
            len(self._version_of),
        )

    def finish_compaction(self, compaction: TermCompaction) -> None:
        """Put the result of a compaction that has run into use, unless keys were upserted since."""
        if len(self._key_of) != len(compaction.former_key_of):
            return
        compaction.forget(np.flatnonzero(np.asarray(self._key_of) < 0))
        self._postings = compaction.postings
        self._key_of = array("i", compaction.key_of.tobytes())
        self._version_of = array("i", compaction.version_of.tobytes())
        self._lengths = array("I", compaction.lengths.tobytes())

    def score(self, terms: Collection[str], key_count: int) -> Vectors:
        """Return by key how much of a query its text has, float32 [key_count].

        The score is BM25 over its bound for the query: between 0, if the text has none of the
        terms, and 1, which a text comes near that repeats each of them. It is the same for equal
        texts, and depends on the other texts only by how rare they make a term.

        Args:
            terms: those of the query, each once.
            key_count: the number of keys, at least that of the largest key plus one.
        """
        scores = np.zeros(key_count, np.float32)
        total_weight = 0.0
        lengths, mean_length = np.asarray(self._lengths), self._mean_length
        for term in self._select_rarest(terms):
            keys, versions, counts = self._find(term)
            weight = self._weigh(len(keys))
            total_weight += weight
            if not len(keys):
                continue
            norms = _compute_norm(lengths[versions] / mean_length)
            scores[keys] += weight * counts / (counts + SATURATION * norms)
        scores /= np.float32(max(total_weight, 1e-9))
        return scores

    def weigh_terms(self, terms: Collection[str]) -> TermWeights:
        """Return what the terms of a query weigh."""
        weights = {
            term: self._weigh(len(self._find(term)[0])) for term in self._select_rarest(terms)
        }
        return TermWeights(weights, self._mean_length)

    def find_terms(self, terms: Collection[str], keys: Keys) -> list[list[str]]:
        """Return which of the terms that `score` looks up each key's text has, in their order."""
        selected = frozenset(self._select_rarest(terms))
        has_term = {
            term: np.isin(keys, self._find(term)[0]).tolist() for term in terms if term in selected
        }
        return [
            [term for term, by_position in has_term.items() if by_position[position]]
            for position in range(len(keys))
        ]

    @property
    def _mean_length(self) -> float:
        return max(self._live_length / max(self._live, 1), 1.0)

    def capture(self) -> dict[str, NDArray[Any]]:
        """Return everything as arrays by name, for a snapshot; later writes do not change it."""
        entries = list(self._postings.values())
        names = "\n".join(self._postings).encode()
        return {
            "terms": np.frombuffer(names, np.uint8),
            "postings": np.frombuffer(b"".join(map(to_bytes, entries)), np.uint32),
            "counts": np.fromiter(map(count_postings, entries), np.int64, len(entries)),
            "key_of": np.array(self._key_of),
            "version_of": np.array(self._version_of),
            "lengths": np.array(self._lengths),
        }

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Fill an empty index from captured arrays.

        Raises:
            KeyError: an array is missing.
            ValueError: the arrays do not belong together.
        """
        text = arrays["terms"].tobytes().decode()
        terms = text.split("\n") if text else []
        self._postings = split_postings(terms, arrays["postings"], arrays["counts"])
        self._key_of = array("i", arrays["key_of"].tobytes())
        self._version_of = array("i", arrays["version_of"].tobytes())
        self._lengths = array("I", arrays["lengths"].tobytes())
        is_live = arrays["key_of"] >= 0
        self._live = int(np.count_nonzero(is_live))
        self._live_length = int(arrays["lengths"][is_live].sum())

    def _select_rarest(self, terms: Collection[str]) -> Collection[str]:
        """Return the terms to look up: the rarest ones that texts have, then others."""
        if len(terms) <= MAX_QUERY_TERMS:
            return terms
        known = [term for term in terms if term in self._postings]
        known.sort(key=lambda term: (count_postings(self._postings[term]), term))
        unknown = (term for term in terms if term not in self._postings)
        return list(islice(chain(known, unknown), MAX_QUERY_TERMS))

    def _find(self, term: str) -> tuple[Keys, NDArray[np.int64], Vectors]:
        """Return the keys whose texts have a term, their versions, and how often they have it."""
        entry = self._postings.get(term)
        if entry is None:
            return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32)
        packed = np.array([entry] if isinstance(entry, int) else entry, np.uint32)
        versions = (packed >> COUNT_BITS).astype(np.int64)
        keys: Keys = np.asarray(self._key_of)[versions].astype(np.int64)
        is_live = keys >= 0
        if not is_live.all():
            keys, versions, packed = keys[is_live], versions[is_live], packed[is_live]
        return keys, versions, (packed & MAX_COUNT).astype(np.float32)

    def _weigh(self, key_count: int) -> float:
        """Return the weight of a term that `key_count` keys have."""
        return float(np.log1p((self._live - key_count + 0.5) / (key_count + 0.5)))


def _compute_norm(relative_lengths: _Lengths) -> _Lengths:
    """Return BM25's factor for the lengths of texts relative to their mean."""
    return 1 - LENGTH_SHARE + LENGTH_SHARE * relative_lengths
