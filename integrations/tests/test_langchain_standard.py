"""The standard tests that LangChain publishes for vector stores and retrievers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from langchain_akin import AkinRetriever, AkinVectorStore
from langchain_core.retrievers import BaseRetriever
from langchain_core.vectorstores import VectorStore
from langchain_tests.integration_tests import (
    RetrieversIntegrationTests,
    VectorStoreIntegrationTests,
)
from support.server import RunningServer


class TestVectorStore(VectorStoreIntegrationTests):
    """The vector store passes every test of the suite, blocking and asynchronous."""

    @pytest.fixture
    def vectorstore(self, server: RunningServer, catalog: str) -> Iterator[VectorStore]:
        """An empty vector store."""
        store = AkinVectorStore(server.address, catalog=catalog)
        yield store
        store.close()


class TestRetriever(RetrieversIntegrationTests):
    """The retriever passes every test of the suite."""

    @pytest.fixture(autouse=True)
    def _fill_store(self, server: RunningServer, catalog: str) -> Iterator[None]:
        self.store = AkinVectorStore(server.address, catalog=catalog)
        self.store.add_texts(["a red shoe", "a blue boot", "a green sandal", "a white sock"])
        yield
        self.store.close()

    @property
    def retriever_constructor(self) -> type[BaseRetriever]:
        """The class to test."""
        return AkinRetriever

    @property
    def retriever_constructor_params(self) -> dict[str, Any]:
        """The arguments of its constructor."""
        return {"store": self.store}

    @property
    def retriever_query_example(self) -> str:
        """A query."""
        return "footwear"
