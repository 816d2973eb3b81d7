"""The outcome of embedding a set of texts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from service import errors
from service.domain.usage import EmbeddingUsage
from service.domain.vectors import Chunk
from service.embedding.embedder import Vector


@dataclass(frozen=True, slots=True)
class TextVectors:
    """The outcome for a set of texts.

    Every text is a key of either `chunks` or `failures`. `embedded_texts` are the texts of `chunks`
    that the embedder had to embed, at least in part.
    """

    chunks: Mapping[str, Sequence[Chunk]]
    failures: Mapping[str, errors.AkinError]
    embedded_texts: frozenset[str]
    usage: EmbeddingUsage

    def stack_vectors(self, text: str) -> Vector:
        """Return the vectors of a text's chunks, float32 [chunks, dimensions]."""
        return np.stack([chunk.vector for chunk in self.chunks[text]])

    def list_chunks(self, texts: Iterable[str]) -> list[Chunk]:
        """Return the chunks of these texts, without those that have none."""
        return [chunk for text in texts for chunk in self.chunks.get(text, ())]

    def is_final(self, texts: Iterable[str]) -> bool:
        """Return whether each of these texts has its vectors, or an error that is due to itself."""
        failures = (self.failures[text] for text in texts if text in self.failures)
        return all(isinstance(failure, errors.TEXT_ERRORS) for failure in failures)

    def by_document(
        self, documents: Mapping[str, str], failures: Mapping[str, errors.AkinError]
    ) -> TextVectors:
        """Return the outcome of documents instead of their plain texts.

        Args:
            documents: the plain text of each document that has one.
            failures: the errors of the other documents.
        """
        chunks = {
            text: self.chunks[plain] for text, plain in documents.items() if plain in self.chunks
        }
        plain_failures = {
            text: self.failures[plain]
            for text, plain in documents.items()
            if plain in self.failures
        }
        embedded = {text for text, plain in documents.items() if plain in self.embedded_texts}
        return TextVectors(chunks, {**failures, **plain_failures}, frozenset(embedded), self.usage)
