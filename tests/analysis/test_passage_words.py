"""Passages that are found by their words and vectors together."""

import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from support.analysis import search_passages
from support.catalogs import running
from support.clock import FakeClock
from support.embedders import DIMENSIONS, WordEmbedder, unit_vector
from support.stores import indexed, pending
from support.texts import distinct

from service.analysis.passage_texts import PASSAGE_TEXTS_AT_ONCE, ReadPassages, score_chunks
from service.analysis.passage_words import (
    MAX_PASSAGE_CHARACTERS,
    MAX_READ_CHARACTERS,
    MAX_WORD_ITEMS,
    MIN_WORD_ITEMS,
    BestPassages,
)
from service.domain.analyses import Passage, PassagesQuery
from service.domain.items import Change
from service.domain.terms import count_terms
from service.embedding.embedder import BatchLimits
from service.index.faiss_exact import ExactIndex
from service.index.item_index import ItemIndex
from service.index.lexical_search import WordQuery
from service.index.term_index import TermWeights
from service.index.vector_index import OwnedVectors

TEXT = "violinist in Norway"
WEIGHTS = TermWeights({"violinist": 2.0, "norway": 1.0}, 5.0)


class SmallEmbedder(WordEmbedder):
    """An embedder whose model takes few words of a text, so that texts have several chunks."""

    def __init__(self) -> None:
        super().__init__()
        self.limits = BatchLimits(256, tokens=2**40, text_tokens=20)


class RecordingIndex(ExactIndex):
    """An index that records how many keys are read at once."""

    def __init__(self) -> None:
        super().__init__(DIMENSIONS)
        self.read_sizes: list[int] = []

    def get(self, keys: Sequence[int]) -> OwnedVectors:
        """Return the keys' vectors."""
        self.read_sizes.append(len(keys))
        return super().get(keys)


@pytest.mark.parametrize("weight", [0.3, 1.0])
async def test_passages_by_words_agree_with_brute_force(tmp_path: Path, weight: float) -> None:
    """The passages are those with the best scores by definition, from a catalog of long texts."""
    generator = random.Random(3)
    texts = {
        f"i{n}": " ".join(f"{distinct(generator.randrange(4_000))} ." for _ in range(n % 7 + 1))
        for n in range(30)
    }
    async with running(tmp_path, SmallEmbedder(), FakeClock(), hybrid=True) as catalog:
        for item_id, text in texts.items():
            await catalog.put(item_id, text)
        terms, words = catalog.item_index.terms, WordQuery(tuple(count_terms(TEXT)), weight)
        assert terms is not None
        weights = terms.weigh_terms(words.terms)
        hashes = await catalog.stores.items.chunk_hashes(catalog.row, list(texts))
        expected = []
        for item_id, text in texts.items():
            for span in catalog.text_embedder.split_into_chunks(text, hashes[item_id]):
                passage = text[span.start : span.end]
                cosine = unit_vector(passage) @ unit_vector(TEXT)
                share = weights.score(count_terms(passage))
                expected.append((1 - weight) * cosine + weight * share**2)
        for limit, per_item in ((25, 0), (1_000, 1)):
            query = PassagesQuery(TEXT, limit, limit_per_item=per_item, lexical_weight=weight)
            passages = (await search_passages(catalog, query)).passages
            assert all(
                passage.text.encode()
                == texts[passage.item_id].encode()[passage.start_offset : passage.end_offset]
                for passage in passages
            )
            scores = [passage.score for passage in passages]
            if per_item:
                assert [*texts] == sorted(
                    (passage.item_id for passage in passages), key=lambda id_: int(id_[1:])
                )
                assert pytest.approx(max(expected), abs=1e-5) == scores[0]
            else:
                assert pytest.approx(sorted(expected)[: -limit - 1 : -1], abs=1e-5) == scores


async def test_further_items_take_the_place_of_those_without_passages(tmp_path: Path) -> None:
    """However many better items are pending, the passages of the others are found."""
    pending_ids = [f"p{number:03}" for number in range(4 * MIN_WORD_ITEMS)]
    async with running(tmp_path, WordEmbedder(), FakeClock(), hybrid=True) as catalog:
        writes = [indexed(item_id, TEXT) for item_id in pending_ids]
        others = [indexed(f"o{number}", f"{number} violinist") for number in range(5)]
        await catalog.stores.items.upsert_many(catalog.row, [*writes, *others])
        rewritten = [pending(item_id, f"{TEXT} again") for item_id in pending_ids]
        await catalog.stores.items.upsert_many(catalog.row, rewritten)
        await catalog.caught_up()
        answer = await search_passages(catalog, PassagesQuery(TEXT, lexical_weight=0.5))
        assert {f"o{number}" for number in range(5)} == {
            passage.item_id for passage in answer.passages
        }


def read_passages(number: int, *, characters: int = 100) -> ReadPassages:
    """The only passage of an item."""
    return ReadPassages([Passage(f"i{number}", TEXT, 0, 9, 0.5)], set(), characters)


def count_considered_items(
    query: PassagesQuery, *, characters: int = 100, is_readable: bool = True
) -> int:
    """Return how many items with a passage each, or none, are considered until it is enough."""
    best = BestPassages(query, WordQuery(("violinist", "norway"), 0.5))
    number = 0
    while not best.is_complete:
        read = read_passages(number, characters=characters)
        best.consider([f"i{number}"], read if is_readable else read._replace(passages=[]), WEIGHTS)
        number += 1
    return number


@pytest.mark.parametrize("limit", [1, 10, 1_000])
def test_enough_passages_end_the_search(limit: int) -> None:
    """Two items for each passage of the limit are considered, and 50 at least."""
    count = count_considered_items(PassagesQuery(TEXT, limit))
    assert max(MIN_WORD_ITEMS, 2 * limit) == count


@pytest.mark.parametrize(("limit", "expected"), [(2, 8), (30, 30)])
def test_long_texts_end_the_search(limit: int, expected: int) -> None:
    """Once the texts are long enough together, as many items suffice as fill the limit."""
    query = PassagesQuery(TEXT, limit)
    assert expected == count_considered_items(query, characters=MAX_PASSAGE_CHARACTERS // 8)


@pytest.mark.parametrize("is_readable", [True, False])
def test_long_texts_end_a_search_that_lacks_passages(*, is_readable: bool) -> None:
    """Once the texts are very long together, the search ends with fewer passages than the limit."""
    count = count_considered_items(
        PassagesQuery(TEXT, 1_000),
        characters=MAX_READ_CHARACTERS // 80,
        is_readable=is_readable,
    )
    assert 80 == count


def test_passages_below_the_minimum_score_end_the_search() -> None:
    """No further items are considered after one whose passages all miss the minimum score."""
    assert MIN_WORD_ITEMS == count_considered_items(PassagesQuery(TEXT, min_score=2.0))


def test_items_without_passages_do_not_end_the_search() -> None:
    """Items without passages are passed over, up to the maximum number of items."""
    assert MAX_WORD_ITEMS == count_considered_items(PassagesQuery(TEXT), is_readable=False)


def test_vectors_are_read_a_batch_at_a_time() -> None:
    """The chunks of many items are scored without reading the vectors of all of them at once."""
    index = RecordingIndex()
    item_index = ItemIndex(index, FakeClock())
    ids = [f"i{number}" for number in range(3 * PASSAGE_TEXTS_AT_ONCE - 1)]
    vectors = {item_id: [unit_vector(f"{item_id} {n}") for n in range(4)] for item_id in ids}
    changes = [
        Change(item_id, "{}", tuple(chunk.tobytes() for chunk in chunks), None)
        for item_id, chunks in vectors.items()
    ]
    item_index.apply(changes, len(changes))
    query = unit_vector(TEXT)[None]
    scored = score_chunks(item_index, ["gone", *ids], query)
    expected = [
        (item_id, position, pytest.approx(float(chunk @ query[0]), abs=1e-5))
        for item_id, chunks in vectors.items()
        for position, chunk in enumerate(chunks)
    ]
    assert expected == [tuple(chunk) for chunk in scored]
    assert PASSAGE_TEXTS_AT_ONCE >= max(index.read_sizes)
