import random
from collections.abc import Sequence
from pathlib import Path
from typing import SupportsIndex, cast

import pytest
from support.analysis import search_passages
from support.catalogs import running
from support.clock import FakeClock
from support.embedders import WordEmbedder, unit_vector
from support.stores import indexed, opened, pending
from support.texts import distinct

from service.analysis.passage_texts import PassageReader, ScoredChunk, _make_passages
from service.domain.analyses import PassagesQuery
from service.domain.items import Item
from service.domain.own_vectors import make_own_chunks
from service.domain.vectors import Chunk
from service.embedding.embedder import BatchLimits
from service.embedding.prompts import Prompt, hash_text
from service.embedding.text_embedder import TextEmbedder
from service.storage.records import ItemVectors, ItemWrite


class SmallEmbedder(WordEmbedder):
    """An embedder whose model takes few words of a text, so that texts have several chunks."""

    def __init__(self) -> None:
        super().__init__()
        self.limits = BatchLimits(256, tokens=2**40, text_tokens=20)


async def test_passages_agree_with_brute_force(tmp_path: Path) -> None:
    """The passages are the best within the limit, the limit per item and the minimum score."""
    generator = random.Random(3)
    texts = {
        f"i{n}": " ".join(f"{distinct(generator.randrange(4_000))} Über." for _ in range(n % 7 + 1))
        for n in range(30)
    }
    async with running(tmp_path, SmallEmbedder(), FakeClock()) as catalog:
        for item_id, text in texts.items():
            await catalog.put(item_id, text)
        for item_id in ("i3", "i8", "i12"):  # so that rows of the index move and are used again
            await catalog.items.delete(item_id, allow_missing=False)
            await catalog.put(item_id, texts[item_id])
        query = unit_vector("violinist in Norway")
        hashes = await catalog.stores.items.chunk_hashes(catalog.row, list(texts))
        expected = sorted(
            (
                (-float(unit_vector(text[span.start : span.end]) @ query), item_id, span.start)
                for item_id, text in texts.items()
                for span in catalog.text_embedder.split_into_chunks(text, hashes[item_id])
            ),
        )
        answer = await search_passages(catalog, PassagesQuery("violinist in Norway", limit=25))
        assert 25 == len(answer.passages)
        for (negative, item_id, _), passage in zip(expected, answer.passages, strict=False):
            assert item_id == passage.item_id
            assert pytest.approx(-negative, abs=1e-5) == passage.score
            whole = texts[item_id].encode()
            assert passage.text.encode() == whole[passage.start_offset : passage.end_offset]
            assert pytest.approx(passage.score, abs=1e-5) == float(
                unit_vector(passage.text) @ query
            )
        single = await search_passages(
            catalog, PassagesQuery("violinist in Norway", limit=1000, limit_per_item=1)
        )
        assert (
            len(texts)
            == len(single.passages)
            == len({passage.item_id for passage in single.passages})
        )
        min_score = answer.passages[4].score
        cut = await search_passages(
            catalog, PassagesQuery("violinist in Norway", min_score=min_score)
        )
        assert [p for p in answer.passages if p.score >= min_score] == list(cut.passages)


TEXT = "violinist in Norway"


@pytest.mark.parametrize("hybrid", [False, True])
@pytest.mark.parametrize("limit", [1, 20])
async def test_items_with_own_vectors_take_no_place(
    tmp_path: Path, limit: int, *, hybrid: bool
) -> None:
    """However many items with vectors of callers are nearer, all passages are found."""
    own = ItemVectors(make_own_chunks([unit_vector(TEXT).tobytes()]))
    texts = [indexed(f"t{number:02}", f"{number} violinist") for number in range(20)]
    items = [ItemWrite(Item(f"o{number}", TEXT), own) for number in range(5_000)]
    async with running(tmp_path, WordEmbedder(), FakeClock(), hybrid=hybrid) as catalog:
        await catalog.stores.items.upsert_many(catalog.row, [*items, *texts])
        await catalog.caught_up()
        query = PassagesQuery(TEXT, limit, lexical_weight=0.5 if hybrid else None)
        passages = (await search_passages(catalog, query)).passages
        assert limit == len({passage.item_id for passage in passages})
        assert {"t"} == {passage.item_id[0] for passage in passages}


async def test_pending_items_take_no_place(tmp_path: Path) -> None:
    """However many pending items have nearer former texts, the passages of others are found."""
    ids = [f"p{number:03}" for number in range(200)]
    async with running(tmp_path, WordEmbedder(), FakeClock()) as catalog:
        writes = [indexed(item_id, TEXT) for item_id in ids]
        others = [indexed(f"o{number}", f"{number} violinist") for number in range(5)]
        await catalog.stores.items.upsert_many(catalog.row, [*writes, *others])
        rewritten = [pending(item_id, "rum") for item_id in ids]
        await catalog.stores.items.upsert_many(catalog.row, rewritten)
        await catalog.caught_up()
        for limit in (1, 5):
            answer = await search_passages(catalog, PassagesQuery(TEXT, limit))
            assert limit == len({passage.item_id for passage in answer.passages})


class RecordingText(str):
    """A text that counts the characters of the parts that are taken of it."""

    __slots__ = ("character_count",)

    def __getitem__(self, key: SupportsIndex | slice) -> str:
        """Count, and return the part."""
        part = super().__getitem__(key)
        self.character_count = getattr(self, "character_count", 0) + len(part)
        return part


def test_offsets_of_a_long_text_are_counted_once() -> None:
    """Passages have their offsets in any order of the chunks, and no part is read for each."""
    text = RecordingText("".join(f"{number} é ü 漢 🎷. " for number in range(2_000)))
    places = [(start, min(start + 40, len(text))) for start in range(0, len(text), 30)]
    random.Random(1).shuffle(places)
    spans = [Prompt(start, end, "", b"") for start, end in places]
    chunks = [ScoredChunk("i", position, float(position)) for position in range(len(spans))]
    passages = _make_passages(text, chunks, spans)
    assert text.character_count < 3 * len(text)
    whole = str(text)
    expected = sorted(
        (len(whole[:start].encode()), len(whole[:end].encode()), whole[start:end], float(position))
        for position, (start, end) in enumerate(places)
    )
    assert expected == [
        (passage.start_offset, passage.end_offset, passage.text, passage.score)
        for passage in passages
    ]


class RecordingSplitter:
    """Stands for the part of a TextEmbedder that splits texts, and records them."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def split_into_chunks(self, text: str, _hashes: Sequence[bytes]) -> list[Prompt]:
        """Return no chunks."""
        self.texts.append(text)
        return []


async def test_texts_with_own_vectors_are_not_split(tmp_path: Path) -> None:
    """The text of an item with vectors of its caller is not split: no part could match."""
    own = ItemVectors(make_own_chunks([unit_vector(TEXT).tobytes()]))
    splitter = RecordingSplitter()
    async with opened(tmp_path, FakeClock()) as (stores, generation):
        writes = [ItemWrite(Item("own", "rum"), own), indexed("text", "tea")]
        await stores.items.upsert_many(generation, writes)
        reader = PassageReader(stores.items, generation, cast("TextEmbedder", splitter))
        chunks = [ScoredChunk(item_id, 0, 0.5) for item_id in ("own", "text")]
        assert [] == (await reader.read(chunks, stores.items.last_sequence)).passages
        assert ["tea"] == splitter.texts


async def test_all_texts_that_are_read_count(tmp_path: Path) -> None:
    """The characters of pending and changed items count as well, for they were read, too."""
    async with opened(tmp_path, FakeClock()) as (stores, generation):
        await stores.items.upsert_many(generation, [indexed("a", "tea"), pending("b", "coffee")])
        sequence = stores.items.last_sequence
        await stores.items.upsert_many(generation, [indexed("c", "changed")])
        splitter = cast("TextEmbedder", RecordingSplitter())
        reader = PassageReader(stores.items, generation, splitter)
        read = await reader.read([ScoredChunk(item_id, 0, 0.5) for item_id in "abcd"], sequence)
        assert {"c", "d"} == read.changed_ids
        assert len("teacoffeechanged") == read.characters
        assert len("tea") == read.unlocated_characters


@pytest.mark.parametrize(("words", "found"), [(10, 1), (6_500, 0)])
async def test_long_texts_that_are_split_differently_end_the_search(
    tmp_path: Path, words: int, found: int
) -> None:
    """Behind items that were embedded with other settings, the search goes on while it is short."""
    other = ItemVectors([Chunk(hash_text("other settings"), unit_vector(TEXT))])
    writes = [ItemWrite(Item(f"o{n}", f"{n} words " * words), other) for n in range(100)]
    async with running(tmp_path, WordEmbedder(), FakeClock()) as catalog:
        await catalog.stores.items.upsert_many(catalog.row, [*writes, indexed("t", "violinist")])
        await catalog.caught_up()
        passages = (await search_passages(catalog, PassagesQuery(TEXT, 10))).passages
        assert found == len(passages)
