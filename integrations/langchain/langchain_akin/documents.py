"""LangChain documents as Akin's items, and the other way around."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from typing import Any

import akin
import grpc
from google.protobuf.json_format import MessageToDict
from langchain_core.documents import Document

# Ids that one BatchGetItems or BatchDeleteItems accepts.
_BATCH_IDS = 1_000

_STATUS_CODES = {code.value[0]: code for code in grpc.StatusCode}


def choose_ids(documents: Sequence[Document], ids: Sequence[str | None] | None) -> list[str]:
    """Return an id for each document: the given one, its own, or a random UUID.

    Raises:
        ValueError: the numbers of ids and documents differ.
    """
    if ids is None:
        ids = [document.id for document in documents]
    if len(ids) != len(documents):
        raise ValueError(f"{len(ids)} ids for {len(documents)} documents")
    return [item_id or str(uuid.uuid4()) for item_id in ids]


def build_items(
    documents: Sequence[Document],
    ids: Sequence[str],
    embeddings: Sequence[Sequence[float]] | None = None,
) -> list[akin.Item]:
    """Return the items of documents, with an embedding each if there are any.

    Raises:
        ValueError: metadata has a value that is not a JSON value, such as a datetime.
    """
    vectors = [None] * len(documents) if embeddings is None else [[each] for each in embeddings]
    return list(map(_build_item, documents, ids, vectors))


def build_documents(
    texts: Sequence[str], metadatas: Sequence[dict[str, Any]] | None
) -> list[Document]:
    """Return the documents of texts and their metadata.

    Raises:
        ValueError: the numbers of texts and metadata differ.
    """
    if metadatas is None:
        return [Document(page_content=text) for text in texts]
    if len(metadatas) != len(texts):
        raise ValueError(f"{len(metadatas)} metadatas for {len(texts)} texts")
    pairs = zip(texts, metadatas, strict=True)
    return [Document(page_content=text, metadata=metadata) for text, metadata in pairs]


def _build_item(
    document: Document, item_id: str, vectors: list[Sequence[float]] | None
) -> akin.Item:
    try:
        return akin.item(item_id, document.page_content, document.metadata, vectors=vectors)
    except ValueError as exc:
        raise ValueError(f"the metadata of document {item_id!r} must be JSON: {exc}") from None


def build_document(item: akin.Item) -> Document:
    """Return the document of an item, with its attributes as metadata."""
    return Document(id=item.item_id, page_content=item.text, metadata=_read_attributes(item))


def read_hits(response: akin.RecommendSimilarResponse) -> list[tuple[Document, float]]:
    """Return the recommended documents with their scores."""
    return [(build_document(hit.item), hit.score) for hit in response.recommendations]


def check_results(results: Sequence[akin.ItemResult]) -> None:
    """Check that all items of an import were stored.

    Raises:
        AkinError: some were not. The others are stored.
    """
    failures = [result for result in results if result.code]
    if failures:
        first = failures[0]
        raise akin.AkinError(
            _STATUS_CODES[first.code],
            f"{len(failures)} of {len(results)} documents were not stored; "
            f"the first is {first.item_id!r}: {first.message}",
        )


def split_ids(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    """Yield the ids in groups that fit into one call."""
    for start in range(0, len(ids), _BATCH_IDS):
        yield ids[start : start + _BATCH_IDS]


def _read_attributes(item: akin.Item) -> dict[str, Any]:
    attributes: dict[str, Any] = _restore_integers(MessageToDict(item.attributes))
    return attributes


def _restore_integers(value: Any) -> Any:
    """Return a JSON value whose whole numbers are integers; Akin stores all numbers as doubles."""
    match value:
        case float() if value.is_integer():
            return int(value)
        case dict():
            return {key: _restore_integers(child) for key, child in value.items()}
        case list():
            return [_restore_integers(child) for child in value]
        case _:
            return value
