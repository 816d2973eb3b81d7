"""A Haystack component that retrieves documents by text."""

from __future__ import annotations

import asyncio
from typing import Any, Self

from haystack import Document, component, default_from_dict, default_to_dict
from haystack.document_stores.types import FilterPolicy, apply_filter_policy

from haystack_akin.document_store import AkinDocumentStore

# The default of Haystack's retrievers.
_TOP_K = 10


@component
class AkinRetriever:
    """Retrieves the documents most similar to a query, which is a text or a vector.

    Akin embeds a text itself, without a text embedder before it.

    Args:
        document_store: the store that contains the documents.
        filters: retrieve only documents whose metadata match.
        top_k: the number of documents, from 1 to 1,000.
        filter_policy: whether filters of `run` replace those of the constructor, or are merged.
        min_score: retrieve only documents with at least this cosine similarity, from -1 to 1.
        diversity: how much the documents differ from each other, from 0 to 1.
        max_similarity: leave out near-duplicates of a better document whose cosine similarity is
            at least this, from -1 to 1.
    """

    def __init__(  # noqa: PLR0913, PLR0917  (Haystack configures components by their constructors)
        self,
        document_store: AkinDocumentStore,
        filters: dict[str, Any] | None = None,
        top_k: int = _TOP_K,
        filter_policy: FilterPolicy = FilterPolicy.REPLACE,
        min_score: float | None = None,
        diversity: float = 0.0,
        max_similarity: float | None = None,
    ) -> None:
        self.document_store = document_store
        self.filters = filters
        self.top_k = top_k
        self.filter_policy = filter_policy
        self.min_score = min_score
        self.diversity = diversity
        self.max_similarity = max_similarity

    def to_dict(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return default_to_dict(
            self,
            document_store=self.document_store.to_dict(),
            filters=self.filters,
            top_k=self.top_k,
            filter_policy=self.filter_policy.value,
            min_score=self.min_score,
            diversity=self.diversity,
            max_similarity=self.max_similarity,
        )

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Return the retriever of a dictionary that `to_dict` returned."""
        arguments = data["init_parameters"]
        if isinstance(arguments["document_store"], dict):
            arguments["document_store"] = AkinDocumentStore.from_dict(arguments["document_store"])
        if "filter_policy" in arguments:
            arguments["filter_policy"] = FilterPolicy.from_str(arguments["filter_policy"])
        retriever: Self = default_from_dict(cls, data)
        return retriever

    @component.output_types(documents=list[Document])
    def run(
        self,
        query: str | None = None,
        filters: dict[str, Any] | None = None,
        top_k: int | None = None,
        query_embedding: list[float] | None = None,
    ) -> dict[str, list[Document]]:
        """Return the documents most similar to a query, best first.

        Args:
            query: the text.
            filters: filters that replace those of the constructor, or are merged with them.
            top_k: the number of documents. Default: that of the constructor.
            query_embedding: a vector of the catalog's model, in place of the text.

        Returns:
            `documents`, whose scores are cosine similarities from -1 to 1.

        Raises:
            ValueError: there is no query, or a text and a vector.
        """
        documents = self.document_store.search(
            _choose_query(query, query_embedding),
            apply_filter_policy(self.filter_policy, self.filters, filters),
            self.top_k if top_k is None else top_k,
            min_score=self.min_score,
            diversity=self.diversity,
            max_similarity=self.max_similarity,
        )
        return {"documents": documents}

    @component.output_types(documents=list[Document])
    async def run_async(
        self,
        query: str | None = None,
        filters: dict[str, Any] | None = None,
        top_k: int | None = None,
        query_embedding: list[float] | None = None,
    ) -> dict[str, list[Document]]:
        """Return the documents most similar to a query; see `run`."""
        documents: dict[str, list[Document]]
        documents = await asyncio.to_thread(self.run, query, filters, top_k, query_embedding)
        return documents


def _choose_query(query: str | None, query_embedding: list[float] | None) -> str | list[float]:
    if query is not None and query_embedding is None:
        return query
    if query_embedding is not None and query is None:
        return query_embedding
    raise ValueError("the retriever needs either query or query_embedding")
