import random
from pathlib import Path

import pytest
from support.analysis import search_passages
from support.catalogs import running
from support.clock import FakeClock
from support.embedders import WordEmbedder, unit_vector
from support.texts import distinct

from service.domain.analyses import PassagesQuery
from service.embedding.embedder import BatchLimits


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
