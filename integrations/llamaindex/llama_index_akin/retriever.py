"""A LlamaIndex retriever that needs neither an index nor an embedding model."""

from __future__ import annotations

from typing import Any

from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.schema import NodeWithScore, QueryBundle
from llama_index.core.vector_stores.types import (
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryResult,
)

from llama_index_akin.vector_store import AkinVectorStore

# The default of LlamaIndex's retrievers.
_TOP_K = 2


class AkinRetriever(BaseRetriever):
    """Retrieves the nodes of a vector store that are most similar to a query.

    Args:
        store: the vector store.
        similarity_top_k: the number of nodes, from 1 to 1,000.
        filters: retrieve only nodes with this metadata.
        **options: see `akin.options.RecommendSimilarOptions`, such as `min_score`, `diversity` and
            `max_similarity`.
    """

    def __init__(
        self,
        store: AkinVectorStore,
        similarity_top_k: int = _TOP_K,
        filters: MetadataFilters | None = None,
        **options: Any,
    ) -> None:
        super().__init__()
        self._store = store
        self._top_k = similarity_top_k
        self._filters = filters
        self._options = options

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return _read_hits(self._store.query(self._build_query(query_bundle), **self._options))

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        query = self._build_query(query_bundle)
        return _read_hits(await self._store.aquery(query, **self._options))

    def _build_query(self, query_bundle: QueryBundle) -> VectorStoreQuery:
        return VectorStoreQuery(
            query_str=query_bundle.query_str,
            similarity_top_k=self._top_k,
            filters=self._filters,
        )


def _read_hits(result: VectorStoreQueryResult) -> list[NodeWithScore]:
    pairs = zip(result.nodes or (), result.similarities or (), strict=True)
    return [NodeWithScore(node=node, score=score) for node, score in pairs]
