"""A LlamaIndex vector store whose nodes are the items of a catalog of Akin."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any

import akin
from akin.filters import equals, one_of
from llama_index.core.bridge.pydantic import PrivateAttr
from llama_index.core.schema import BaseNode
from llama_index.core.vector_stores.types import (
    BasePydanticVectorStore,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryMode,
    VectorStoreQueryResult,
)

from llama_index_akin.filters import ANY_ITEM, join_filters, translate_filters
from llama_index_akin.nodes import NODE_ID, REF_DOC_ID, build_item, build_node, check_results

# The largest page of ListItems.
_PAGE_ITEMS = 1_000

# The default trade-off of LlamaIndex between similarity (1) and diversity (0).
_MMR_THRESHOLD = 0.5


class AkinVectorStore(BasePydanticVectorStore):
    """Nodes in a catalog of Akin: the text is embedded, and the metadata are the attributes.

    Akin embeds nodes and queries itself, and ignores their embeddings unless `use_embeddings` is
    set. Every call may raise `akin.AkinError`. The methods for asyncio run the blocking ones in a
    thread.

    Args:
        address: `host:port` of the server.
        use_embeddings: store the embeddings of nodes in place of the vectors that Akin would make
            of their texts, and search by those of queries. They must come from the model of the
            catalog; Akin can check their width only. Nodes and queries without an embedding are
            embedded by Akin.
        options: the keyword arguments of `akin.Client`: `catalog`, `api_key`, `tls`,
            `timeout_seconds` and `idle_timeout_seconds`. The catalog must exist.
    """

    stores_text: bool = True
    is_embedding_query: bool = False
    address: str

    _client: akin.Client = PrivateAttr()

    def __init__(
        self, address: str = "127.0.0.1:50051", *, use_embeddings: bool = False, **options: Any
    ) -> None:
        super().__init__(stores_text=True, is_embedding_query=use_embeddings, address=address)
        self._client = akin.Client(address, **options)

    @property
    def client(self) -> akin.Client:
        """The client of the server."""
        return self._client

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def add(self, nodes: Sequence[BaseNode], **options: Any) -> list[str]:
        """Store nodes, replace those with the same ids, and return the ids.

        Args:
            nodes: the nodes; their texts must not be blank.
            **options: see `akin.options.ImportItemsOptions`.

        Raises:
            AkinError: some nodes were not stored; the others are.
            ValueError: metadata has a value that is not a JSON value.
        """
        items = [build_item(node, with_embedding=self.is_embedding_query) for node in nodes]
        return check_results(list(self._client.import_items(items, **options)))

    def get_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None
    ) -> list[BaseNode]:
        """Return the nodes with certain ids and metadata, by ascending id.

        Args:
            node_ids: ids of up to 1,000 nodes. Default: all ids.
            filters: filters on metadata. Default: all nodes.
        """
        if node_ids == []:
            return []
        return [build_node(item) for item in self._list_items(_select(node_ids, filters))]

    def delete(self, ref_doc_id: str, **_options: Any) -> None:
        """Delete the nodes of a document."""
        self._client.batch_delete_items(where=equals(REF_DOC_ID, ref_doc_id))

    def delete_nodes(
        self,
        node_ids: list[str] | None = None,
        filters: MetadataFilters | None = None,
        **_options: Any,
    ) -> None:
        """Delete the nodes with certain ids and metadata.

        Args:
            node_ids: ids of up to 1,000 nodes.
            filters: filters on metadata.

        Raises:
            ValueError: neither is given; use `clear` to delete all nodes.
        """
        if node_ids == []:
            return
        where = _select(node_ids, filters)
        if where is None:
            raise ValueError("delete_nodes needs node_ids or filters; clear deletes all nodes")
        self._client.batch_delete_items(where=where)

    def clear(self) -> None:
        """Delete all nodes of the catalog."""
        self._client.batch_delete_items(where=ANY_ITEM)

    def query(self, query: VectorStoreQuery, **options: Any) -> VectorStoreQueryResult:
        """Return the nodes most similar to a text, with cosine similarities, best first.

        Args:
            query: a query with `query_str`, in the mode DEFAULT or MMR. With `use_embeddings`, its
                embedding is used if there is one, and ignored otherwise.
            **options: see `akin.options.RecommendSimilarOptions`, such as `min_score` and
                `max_similarity`.

        Raises:
            ValueError: the query has no text, another mode, or a filter that Akin lacks.
        """
        embedding = query.query_embedding if self.is_embedding_query else None
        if not embedding and not query.query_str:
            raise ValueError("Akin embeds queries itself: the query needs query_str")
        # VectorStoreIndex passes empty lists for no restriction.
        documents = one_of(REF_DOC_ID, query.doc_ids) if query.doc_ids else None
        response = self._client.recommend_similar(
            text=None if embedding else query.query_str,
            vector=embedding or None,
            limit=query.similarity_top_k,
            where=join_filters([documents, _select(query.node_ids or None, query.filters)]),
            diversity=_choose_diversity(query),
            full=True,
            **options,
        )
        hits = response.recommendations
        return VectorStoreQueryResult(
            nodes=[build_node(hit.item) for hit in hits],
            similarities=[hit.score for hit in hits],
            ids=[hit.item_id for hit in hits],
        )

    async def async_add(self, nodes: Sequence[BaseNode], **options: Any) -> list[str]:
        """Store nodes; see `add`."""
        return await asyncio.to_thread(self.add, nodes, **options)

    async def aget_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None
    ) -> list[BaseNode]:
        """Return nodes; see `get_nodes`."""
        return await asyncio.to_thread(self.get_nodes, node_ids, filters)

    async def adelete(self, ref_doc_id: str, **options: Any) -> None:
        """Delete the nodes of a document."""
        await asyncio.to_thread(self.delete, ref_doc_id, **options)

    async def adelete_nodes(
        self,
        node_ids: list[str] | None = None,
        filters: MetadataFilters | None = None,
        **options: Any,
    ) -> None:
        """Delete nodes; see `delete_nodes`."""
        await asyncio.to_thread(self.delete_nodes, node_ids, filters, **options)

    async def aclear(self) -> None:
        """Delete all nodes of the catalog."""
        await asyncio.to_thread(self.clear)

    async def aquery(self, query: VectorStoreQuery, **options: Any) -> VectorStoreQueryResult:
        """Return the nodes most similar to a text; see `query`."""
        return await asyncio.to_thread(self.query, query, **options)

    def _list_items(self, where: akin.Filter | None) -> Iterator[akin.Item]:
        token = ""
        while True:
            page = self._client.list_items(_PAGE_ITEMS, token, where=where)
            yield from page.items
            token = page.next_page_token
            if not token:
                return


def _select(node_ids: Sequence[str] | None, filters: MetadataFilters | None) -> akin.Filter | None:
    ids = None if node_ids is None else one_of(NODE_ID, node_ids)
    return join_filters([ids, translate_filters(filters)])


def _choose_diversity(query: VectorStoreQuery) -> float:
    match query.mode:
        case VectorStoreQueryMode.DEFAULT:
            return 0.0
        case VectorStoreQueryMode.MMR:
            threshold = query.mmr_threshold
            return 1 - (_MMR_THRESHOLD if threshold is None else threshold)
        case _:
            raise ValueError(f"Akin has no query mode {query.mode.value!r}; use default or mmr")
