"""A LangChain retriever of passages."""

from __future__ import annotations

from typing import Any

import akin
from langchain_core.callbacks import (
    AsyncCallbackManagerForRetrieverRun,
    CallbackManagerForRetrieverRun,
)
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from pydantic import ConfigDict

from langchain_akin.embeddings import DEFAULT_K
from langchain_akin.filters import MetadataFilter, parse_filter
from langchain_akin.vectorstore import AkinVectorStore


class AkinRetriever(BaseRetriever):
    """Retrieves the passages of documents that are most similar to a query.

    A passage is a part of a document. Use `AkinVectorStore.as_retriever` to retrieve whole
    documents instead. The metadata of a passage has `item_id`, the id of its document, `score`, and
    the bytes of the document's text at which the passage starts and ends: `start_offset` and
    `end_offset`.

    Attributes:
        store: the vector store that contains the documents.
        k: the number of passages, from 1 to 1,000.
        limit_per_item: the maximum number of passages of one document; 0 means no maximum.
        min_score: return only passages with at least this cosine similarity, from -1 to 1.
        filter: return only passages of documents whose metadata matches.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    store: AkinVectorStore
    k: int = DEFAULT_K
    limit_per_item: int = 0
    min_score: float | None = None
    filter: Any = None

    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: CallbackManagerForRetrieverRun,  # noqa: ARG002  (part of the interface)
        k: int | None = None,
    ) -> list[Document]:
        client = self.store.connections.client
        return _read_passages(client.search_passages(query, **self._build_options(k)))

    async def _aget_relevant_documents(
        self,
        query: str,
        *,
        run_manager: AsyncCallbackManagerForRetrieverRun,  # noqa: ARG002  (part of the interface)
        k: int | None = None,
    ) -> list[Document]:
        client = self.store.connections.async_client
        return _read_passages(await client.search_passages(query, **self._build_options(k)))

    def _build_options(self, k: int | None) -> akin.options.SearchPassagesOptions:
        metadata_filter: MetadataFilter = self.filter
        return {
            "limit": k or self.k,
            "limit_per_item": self.limit_per_item,
            "min_score": self.min_score,
            "where": parse_filter(metadata_filter),
        }


def _read_passages(response: akin.SearchPassagesResponse) -> list[Document]:
    return [
        Document(
            page_content=passage.text,
            metadata={
                "item_id": passage.item_id,
                "score": passage.score,
                "start_offset": passage.start_offset,
                "end_offset": passage.end_offset,
            },
        )
        for passage in response.passages
    ]
