"""The methods of the vector store that take vectors of the caller."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

from langchain_core.documents import Document
from langchain_core.vectorstores import VectorStore

from langchain_akin.connections import Connections
from langchain_akin.documents import (
    build_documents,
    build_items,
    check_results,
    choose_ids,
    read_hits,
)
from langchain_akin.filters import MetadataFilter, parse_filter

# The default of LangChain's vector stores.
DEFAULT_K = 4

# The default trade-off of LangChain between relevance (1) and diversity (0).
DEFAULT_LAMBDA = 0.5


class EmbeddingMethods(VectorStore):
    """Stores documents with vectors of the caller, and searches by such vectors.

    The vectors must come from the model of the catalog; Akin can check their width only.

    Attributes:
        connections: the clients of the server.
    """

    connections: Connections

    def add_embeddings(
        self,
        text_embeddings: Iterable[tuple[str, list[float]]],
        metadatas: list[dict[str, Any]] | None = None,
        ids: Sequence[str | None] | None = None,
        **options: Any,
    ) -> list[str]:
        """Store texts with vectors of your own, in place of those that Akin would make of them.

        Args:
            text_embeddings: texts, which must not be blank, each with its vector. A vector has the
                dimensions of the catalog's model, and Akin scales it to unit length.
            metadatas: the metadata of each text.
            ids: the id of each text. Default: random ones.
            **options: see `akin.options.ImportItemsOptions`.

        Returns:
            The ids, in the order of the texts.

        Raises:
            AkinError: some texts were not stored, such as those whose vector has another width; the
                others are.
            ValueError: the number of ids or metadatas is wrong, or metadata is not JSON.
        """
        pairs = list(text_embeddings)
        documents = build_documents([text for text, _ in pairs], metadatas)
        item_ids = choose_ids(documents, ids)
        items = build_items(documents, item_ids, [embedding for _, embedding in pairs])
        check_results(list(self.connections.client.import_items(items, **options)))
        return item_ids

    async def aadd_embeddings(
        self,
        text_embeddings: Iterable[tuple[str, list[float]]],
        metadatas: list[dict[str, Any]] | None = None,
        ids: Sequence[str | None] | None = None,
        **options: Any,
    ) -> list[str]:
        """Store texts with vectors of your own; see `add_embeddings`."""
        return await asyncio.to_thread(
            self.add_embeddings, text_embeddings, metadatas, ids, **options
        )

    def similarity_search_by_vector(
        self,
        embedding: list[float],
        k: int = DEFAULT_K,
        filter: MetadataFilter = None,  # noqa: A002  (the name that retrievers pass)
        **options: Any,
    ) -> list[Document]:
        """Return the documents most similar to a vector, best first; none if the catalog is empty.

        Args:
            embedding: a vector of the catalog's model, of any length but 0.
            k: the number of documents, from 1 to 1,000.
            filter: return only documents whose metadata matches; see `filters.parse_filter`.
            **options: see `akin.options.RecommendSimilarOptions`.

        Raises:
            AkinError: the vector is empty, has another width or only zeros; the message says so.
        """
        response = self.connections.client.recommend_similar(
            vector=embedding, limit=k, where=parse_filter(filter), full=True, **options
        )
        return [document for document, _ in read_hits(response)]

    def max_marginal_relevance_search_by_vector(
        self,
        embedding: list[float],
        k: int = DEFAULT_K,
        fetch_k: int = 0,  # noqa: ARG002  (part of LangChain's interface)
        lambda_mult: float = DEFAULT_LAMBDA,
        **options: Any,
    ) -> list[Document]:
        """Return diverse documents for a vector; see `max_marginal_relevance_search`."""
        return self.similarity_search_by_vector(embedding, k, diversity=1 - lambda_mult, **options)

    async def amax_marginal_relevance_search_by_vector(
        self,
        embedding: list[float],
        k: int = DEFAULT_K,
        fetch_k: int = 0,  # noqa: ARG002  (part of LangChain's interface)
        lambda_mult: float = DEFAULT_LAMBDA,
        **options: Any,
    ) -> list[Document]:
        """Return diverse documents for a vector; see `max_marginal_relevance_search`."""
        return await self.asimilarity_search_by_vector(
            embedding, k, diversity=1 - lambda_mult, **options
        )
