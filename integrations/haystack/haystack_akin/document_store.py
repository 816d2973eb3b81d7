"""A Haystack document store whose documents are the items of a catalog of Akin."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import akin
from haystack import Document, default_from_dict, default_to_dict
from haystack.document_stores.errors import DuplicateDocumentError
from haystack.document_stores.types import DuplicatePolicy
from haystack.utils import Secret

from haystack_akin.documents import build_attributes, build_document, build_item, check_results
from haystack_akin.filters import ANY_ITEM, translate_filters

logger = logging.getLogger(__name__)

# The largest page of ListItems, and the most ids of BatchGetItems and BatchDeleteItems.
_BATCH_ITEMS = 1_000


class AkinDocumentStore:
    """Documents in a catalog of Akin: the content is the text, and the metadata the attributes.

    Akin embeds documents itself, and stores their embeddings only with `use_embeddings`. Every call
    may raise `akin.AkinError`. The methods for asyncio run the blocking ones in a thread.

    Args:
        address: `host:port` of the server.
        catalog: name of the catalog, which must exist; empty means `default`.
        api_key: key to send with each call; without TLS, only to a server on this machine.
        tls: connect with TLS.
        tls_ca_file: CA bundle (PEM) for verifying the server. Default: the bundle of gRPC.
        use_embeddings: store the embeddings of documents in place of the vectors that Akin would
            make of their contents. They must come from the model of the catalog; Akin can check
            their width only. Akin embeds documents without an embedding.
    """

    def __init__(
        self,
        address: str = "127.0.0.1:50051",
        *,
        catalog: str = "",
        api_key: Secret | None = None,
        tls: bool = False,
        tls_ca_file: str | None = None,
        use_embeddings: bool = False,
    ) -> None:
        self.address = address
        self.catalog = catalog
        self.api_key = api_key
        self.tls = tls
        self.tls_ca_file = tls_ca_file
        self.use_embeddings = use_embeddings
        ca = None if tls_ca_file is None else Path(tls_ca_file).read_bytes()
        self.client = akin.Client(
            address,
            catalog=catalog,
            api_key=(api_key.resolve_value() or "") if api_key else "",
            tls=akin.Tls(ca) if tls or ca else None,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the arguments of the constructor, without the value of the key."""
        return default_to_dict(
            self,
            address=self.address,
            catalog=self.catalog,
            api_key=self.api_key.to_dict() if self.api_key else None,
            tls=self.tls,
            tls_ca_file=self.tls_ca_file,
            use_embeddings=self.use_embeddings,
        )

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Return the store of a dictionary that `to_dict` returned."""
        arguments = data.get("init_parameters", {})
        if isinstance(arguments.get("api_key"), dict):
            arguments["api_key"] = Secret.from_dict(arguments["api_key"])
        store: Self = default_from_dict(cls, data)
        return store

    def close(self) -> None:
        """Close the connections."""
        self.client.close()

    def count_documents(self) -> int:
        """Return the number of documents."""
        return self.client.get_catalog().item_count

    def filter_documents(self, filters: dict[str, Any] | None = None) -> list[Document]:
        """Return the documents whose metadata match, by ascending id.

        Raises:
            FilterError: the filters are invalid, or test other fields than metadata.
        """
        where = translate_filters(filters)
        return [build_document(item) for item in self._list_items(where)]

    def write_documents(
        self, documents: list[Document], policy: DuplicatePolicy = DuplicatePolicy.NONE
    ) -> int:
        """Store documents, and return how many.

        Args:
            documents: documents with content.
            policy: what to do with documents whose ids exist. NONE means FAIL.

        Raises:
            AkinError: some documents were not stored; the others are.
            DuplicateDocumentError: the policy is FAIL, and an id exists; nothing is stored.
            ValueError: the argument is not a list of documents with content and JSON metadata.
        """
        _check_documents(documents, use_embeddings=self.use_embeddings)
        if policy != DuplicatePolicy.OVERWRITE:
            documents = self._drop_duplicates(documents, fail=policy != DuplicatePolicy.SKIP)
        items = [build_item(document, with_embedding=self.use_embeddings) for document in documents]
        check_results(list(self.client.import_items(items)))
        return len(items)

    def delete_documents(self, document_ids: list[str]) -> None:
        """Delete documents; ids without a document are ignored."""
        for group in _split(document_ids):
            self.client.batch_delete_items(group)

    def delete_all_documents(self) -> None:
        """Delete all documents of the catalog."""
        self.client.batch_delete_items(where=ANY_ITEM)

    def delete_by_filter(self, filters: dict[str, Any]) -> int:
        """Delete the documents whose metadata match, and return how many.

        Raises:
            ValueError: there are no filters; use `delete_all_documents`.
        """
        return self.client.batch_delete_items(where=_require(filters)).deleted_count

    def update_by_filter(self, filters: dict[str, Any], meta: dict[str, Any]) -> int:
        """Set metadata fields of the documents that match, and return how many.

        Args:
            filters: filters on metadata.
            meta: the fields to set; other fields stay as they are.

        Raises:
            ValueError: there are no filters, or `meta` is not JSON.
        """
        documents = [build_document(item) for item in self._list_items(_require(filters))]
        for document in documents:
            attributes = build_attributes({**document.meta, **meta})
            self.client.update_item(document.id, attributes=attributes)
        return len(documents)

    def search(
        self,
        query: str | Sequence[float],
        filters: dict[str, Any] | None,
        top_k: int,
        **options: Any,
    ) -> list[Document]:
        """Return the documents most similar to a query, with cosine similarities, best first.

        Args:
            query: a text, or a vector of the catalog's model.
            filters: filters on metadata; None for all documents.
            top_k: the number of documents, from 1 to 1,000.
            **options: see `akin.options.RecommendSimilarOptions`.
        """
        response = self.client.recommend_similar(
            text=query if isinstance(query, str) else None,
            vector=None if isinstance(query, str) else query,
            where=translate_filters(filters),
            limit=top_k,
            full=True,
            **options,
        )
        return [build_document(hit.item, hit.score) for hit in response.recommendations]

    async def count_documents_async(self) -> int:
        """Return the number of documents."""
        return await asyncio.to_thread(self.count_documents)

    async def filter_documents_async(self, filters: dict[str, Any] | None = None) -> list[Document]:
        """Return the documents whose metadata match; see `filter_documents`."""
        return await asyncio.to_thread(self.filter_documents, filters)

    async def write_documents_async(
        self, documents: list[Document], policy: DuplicatePolicy = DuplicatePolicy.NONE
    ) -> int:
        """Store documents, and return how many; see `write_documents`."""
        return await asyncio.to_thread(self.write_documents, documents, policy)

    async def delete_documents_async(self, document_ids: list[str]) -> None:
        """Delete documents; ids without a document are ignored."""
        await asyncio.to_thread(self.delete_documents, document_ids)

    def _list_items(self, where: akin.Filter | None) -> Iterator[akin.Item]:
        token = ""
        while True:
            page = self.client.list_items(_BATCH_ITEMS, token, where=where)
            yield from page.items
            token = page.next_page_token
            if not token:
                return

    def _drop_duplicates(self, documents: Sequence[Document], *, fail: bool) -> list[Document]:
        """Return the documents whose ids are new, or raise DuplicateDocumentError if `fail`."""
        ids = [document.id for document in documents]
        taken = {
            item.item_id
            for group in _split(ids)
            for item in self.client.batch_get_items(group).items
        }
        new = []
        for document in documents:
            if document.id not in taken:
                taken.add(document.id)
                new.append(document)
            elif fail:
                raise DuplicateDocumentError(f"there is a document with the id {document.id!r}")
        return new


def _check_documents(documents: object, *, use_embeddings: bool) -> None:
    if not isinstance(documents, list) or not all(
        isinstance(document, Document) for document in documents
    ):
        raise ValueError("write_documents needs a list of documents")
    if any(
        document.sparse_embedding or (document.embedding and not use_embeddings)
        for document in documents
    ):
        logger.warning(
            "Akin embeds documents itself: without use_embeddings, embeddings of documents are not "
            "stored, and sparse ones never are"
        )


def _require(filters: dict[str, Any]) -> akin.Filter:
    where = translate_filters(filters)
    if where is None:
        raise ValueError("filters must have a condition")
    return where


def _split(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(ids), _BATCH_ITEMS):
        yield ids[start : start + _BATCH_ITEMS]
