from collections.abc import Sequence
from pathlib import Path

import numpy as np
from support.catalogs import running
from support.clock import FakeClock
from support.embedders import WordEmbedder, unit_vector

from service import errors
from service.embedding.embedder import BatchLimits, Embeddings
from service.embedding.errors import TextRefused
from service.embedding.prompts import hash_text

TEXT = " ".join(f"word{number} item{number}." for number in range(60))


class StrictEmbedder(WordEmbedder):
    """An embedder that refuses batches with a text of more than `max_words` words."""

    def __init__(self, max_words: int) -> None:
        super().__init__()
        # More tokens than the model takes, as if they had been estimated too low.
        self.limits = BatchLimits(256, tokens=2**40, text_tokens=400)
        self.max_words = max_words

    async def embed(self, texts: Sequence[str]) -> Embeddings:
        """Embed one batch, unless a text is too long."""
        if any(len(text.split()) > self.max_words for text in texts):
            self.batches.append(tuple(texts))
            raise TextRefused("is too long for the embedding model", certain=True, too_long=True)
        return await super().embed(texts)


async def test_a_chunk_that_the_model_finds_too_long_is_split(tmp_path: Path) -> None:
    """A text that is refused as too long gets shorter chunks, which cover all of it."""
    embedder = StrictEmbedder(40)
    async with running(tmp_path, embedder, FakeClock()) as catalog:
        outcome = await catalog.text_embedder.embed_documents([TEXT, "tea"])
        assert {} == outcome.failures
        assert {TEXT, "tea"} == outcome.embedded_texts
        prompts = catalog.text_embedder.split_into_chunks(
            TEXT, [chunk.text_hash for chunk in outcome.chunks[TEXT]]
        )
        assert [chunk.text_hash for chunk in outcome.chunks[TEXT]] == [
            prompt.text_hash for prompt in prompts
        ]
        assert set(TEXT.split()) == {word for p in prompts for word in p.text.split()}
        for prompt, chunk in zip(prompts, outcome.chunks[TEXT], strict=True):
            assert len(prompt.text.split()) <= 40
            assert prompt.text == TEXT[prompt.start : prompt.end]
            np.testing.assert_allclose(unit_vector(prompt.text), chunk.vector, atol=1e-6)


async def test_a_text_of_other_settings_has_no_chunks(tmp_path: Path) -> None:
    """Chunks are found only if their hashes are all of those that are stored, in their order."""
    embedder = StrictEmbedder(40)
    async with running(tmp_path, embedder, FakeClock()) as catalog:
        outcome = await catalog.text_embedder.embed_documents([TEXT])
        hashes = [chunk.text_hash for chunk in outcome.chunks[TEXT]]
        other = hash_text("other settings")
        split = catalog.text_embedder.split_into_chunks
        assert len(hashes) == len(split(TEXT, hashes)) > 2
        for others in ([], [other], hashes[:-1], [*hashes, other], [other, *hashes], hashes[::-1]):
            assert [] == split(TEXT, others)


async def test_a_chunk_that_was_too_long_is_not_sent_again(tmp_path: Path) -> None:
    """The same text is neither sent whole again nor paid for twice."""
    embedder = StrictEmbedder(40)
    async with running(tmp_path, embedder, FakeClock()) as catalog:
        first = await catalog.text_embedder.embed_documents([TEXT])
        batches = len(embedder.batches)
        again = await catalog.text_embedder.embed_documents([TEXT])
        assert batches == len(embedder.batches)
        assert frozenset() == again.embedded_texts
        assert [chunk.text_hash for chunk in first.chunks[TEXT]] == [
            chunk.text_hash for chunk in again.chunks[TEXT]
        ]


async def test_a_chunk_that_cannot_be_split_is_rejected(tmp_path: Path) -> None:
    """A model that finds every text too long rejects the text, after a bounded number of tries."""
    embedder = StrictEmbedder(0)
    async with running(tmp_path, embedder, FakeClock()) as catalog:
        outcome = await catalog.text_embedder.embed_documents([TEXT])
        assert isinstance(outcome.failures[TEXT], errors.TextRejected)
        assert "too long" in outcome.failures[TEXT].message
        assert len(embedder.texts) < 1_000
