import asyncio
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.catalogs import running
from support.clock import FakeClock
from support.embedders import (
    COST_USD_PER_TOKEN,
    SPACE,
    Fault,
    FaultyEmbedder,
    HeldEmbedder,
    WordEmbedder,
    unit_vector,
)
from support.stores import indexed
from support.tasks import left, started

from service import errors
from service.domain.spaces import LOCAL_PROVIDER
from service.domain.usage import EmbeddingUsage
from service.embedding.batcher import Batcher
from service.embedding.prompts import hash_text
from service.embedding.text_embedder import TextEmbedder, TextObserver
from service.embedding.vector_cache import CacheMemory, VectorCache

LOCAL_SPACE = replace(SPACE, provider=LOCAL_PROVIDER)


async def test_a_new_text_is_embedded(tmp_path: Path) -> None:
    """A new text is embedded, and its usage is reported."""
    embedder = WordEmbedder()
    async with running(tmp_path, embedder, FakeClock()) as catalog:
        outcome = await catalog.text_embedder.embed_documents(["tea and cake", "coffee"])
        assert {"tea and cake", "coffee"} == outcome.embedded_texts == set(outcome.chunks)
        assert EmbeddingUsage(2, 0, 4, 4 * COST_USD_PER_TOKEN, 2) == outcome.usage
        np.testing.assert_allclose(
            unit_vector("coffee"), outcome.stack_vectors("coffee")[0], atol=1e-6
        )
    assert [("tea and cake", "coffee")] == embedder.batches


async def test_a_repeated_text_is_a_cache_hit(tmp_path: Path) -> None:
    """A text embedded before costs nothing, even if it is not stored."""
    embedder = WordEmbedder()
    async with running(tmp_path, embedder, FakeClock()) as catalog:
        first = await catalog.text_embedder.embed_documents(["tea"])
        again = await catalog.text_embedder.embed_documents(["tea"])
        assert {} == await catalog.stores.vectors.get_many(catalog.row, [hash_text("tea")])
        assert EmbeddingUsage(1, 1) == again.usage
        assert frozenset() == again.embedded_texts
        np.testing.assert_array_equal(first.stack_vectors("tea")[0], again.stack_vectors("tea")[0])
    assert ["tea"] == embedder.texts


async def test_a_stored_text_is_never_embedded(tmp_path: Path) -> None:
    """After a restart, the vectors of stored texts come from the store, then from the cache."""
    async with running(tmp_path, WordEmbedder(), FakeClock()) as catalog:
        await catalog.stores.items.upsert_many(catalog.row, [indexed("a", "tea")])
    embedder = WordEmbedder()
    async with running(tmp_path, embedder, FakeClock()) as catalog:
        cache = VectorCache(CacheMemory(), "")
        text_embedder = TextEmbedder(
            catalog.stores.vectors, catalog.row, embedder.space, Batcher(embedder), cache
        )
        outcome = await text_embedder.embed_documents(["tea"])
        assert EmbeddingUsage(1, 1) == outcome.usage
        np.testing.assert_array_equal(unit_vector("tea"), outcome.stack_vectors("tea")[0])
        assert cache.get(hash_text("tea")) is outcome.chunks["tea"][0].vector
    assert [] == embedder.batches


async def test_the_local_model_embeds_queries_without_the_store(tmp_path: Path) -> None:
    """Whether a query is stored takes longer to find out than the local model takes to embed it."""
    async with running(tmp_path, WordEmbedder(), FakeClock()) as catalog:
        await catalog.stores.items.upsert_many(catalog.row, [indexed("a", "tea")])
        for space, expected in ((SPACE, []), (LOCAL_SPACE, ["tea"])):
            embedder = WordEmbedder()
            batcher, cache = Batcher(embedder), VectorCache(CacheMemory(), "")
            running_batcher = await started(batcher.run())
            text_embedder = TextEmbedder(catalog.stores.vectors, catalog.row, space, batcher, cache)
            outcome = await text_embedder.embed_queries(["tea"])
            await left(running_batcher)
            np.testing.assert_allclose(
                unit_vector("tea"), outcome.stack_vectors("tea")[0], atol=1e-6
            )
            assert expected == embedder.texts


async def test_only_new_texts_are_embedded(tmp_path: Path) -> None:
    """Of cached, stored and new texts, only the new ones are sent to the embedder."""
    embedder = WordEmbedder()
    async with running(tmp_path, embedder, FakeClock()) as catalog:
        await catalog.text_embedder.embed_documents(["cached"])
        await catalog.stores.items.upsert_many(catalog.row, [indexed("a", "stored")])
        texts = ["new", "stored", "cached", "newer", "new"]
        outcome = await catalog.text_embedder.embed_documents(texts)
        assert (4, 2) == (outcome.usage.text_count, outcome.usage.cached_text_count)
        assert {"new", "newer"} == outcome.embedded_texts
        assert 2 == outcome.usage.embedded_text_count
        assert set(texts) == set(outcome.chunks)
    assert ["cached", "new", "newer"] == embedder.texts


async def test_no_texts_use_nothing(tmp_path: Path) -> None:
    """An empty set of texts has no vectors and no usage."""
    async with running(tmp_path, WordEmbedder(), FakeClock()) as catalog:
        outcome = await catalog.text_embedder.embed_documents([])
        assert EmbeddingUsage() == outcome.usage
        assert {} == outcome.chunks


async def test_concurrent_calls_embed_a_text_once(tmp_path: Path) -> None:
    """Concurrent calls with the same new text share one request."""
    embedder = HeldEmbedder()
    async with running(tmp_path, embedder, FakeClock()) as catalog:
        calls = [await started(catalog.text_embedder.embed_documents(["tea"])) for _ in range(20)]
        await embedder.held.wait()
        embedder.release()
        for outcome in await asyncio.gather(*calls):
            np.testing.assert_allclose(
                unit_vector("tea"), outcome.stack_vectors("tea")[0], atol=1e-6
            )
    assert ["tea"] == embedder.texts


async def test_a_stored_item_is_never_paid_for_again(tmp_path: Path) -> None:
    """An unchanged text, or the same text under another id, costs nothing, even after a restart."""
    embedder = WordEmbedder()
    async with running(tmp_path, embedder, FakeClock()) as catalog:
        assert (await catalog.put("a", "tea")).embedded
        assert not (await catalog.put("a", "tea")).embedded
        assert not (await catalog.put("b", "tea")).embedded
    async with running(tmp_path, embedder, FakeClock()) as catalog:
        upserted = await catalog.put("c", "tea")
        assert (False, EmbeddingUsage(1, 1)) == (upserted.embedded, upserted.usage)
    assert ["tea"] == embedder.texts


async def test_failures_are_reported_by_text_and_not_cached(tmp_path: Path) -> None:
    """A failed text has an error and no vector; the next call embeds it."""
    embedder = FaultyEmbedder(Fault.UNAVAILABLE)
    async with running(tmp_path, embedder, FakeClock()) as catalog:
        outcome = await catalog.text_embedder.embed_documents(["tea"])
        assert {} == outcome.chunks
        assert frozenset() == outcome.embedded_texts
        assert EmbeddingUsage(1) == outcome.usage
        assert [errors.EmbeddingUnavailable] == [
            type(failure) for failure in outcome.failures.values()
        ]
        embedder.fault = None
        assert ["tea"] == list((await catalog.text_embedder.embed_documents(["tea"])).chunks)


async def test_a_query_raises_its_failure(tmp_path: Path) -> None:
    """A rejected query text is an invalid field; a temporary failure is unavailable."""
    embedder = FaultyEmbedder(Fault.ZEROS)
    async with running(tmp_path, embedder, FakeClock()) as catalog:
        with pytest.raises(errors.InvalidRequest, match=r"^text has no word"):
            await catalog.text_embedder.embed_query("zzz", "text")
        embedder.fault = Fault.UNAVAILABLE
        with pytest.raises(errors.EmbeddingUnavailable):
            await catalog.text_embedder.embed_query("zzz", "text")


async def test_embedded_and_cached_texts_are_observed(tmp_path: Path) -> None:
    """For each set of texts the numbers of embedded and of cached texts are observed."""
    embedded: list[float] = []
    cached: list[float] = []
    async with running(tmp_path, WordEmbedder(), FakeClock()) as catalog:
        text_embedder = TextEmbedder(
            catalog.stores.vectors,
            catalog.row,
            catalog.text_embedder.space,
            catalog.text_embedder._batches,
            VectorCache(CacheMemory(), ""),
            TextObserver(embedded.append, cached.append),
        )
        await text_embedder.embed_documents(["tea", "coffee"])
        await text_embedder.embed_documents(["tea", "cocoa"])
    assert ([2, 1], [0, 1]) == (embedded, cached)
