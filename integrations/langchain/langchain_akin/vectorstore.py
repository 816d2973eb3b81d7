"""A LangChain vector store whose documents are the items of a catalog of Akin."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Self

from akin.filters import any_of, exists
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings

from langchain_akin.connections import Connections
from langchain_akin.documents import (
    build_document,
    build_items,
    check_results,
    choose_ids,
    read_hits,
    split_ids,
)
from langchain_akin.embeddings import DEFAULT_K, DEFAULT_LAMBDA, EmbeddingMethods
from langchain_akin.filters import MetadataFilter, parse_filter

# The address that `akin serve` listens on by default.
DEFAULT_ADDRESS = "127.0.0.1:50051"

# Akin refuses to delete by a filter without conditions.
_ANY_ITEM = any_of(exists("id"), exists("id", present=False))


class AkinVectorStore(EmbeddingMethods):
    """Documents in a catalog of Akin: the page content is the text, the metadata the attributes.

    Akin embeds the documents and the queries itself. `add_embeddings` stores vectors of your own
    instead, and the searches by a vector take such vectors. Both must come from the model of the
    catalog, of which Akin can check the width only. Every call may raise `akin.AkinError`.

    Args:
        address: `host:port` of the server.
        **options: the keyword arguments of `akin.Client`: `catalog`, `api_key`, `tls`,
            `timeout_seconds` and `idle_timeout_seconds`. The catalog must exist.
    """

    def __init__(self, address: str = DEFAULT_ADDRESS, **options: Any) -> None:
        self.connections = Connections(address, **options)

    @classmethod
    def from_texts(
        cls,
        texts: list[str],
        embedding: Embeddings | None = None,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        address: str = DEFAULT_ADDRESS,
        **options: Any,
    ) -> Self:
        """Return a vector store after adding texts to it.

        Args:
            texts: the texts.
            embedding: must be None, because Akin embeds the texts itself; see `add_embeddings`.
            metadatas: the metadata of each text.
            ids: the id of each text.
            address: `host:port` of the server.
            **options: the keyword arguments of `akin.Client`.

        Raises:
            ValueError: `embedding` is not None.
        """
        _refuse_embeddings(embedding)
        store = cls(address, **options)
        store.add_texts(texts, metadatas, ids=ids)
        return store

    @classmethod
    async def afrom_texts(
        cls,
        texts: list[str],
        embedding: Embeddings | None = None,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        address: str = DEFAULT_ADDRESS,
        **options: Any,
    ) -> Self:
        """Return a vector store after adding texts to it; see `from_texts`."""
        _refuse_embeddings(embedding)
        store = cls(address, **options)
        await store.aadd_texts(texts, metadatas, ids=ids)
        return store

    def close(self) -> None:
        """Close the connections of the blocking methods."""
        self.connections.close()

    async def aclose(self) -> None:
        """Close the connections of the blocking methods and of the running event loop."""
        await self.connections.aclose()

    def add_documents(
        self, documents: list[Document], ids: Sequence[str | None] | None = None, **options: Any
    ) -> list[str]:
        """Store documents, and replace those with the same ids.

        Args:
            documents: the documents; their page content must not be blank.
            ids: ids of the documents. Default: those of the documents, or random ones.
            **options: see `akin.options.ImportItemsOptions`. With `require_indexed`, a document
                that cannot be embedded now fails, instead of being stored and embedded later.

        Returns:
            The ids, in the order of the documents.

        Raises:
            AkinError: some documents were not stored; the others are.
            ValueError: the number of ids is wrong, or metadata is not JSON.
        """
        item_ids = choose_ids(documents, ids)
        items = build_items(documents, item_ids)
        check_results(list(self.connections.client.import_items(items, **options)))
        return item_ids

    async def aadd_documents(
        self, documents: list[Document], ids: Sequence[str | None] | None = None, **options: Any
    ) -> list[str]:
        """Store documents, and replace those with the same ids; see `add_documents`."""
        item_ids = choose_ids(documents, ids)
        items = build_items(documents, item_ids)
        results = self.connections.async_client.import_items(items, **options)
        check_results([result async for result in results])
        return item_ids

    def delete(self, ids: list[str] | None = None, **options: Any) -> bool:
        """Delete documents, and return true.

        Args:
            ids: ids of the documents; ids without a document are ignored. None: delete all
                documents of the catalog.
            **options: see `akin.options.BatchDeleteItemsOptions`.
        """
        client = self.connections.client
        if ids is None:
            client.batch_delete_items(where=_ANY_ITEM, **options)
        for group in split_ids(ids or []):
            client.batch_delete_items(group, **options)
        return True

    async def adelete(self, ids: list[str] | None = None, **options: Any) -> bool:
        """Delete documents, and return true; see `delete`."""
        client = self.connections.async_client
        if ids is None:
            await client.batch_delete_items(where=_ANY_ITEM, **options)
        for group in split_ids(ids or []):
            await client.batch_delete_items(group, **options)
        return True

    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """Return the documents with these ids; ids without a document are ignored."""
        client = self.connections.client
        responses = [client.batch_get_items(group) for group in split_ids(ids)]
        return [build_document(item) for response in responses for item in response.items]

    async def aget_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """Return the documents with these ids; ids without a document are ignored."""
        client = self.connections.async_client
        responses = [await client.batch_get_items(group) for group in split_ids(ids)]
        return [build_document(item) for response in responses for item in response.items]

    def similarity_search_with_score(
        self,
        query: str,
        k: int = DEFAULT_K,
        filter: MetadataFilter = None,  # noqa: A002  (the name that retrievers pass)
        **options: Any,
    ) -> list[tuple[Document, float]]:
        """Return the documents most similar to a text, with their scores, best first.

        Args:
            query: the text.
            k: the number of documents, from 1 to 1,000.
            filter: return only documents whose metadata matches; see `filters.parse_filter`.
            **options: see `akin.options.RecommendSimilarOptions`, such as `min_score`,
                `diversity` and `max_similarity`.

        Returns:
            Documents with the cosine similarity of their text to the query, from -1 to 1.
        """
        response = self.connections.client.recommend_similar(
            text=query, limit=k, where=parse_filter(filter), full=True, **options
        )
        return read_hits(response)

    async def asimilarity_search_with_score(
        self,
        query: str,
        k: int = DEFAULT_K,
        filter: MetadataFilter = None,  # noqa: A002  (the name that retrievers pass)
        **options: Any,
    ) -> list[tuple[Document, float]]:
        """Return the documents most similar to a text; see `similarity_search_with_score`."""
        response = await self.connections.async_client.recommend_similar(
            text=query, limit=k, where=parse_filter(filter), full=True, **options
        )
        return read_hits(response)

    def similarity_search(self, query: str, k: int = DEFAULT_K, **options: Any) -> list[Document]:
        """Return the documents most similar to a text; see `similarity_search_with_score`."""
        hits = self.similarity_search_with_score(query, k, **options)
        return [document for document, _ in hits]

    async def asimilarity_search(
        self, query: str, k: int = DEFAULT_K, **options: Any
    ) -> list[Document]:
        """Return the documents most similar to a text; see `similarity_search_with_score`."""
        hits = await self.asimilarity_search_with_score(query, k, **options)
        return [document for document, _ in hits]

    def max_marginal_relevance_search(
        self,
        query: str,
        k: int = DEFAULT_K,
        fetch_k: int = 0,  # noqa: ARG002  (part of LangChain's interface)
        lambda_mult: float = DEFAULT_LAMBDA,
        **options: Any,
    ) -> list[Document]:
        """Return documents that are similar to a text and differ from each other.

        Args:
            query: the text.
            k: the number of documents, from 1 to 1,000.
            fetch_k: ignored, because Akin chooses how many candidates to compare.
            lambda_mult: from 0 for the most diverse documents to 1 for the most similar ones.
            **options: see `similarity_search_with_score`.
        """
        return self.similarity_search(query, k, diversity=1 - lambda_mult, **options)

    async def amax_marginal_relevance_search(
        self,
        query: str,
        k: int = DEFAULT_K,
        fetch_k: int = 0,  # noqa: ARG002  (part of LangChain's interface)
        lambda_mult: float = DEFAULT_LAMBDA,
        **options: Any,
    ) -> list[Document]:
        """Return diverse documents; see `max_marginal_relevance_search`."""
        return await self.asimilarity_search(query, k, diversity=1 - lambda_mult, **options)

    def _select_relevance_score_fn(self) -> Callable[[float], float]:
        """Return the function from Akin's scores to LangChain's relevance, from 0 to 1."""
        return lambda score: min(max(score, 0.0), 1.0)


def _refuse_embeddings(embedding: Embeddings | None) -> None:
    if embedding is not None:
        raise ValueError(
            "Akin embeds texts itself: pass embedding=None, or store vectors of your own with "
            "add_embeddings"
        )
