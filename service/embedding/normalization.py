"""Turns the vectors of a response into unit vectors."""

from __future__ import annotations

import math

import numpy as np

from service import errors
from service.embedding.embedder import EmbeddedText, Embeddings
from service.embedding.errors import NO_VECTOR


def normalize_batch(
    embeddings: Embeddings, text_count: int, dimensions: int
) -> list[EmbeddedText | errors.AkinError]:
    """Return the unit vector of each text of a batch.

    A text has TextRejected for a row of zeros, and TextFailed for numbers that are not finite.

    Raises:
        EmbeddingUnavailable: the vectors have the wrong shape.
    """
    vectors = np.asarray(embeddings.vectors, np.float32)
    if vectors.shape != (text_count, dimensions):
        raise errors.EmbeddingUnavailable(
            f"the embedder returned vectors of shape {vectors.shape} instead of "
            f"{(text_count, dimensions)}"
        )
    # In float64, where the squares of large numbers do not overflow.
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    with np.errstate(invalid="ignore"):  # infinite numbers, which are checked below
        normalized = (vectors / np.maximum(lengths, np.finfo(np.float32).tiny)).astype(np.float32)
    tokens = embeddings.prompt_tokens / max(text_count, 1)
    cost_usd = embeddings.cost_usd / max(text_count, 1)
    outcomes: list[EmbeddedText | errors.AkinError] = []
    for vector, length in zip(normalized, lengths[:, 0].tolist(), strict=True):
        if not math.isfinite(length):
            outcomes.append(errors.TextFailed(NO_VECTOR))
        elif length == 0:
            outcomes.append(errors.TextRejected("has no word that the embedding model knows"))
        else:
            # A copy, because a view would keep the whole batch in memory.
            outcomes.append(EmbeddedText(vector.copy(), tokens, cost_usd))
    return outcomes
