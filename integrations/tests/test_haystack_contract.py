"""The tests that Haystack publishes for document stores."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from haystack import Document
from haystack.document_stores.errors import DuplicateDocumentError
from haystack.testing.document_store import DocumentStoreBaseExtendedTests
from haystack.testing.document_store_async import (
    CountDocumentsAsyncTest,
    DeleteDocumentsAsyncTest,
    FilterDocumentsAsyncTest,
    WriteDocumentsAsyncTest,
)
from haystack_akin import AkinDocumentStore
from support.server import RunningServer


@pytest.fixture
def akin_store(server: RunningServer, catalog: str) -> Iterator[AkinDocumentStore]:
    store = AkinDocumentStore(server.address, catalog=catalog)
    yield store
    store.close()


def without_embeddings(documents: list[Document]) -> list[dict[str, object]]:
    """Return documents in the order of their ids, without what Akin does not store."""
    fields = [
        {"id": document.id, "content": document.content, "meta": document.meta}
        for document in documents
    ]
    return sorted(fields, key=lambda document: str(document["id"]))


class TestDocumentStore(DocumentStoreBaseExtendedTests):
    """The store passes every test, with filters and deletion and updates by filters."""

    @pytest.fixture
    def document_store(self, akin_store: AkinDocumentStore) -> AkinDocumentStore:
        """An empty store."""
        return akin_store

    @staticmethod
    def assert_documents_are_equal(received: list[Document], expected: list[Document]) -> None:
        """Compare without order and embeddings."""
        assert without_embeddings(expected) == without_embeddings(received)

    def test_write_documents(self, document_store: AkinDocumentStore) -> None:
        """The suite leaves the default policy to the store: a duplicate is an error."""
        document = Document(content="test doc")
        assert 1 == document_store.write_documents([document])
        with pytest.raises(DuplicateDocumentError):
            document_store.write_documents([document])


class TestAsyncDocumentStore(
    CountDocumentsAsyncTest,
    WriteDocumentsAsyncTest,
    DeleteDocumentsAsyncTest,
    FilterDocumentsAsyncTest,
):
    """The methods for asyncio pass every test."""

    @pytest.fixture
    def document_store(self, akin_store: AkinDocumentStore) -> AkinDocumentStore:
        """An empty store."""
        return akin_store

    @staticmethod
    def assert_documents_are_equal(received: list[Document], expected: list[Document]) -> None:
        """Compare without order and embeddings."""
        assert without_embeddings(expected) == without_embeddings(received)

    async def test_write_documents_async(self, document_store: AkinDocumentStore) -> None:
        """The suite leaves the default policy to the store: a duplicate is an error."""
        document = Document(content="test doc")
        assert 1 == await document_store.write_documents_async([document])
        with pytest.raises(DuplicateDocumentError):
            await document_store.write_documents_async([document])
