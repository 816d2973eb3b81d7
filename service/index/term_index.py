"""Finds keys by the words of their texts, and scores them by BM25 (Robertson and Zaragoza 2009).

A posting is a version of a key and how often its text has the term, packed into 32 bits. Versions
are as in `attributes`: replacing or deleting an item forgets its version, which makes its postings
stale, and once most versions are stale the postings are compacted.
"""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from service.domain.vectors import Keys, Vectors

_Lengths = TypeVar("_Lengths", float, NDArray[np.float64])

# BM25's usual constants: how fast repetitions of a term stop counting, and how much length counts.
SATURATION, LENGTH_SHARE = 1.2, 0.75

# The bits of a posting for the count. Larger counts are stored as the largest that fits.
COUNT_BITS = 4
MAX_COUNT = (1 << COUNT_BITS) - 1

# The rarest terms of a query that are looked up.
MAX_QUERY_TERMS = 256

# Stale versions that are tolerated, beside as many as there are live ones, before postings are
# compacted: 0.2 s at 100,000 items of 70 words.
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
        # Most terms occur in one text only: then the posting itself stands for the array.
        self._postings: dict[str, array[int] | int] = {}
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
        if len(self._key_of) > 2 * self._live + MAX_STALE_TEXTS:
            self._compact()

    def delete(self, keys: Iterable[int]) -> None:
        """Remove keys; a key that has no terms is no error."""
        for key in keys:
            if key < len(self._version_of) and self._version_of[key] >= 0:
                version = self._version_of[key]
                self._live_length -= self._lengths[version]
                self._key_of[version] = -1
                self._version_of[key] = -1
                self._live -= 1

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

    def find_terms(self, terms: Iterable[str], keys: Keys) -> list[list[str]]:
        """Return which of the terms each key's text has, in the order of the terms."""
        has_term = {term: np.isin(keys, self._find(term)[0]).tolist() for term in terms}
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
            "postings": np.frombuffer(b"".join(map(_to_bytes, entries)), np.uint32),
            "counts": np.fromiter(map(_count, entries), np.int64, len(entries)),
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
        self._postings = _split(terms, arrays["postings"], arrays["counts"])
        self._key_of = array("i", arrays["key_of"].tobytes())
        self._version_of = array("i", arrays["version_of"].tobytes())
        self._lengths = array("I", arrays["lengths"].tobytes())
        is_live = arrays["key_of"] >= 0
        self._live = int(np.count_nonzero(is_live))
        self._live_length = int(arrays["lengths"][is_live].sum())

    def _select_rarest(self, terms: Collection[str]) -> Collection[str]:
        """Return the terms to look up: those that no text has, and the rarest others."""
        if len(terms) <= MAX_QUERY_TERMS:
            return terms
        missing = [term for term in terms if term not in self._postings]
        others = [term for term in terms if term in self._postings]
        others.sort(key=lambda term: (_count(self._postings[term]), term))
        return [*missing, *others[:MAX_QUERY_TERMS]]

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

    def _compact(self) -> None:
        """Drop stale postings and renumber the live versions."""
        is_live = np.asarray(self._key_of) >= 0
        new_versions = (np.cumsum(is_live) - 1).astype(np.uint32)
        entries = list(self._postings.values())
        packed = np.frombuffer(b"".join(map(_to_bytes, entries)), np.uint32)
        counts = np.fromiter(map(_count, entries), np.int64, len(entries))
        remains = is_live[packed >> COUNT_BITS]
        ends = np.concatenate([[0], np.cumsum(remains)])[np.cumsum(counts)]
        live = packed[remains]
        live = new_versions[live >> COUNT_BITS] << COUNT_BITS | live & MAX_COUNT
        self._postings = _split(list(self._postings), live, np.diff(ends, prepend=0))
        self._lengths = array("I", np.asarray(self._lengths)[is_live].tobytes())
        self._key_of = array("i", np.asarray(self._key_of)[is_live].tobytes())
        for version, key in enumerate(self._key_of):
            self._version_of[key] = version


def _compute_norm(relative_lengths: _Lengths) -> _Lengths:
    """Return BM25's factor for the lengths of texts relative to their mean."""
    return 1 - LENGTH_SHARE + LENGTH_SHARE * relative_lengths


def _to_bytes(entry: array[int] | int) -> bytes:
    return entry.to_bytes(4, "little") if isinstance(entry, int) else entry.tobytes()


def _count(entry: array[int] | int) -> int:
    return 1 if isinstance(entry, int) else len(entry)


def _split(
    terms: Sequence[str], postings: NDArray[np.uint32], counts: NDArray[np.int64]
) -> dict[str, array[int] | int]:
    """Return the postings of each term that has any.

    Raises:
        ValueError: there are more or fewer than the counts say.
    """
    ends = np.cumsum(counts).tolist()
    if len(terms) != len(ends) or len(postings) != (ends[-1] if ends else 0):
        raise ValueError("the postings do not belong to the terms")
    raw = postings.astype("<u4", copy=False).tobytes()
    entries: dict[str, array[int] | int] = {}
    start = 0
    for term, end in zip(terms, ends, strict=True):
        if end - start == 1:
            entries[term] = int.from_bytes(raw[4 * start : 4 * end], "little")
        elif end > start:
            entries[term] = array("I", raw[4 * start : 4 * end])
        start = end
    return entries
