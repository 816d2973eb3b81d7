from collections.abc import AsyncIterator, Sequence

import numpy as np
import pytest_asyncio
from support.batchers import working

from service import errors
from service.embedding.embedder import EmbeddedText, Vector
from service.embedding.local import LocalEmbedder

TEXTS = [
    "A detective in a rainy city follows a case that powerful people want closed.",
    "tea",
    "Bread, butter & jam: 50 recipes (2nd edition)",
    "Ships, storms and long voyages around the Cape of Good Hope " * 30,
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def embedder() -> AsyncIterator[LocalEmbedder]:
    opened = LocalEmbedder()
    yield opened
    await opened.close()


async def units(embedder: LocalEmbedder, texts: Sequence[str]) -> list[Vector]:
    async with working(embedder) as batcher:
        outcomes = await batcher.embed(texts)
    return [each.vector for each in outcomes if isinstance(each, EmbeddedText)]


async def test_vectors_are_of_unit_length(embedder: LocalEmbedder) -> None:
    """Every text, short or long, gets a vector of the space's width and of length 1."""
    vectors = np.stack(await units(embedder, TEXTS))
    assert (len(TEXTS), embedder.space.dimensions) == vectors.shape
    assert np.float32 == vectors.dtype
    np.testing.assert_allclose(np.ones(len(TEXTS)), np.linalg.norm(vectors, axis=1), atol=1e-6)


async def test_a_text_always_has_the_same_vector(embedder: LocalEmbedder) -> None:
    """Embedding again, with the same model loaded anew, gives the same numbers."""
    other = LocalEmbedder()
    again = await units(other, TEXTS)
    await other.close()
    np.testing.assert_array_equal(await units(embedder, TEXTS), again)
    assert embedder.space == other.space


async def test_a_batch_gives_what_single_texts_give(embedder: LocalEmbedder) -> None:
    """A text's vector does not depend on its company."""
    together = await units(embedder, TEXTS)
    for text, vector in zip(TEXTS, together, strict=True):
        (alone,) = await units(embedder, [text])
        np.testing.assert_allclose(alone, vector, atol=1e-6)


async def test_a_full_batch_keeps_the_order(embedder: LocalEmbedder) -> None:
    """As many texts as the embedder takes at once come back in their order."""
    texts = [f"{TEXTS[n % 3]} volume {n}" for n in range(embedder.limits.texts)]
    (last,) = await units(embedder, texts[-1:])
    np.testing.assert_allclose(last, (await units(embedder, texts))[-1], atol=1e-6)


async def test_long_texts_are_not_cut(embedder: LocalEmbedder) -> None:
    """What a text says after its first 2,000 words still moves its vector."""
    start = "the history of a small village and its people " * 250
    assert 2_000 < len(start.split())
    ships, cakes = await units(embedder, [start + "ships " * 500, start + "cakes " * 500])
    (village,) = await units(embedder, [start])
    (ship,) = await units(embedder, ["ships"])
    assert ships @ ship > cakes @ ship + 0.1
    assert ships @ ship > village @ ship + 0.1


async def test_related_texts_are_nearer_than_others(embedder: LocalEmbedder) -> None:
    """A paraphrase with other words is nearer than a text about something else."""
    crime, paraphrase, baking = await units(
        embedder,
        [TEXTS[0], "a policeman investigates a murder in a wet town", "how to bake rye bread"],
    )
    assert crime @ paraphrase > crime @ baking + 0.1


async def test_a_text_without_a_known_word_is_rejected(embedder: LocalEmbedder) -> None:
    """A text the model knows no word of is rejected, and its neighbors are embedded."""
    async with working(embedder) as batcher:
        tea, unknown = await batcher.embed(["tea", "你好"])
    assert isinstance(tea, EmbeddedText)
    assert isinstance(unknown, errors.TextRejected)


async def test_the_space_names_model_and_weights(embedder: LocalEmbedder) -> None:
    """The space tells the width and, by their hash, which weights made its vectors."""
    space = embedder.space
    assert ("local", 256) == (space.provider, space.dimensions)
    name, _, weights = space.model.partition("@")
    assert ("static-minilm-256", 12) == (name, len(weights))
