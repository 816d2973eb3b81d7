"""Texts to vectors by the cheapest way: from memory, from the store, or from the embedder.

Nothing is paid for twice: what the store has is never embedded again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from service import errors
from service.domain.values import EmbeddingUsage, text_hash
from service.embedding.base import Vector
from service.embedding.batcher import Batcher
from service.embedding.cache import VectorCache
from service.storage import Store
from service.storage.store import CatalogRow


@dataclass(frozen=True, slots=True)
class TextVectors:
    """The outcome for a set of texts.

    `vectors` and `failures` go by text and share no key; `embedded` names the texts whose vectors
    are new, and so not in the store yet.
    """

    vectors: Mapping[str, Vector]
    failures: Mapping[str, errors.AkinError]
    embedded: frozenset[str]
    usage: EmbeddingUsage


class Vectoriser:
    """Gets unit vectors for the texts of one catalog."""

    def __init__(
        self, store: Store, catalog: CatalogRow, batcher: Batcher, cache: VectorCache
    ) -> None:
        self._store = store
        self._catalog = catalog
        self._batcher = batcher
        self._cache = cache

    async def vectors(self, texts: Iterable[str]) -> TextVectors:
        """Gets the vector of each text, or why there is none.

        Raises:
            Overloaded: too many texts wait to be embedded.
        """
        hashes = {text: text_hash(text) for text in texts}
        found = self._remembered(hashes)
        if len(found) < len(hashes):
            missing = {key: text for text, key in hashes.items() if text not in found}
            stored = await self._store.vectors(self._catalog, list(missing))
            for key, vector in stored.items():
                self._cache.put(key, vector)
                found[missing[key]] = vector
            # Others may have had these embedded while the store was read.
            left = {text: key for key, text in missing.items() if key not in stored}
            found |= self._remembered(left)
        unknown = [text for text in hashes if text not in found]
        return await self._embed(unknown, found, hashes)

    async def vector(self, text: str, field: str) -> tuple[Vector, EmbeddingUsage]:
        """The vector of one text.

        Raises:
            InvalidRequest: the text of `field` can never be embedded.
            AkinError: it cannot be embedded for now.
        """
        outcome = await self.vectors([text])
        if text in outcome.failures:
            raise at_field(outcome.failures[text], field)
        return outcome.vectors[text], outcome.usage

    def _remembered(self, hashes: Mapping[str, bytes]) -> dict[str, Vector]:
        cached = ((text, self._cache.get(key)) for text, key in hashes.items())
        return {text: vector for text, vector in cached if vector is not None}

    async def _embed(
        self, unknown: Sequence[str], found: dict[str, Vector], hashes: Mapping[str, bytes]
    ) -> TextVectors:
        failures: dict[str, errors.AkinError] = {}
        tokens = cost = 0.0
        outcomes = await self._batcher.embed(unknown) if unknown else []
        for text, outcome in zip(unknown, outcomes, strict=True):
            if isinstance(outcome, errors.AkinError):
                failures[text] = outcome
                continue
            found[text] = outcome.vector
            self._cache.put(hashes[text], outcome.vector)
            tokens += outcome.prompt_tokens
            cost += outcome.cost_usd
        usage = EmbeddingUsage(len(hashes), len(hashes) - len(unknown), round(tokens), cost)
        return TextVectors(found, failures, frozenset(unknown) - frozenset(failures), usage)


def at_field(error: errors.AkinError, field: str) -> errors.AkinError:
    """The error as the caller of `field` shall see it."""
    if isinstance(error, errors.TextRejected):
        return errors.invalid(field, error.message)
    return error
