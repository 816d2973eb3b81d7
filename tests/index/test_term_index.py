"""The index of words: it agrees with BM25 computed from the texts, whatever was written before."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Mapping

import numpy as np
import pytest

from service.domain.terms import count_terms
from service.index.term_index import (
    LENGTH_SHARE,
    MAX_QUERY_TERMS,
    MAX_STALE_TEXTS,
    SATURATION,
    TermIndex,
)
from service.index.term_postings import MAX_COUNT

WORDS = [f"w{number}" for number in range(40)]


def compute_share(texts: Mapping[int, str], query: str, key: int) -> float:
    """The share by the definition of BM25, from the texts themselves."""
    counted = {other: count_terms(text) for other, text in texts.items()}
    mean_length = sum(counts.total() for counts in counted.values()) / len(texts)
    norm = 1 - LENGTH_SHARE + LENGTH_SHARE * counted[key].total() / mean_length
    share = total = 0.0
    for term in count_terms(query):
        having = sum(term in counts for counts in counted.values())
        weight = math.log(1 + (len(texts) - having + 0.5) / (having + 0.5))
        count = min(counted[key][term], MAX_COUNT)
        share += weight * count / (count + SATURATION * norm)
        total += weight
    return share / total


def assert_agrees(terms: TermIndex, texts: Mapping[int, str], drawn: random.Random) -> None:
    """Require the shares of some queries to be those of the texts."""
    assert len(texts) == len(terms)
    key_count = max(texts) + 1
    for query in ("w1 w2 unknown", "w39", " ".join(drawn.sample(WORDS, 6))):
        shares = terms.score(list(count_terms(query)), key_count)
        expected = np.zeros(key_count)
        for key in texts:
            expected[key] = compute_share(texts, query, key)
        assert pytest.approx(expected.tolist(), abs=1e-5) == shares.tolist()


def add(terms: TermIndex, texts: Mapping[int, str]) -> None:
    terms.upsert(list(texts), [count_terms(text) for text in texts.values()])


def compact(terms: TermIndex) -> None:
    """Compact at once."""
    compaction = terms.start_compaction()
    compaction.run()
    terms.finish_compaction(compaction)


def draw_text(drawn: random.Random) -> str:
    return " ".join(drawn.choices(WORDS, k=drawn.randint(1, 30)))


def test_shares_are_those_of_bm25_through_writes_and_a_snapshot() -> None:
    """After any upserts and deletions, shares are those of the texts that are there."""
    drawn = random.Random(3)
    terms = TermIndex()
    texts: dict[int, str] = {}
    for _ in range(30):
        written = {key: draw_text(drawn) for key in drawn.sample(range(60), 8)}
        add(terms, written)
        texts |= written
        gone = drawn.sample(range(60), 3)
        terms.delete(gone)
        texts = {key: text for key, text in texts.items() if key not in gone}
        assert_agrees(terms, texts, drawn)
    restored = TermIndex()
    restored.restore(terms.capture())
    assert_agrees(restored, texts, drawn)
    add(restored, {61: "w1 w1 new"})
    assert_agrees(restored, texts | {61: "w1 w1 new"}, drawn)


def test_stale_postings_are_dropped() -> None:
    """Replacing the same texts again and again does not let the index grow without limit."""
    drawn = random.Random(4)
    terms = TermIndex()
    for number in range(2 * MAX_STALE_TEXTS):
        texts = {0: f"w1 only{number}", 1: draw_text(drawn)}
        add(terms, texts)
        if terms.needs_compaction:
            compact(terms)
    assert_agrees(terms, texts, drawn)
    assert len(terms.capture()["key_of"]) <= MAX_STALE_TEXTS + 6
    assert len(terms.capture()["counts"]) <= MAX_STALE_TEXTS + 6 + len(WORDS)


def test_keys_can_be_deleted_during_a_compaction() -> None:
    """Keys that are deleted between the start of a compaction and its end stay deleted."""
    drawn = random.Random(8)
    terms = TermIndex()
    texts = {key: draw_text(drawn) for key in range(60)}
    add(terms, texts)
    for key in range(0, 60, 4):
        texts[key] = draw_text(drawn)
        add(terms, {key: texts[key]})
    terms.delete([3, 8])
    compaction = terms.start_compaction()
    terms.delete([0, 5])
    compaction.run()
    terms.delete([59])
    assert_agrees(terms, {key: texts[key] for key in texts if key not in {0, 3, 5, 8, 59}}, drawn)
    terms.finish_compaction(compaction)
    texts = {key: texts[key] for key in texts if key not in {0, 3, 5, 8, 59}}
    assert_agrees(terms, texts, drawn)
    assert 58 == len(terms.capture()["key_of"])
    add(terms, {5: "w1 new"})
    terms.delete([7])
    texts = {key: texts[key] for key in texts if key != 7} | {5: "w1 new"}
    assert_agrees(terms, texts, drawn)


def test_a_compaction_from_before_a_write_is_dropped() -> None:
    """The result of a compaction that does not know a key has no effect."""
    terms = TermIndex()
    add(terms, {0: "w1", 1: "w2"})
    compaction = terms.start_compaction()
    compaction.run()
    add(terms, {1: "w3"})
    terms.finish_compaction(compaction)
    assert_agrees(terms, {0: "w1", 1: "w3"}, random.Random(9))


def test_a_score_of_a_text_agrees_with_the_index() -> None:
    """What terms weigh gives a text that is not in the index the same share as one that is."""
    drawn = random.Random(5)
    terms = TermIndex()
    texts = {key: draw_text(drawn) for key in range(20)}
    add(terms, texts)
    query = ["w1", "w2", "w3", "unknown"]
    weights = terms.weigh_terms(query)
    shares = [weights.score(count_terms(texts[key])) for key in range(20)]
    assert pytest.approx(shares, abs=1e-6) == terms.score(query, 20).tolist()


def test_matched_terms_are_found() -> None:
    """The terms that a text has are returned in the order of the query."""
    terms = TermIndex()
    add(terms, {0: "red ship", 1: "blue car", 2: "ship car"})
    keys = np.array([2, 0, 1], np.int64)
    matches = terms.find_terms(["car", "ship", "plane"], keys)
    assert [["car", "ship"], ["ship"], ["car"]] == matches


def test_matched_terms_are_among_those_that_count() -> None:
    """A term of a long query that does not count is not found as a matched one either."""
    rare = [f"r{number}" for number in range(MAX_QUERY_TERMS)]
    terms = TermIndex()
    add(terms, {0: " ".join(rare), 1: "all", 2: "all r7", 3: "all"})
    keys = np.array([1, 2], np.int64)
    assert [[], ["r7"]] == terms.find_terms(["all", *rare], keys)
    assert [["all"], ["all", "r7"]] == terms.find_terms(["all", *rare[1:]], keys)


def test_of_many_words_the_rarest_are_looked_up() -> None:
    """Of a query of one word too many, the most frequent word finds nothing."""
    rare = [f"r{number}" for number in range(MAX_QUERY_TERMS)]
    terms = TermIndex()
    add(terms, {0: " ".join(rare), 1: "all", 2: "all r7", 3: "all"})
    shares = terms.score(["all", *rare], 4)
    assert shares[0] > shares[2] > 0 == shares[1]
    assert terms.score(["all", *rare[1:]], 4)[1] > 0


def test_unknown_words_take_no_place_of_known_ones() -> None:
    """However many words of a query no text has, they change nothing while enough others count."""
    known = [f"r{number}" for number in range(MAX_QUERY_TERMS)]
    unknown = [f"u{number}" for number in range(3 * MAX_QUERY_TERMS)]
    terms = TermIndex()
    add(terms, {0: " ".join(known), 1: "r7", 2: "other"})
    keys = np.arange(3)
    for query in ([*unknown, *known], [*known, *unknown], [*unknown, *known, "other"][1:]):
        assert set(terms.weigh_terms(query).weights) <= {*known, "other"}
    shares = terms.score([*unknown, *known], 3)
    assert terms.score(known, 3).tolist() == shares.tolist()
    assert terms.find_terms(known, keys) == terms.find_terms([*unknown, *known], keys)


def test_unknown_words_fill_the_room_that_known_ones_leave() -> None:
    """A query of many unknown words has as many terms that count as any long query."""
    unknown = [f"u{number}" for number in range(3 * MAX_QUERY_TERMS)]
    terms = TermIndex()
    add(terms, {0: "red ship", 1: "ship"})
    weights = terms.weigh_terms([*unknown, "red", "ship"]).weights
    assert {"red", "ship", *unknown[: MAX_QUERY_TERMS - 2]} == set(weights)


def test_without_texts_or_terms_there_is_no_share() -> None:
    """An empty index and an empty query give shares of 0."""
    terms = TermIndex()
    assert [0.0] == terms.score(["a"], 1).tolist()
    add(terms, {0: "a"})
    assert [0.0] == terms.score([], 1).tolist()
    assert 0.0 == terms.weigh_terms([]).score(Counter("a"))


def test_damaged_arrays_are_refused() -> None:
    """Arrays that do not belong together raise ValueError."""
    terms = TermIndex()
    add(terms, {0: "a b", 1: "b c"})
    arrays = terms.capture()
    with pytest.raises(ValueError, match="postings"):
        TermIndex().restore(arrays | {"postings": arrays["postings"][:-1]})
