import hashlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio
from support.batchers import working

from service import errors
from service.embedding import local
from service.embedding.embedder import EmbeddedText, Vector
from service.embedding.local import FORMER_LOCAL_MODEL, LOCAL_MODEL, LocalEmbedder

FOLDER = Path(local.__file__).parent
MODEL_FOLDERS = {LOCAL_MODEL: FOLDER / "model", FORMER_LOCAL_MODEL: FOLDER / "former_model"}

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


async def embed(embedder: LocalEmbedder, texts: Sequence[str]) -> list[Vector]:
    async with working(embedder) as batcher:
        outcomes = await batcher.embed(texts)
    return [outcome.vector for outcome in outcomes if isinstance(outcome, EmbeddedText)]


async def test_vectors_are_of_unit_length(embedder: LocalEmbedder) -> None:
    """Every text, short or long, has a unit vector with the dimensions of the space."""
    vectors = np.stack(await embed(embedder, TEXTS))
    assert (len(TEXTS), embedder.space.dimensions) == vectors.shape
    assert np.float32 == vectors.dtype
    np.testing.assert_allclose(np.ones(len(TEXTS)), np.linalg.norm(vectors, axis=1), atol=1e-6)


async def test_a_text_always_has_the_same_vector(embedder: LocalEmbedder) -> None:
    """A second embedder with the same model returns the same numbers."""
    other = LocalEmbedder()
    again = await embed(other, TEXTS)
    await other.close()
    np.testing.assert_array_equal(await embed(embedder, TEXTS), again)
    assert embedder.space == other.space


async def test_a_batch_gives_what_single_texts_give(embedder: LocalEmbedder) -> None:
    """The vector of a text does not depend on the other texts of its batch."""
    batch = await embed(embedder, TEXTS)
    for text, vector in zip(TEXTS, batch, strict=True):
        (single,) = await embed(embedder, [text])
        np.testing.assert_allclose(single, vector, atol=1e-6)


async def test_a_full_batch_keeps_the_order(embedder: LocalEmbedder) -> None:
    """The vectors of a full batch are in the order of the texts."""
    texts = [f"{TEXTS[n % 3]} volume {n}" for n in range(embedder.limits.texts)]
    (last,) = await embed(embedder, texts[-1:])
    np.testing.assert_allclose(last, (await embed(embedder, texts))[-1], atol=1e-6)


async def test_long_texts_are_not_truncated(embedder: LocalEmbedder) -> None:
    """Words after the first 2,000 words of a text still move its vector."""
    start = "the history of a small village and its people " * 250
    assert 2_000 < len(start.split())
    ships, cakes = await embed(embedder, [start + "ships " * 500, start + "cakes " * 500])
    (village,) = await embed(embedder, [start])
    (ship,) = await embed(embedder, ["ships"])
    assert ships @ ship > cakes @ ship + 0.1
    assert ships @ ship > village @ ship + 0.1


async def test_related_texts_are_nearer_than_others(embedder: LocalEmbedder) -> None:
    """A paraphrase is more similar than a text about another subject."""
    crime, paraphrase, baking = await embed(
        embedder,
        [TEXTS[0], "a policeman investigates a murder in a wet town", "how to bake rye bread"],
    )
    assert crime @ paraphrase > crime @ baking + 0.1


async def test_a_text_without_a_known_word_is_rejected(embedder: LocalEmbedder) -> None:
    """A text without a known word is rejected; other texts of its batch are embedded."""
    async with working(embedder) as batcher:
        tea, unknown = await batcher.embed(["tea", "你好"])
    assert isinstance(tea, EmbeddedText)
    assert isinstance(unknown, errors.TextRejected)


@pytest.mark.parametrize("model", [LOCAL_MODEL, FORMER_LOCAL_MODEL])
async def test_the_card_of_a_model_has_the_checksum_of_its_weights(model: str) -> None:
    """Each local model has a license and a card, which names the weights that are used."""
    folder = MODEL_FOLDERS[model]
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    assert f"`{digest}`" in (folder / "MODEL_CARD.md").read_text()
    assert "Apache License" in (folder / "LICENSE").read_text()
    assert f"{model}@{digest[:12]}" == LocalEmbedder(model=model).space.model


async def test_the_space_names_model_and_weights(embedder: LocalEmbedder) -> None:
    """The space has the dimensions, the model's name and the digest of its weights."""
    space = embedder.space
    assert ("local", 256) == (space.provider, space.dimensions)
    name, _, digest = space.model.partition("@")
    assert ("static-minilm-256-v2", 12) == (name, len(digest))
