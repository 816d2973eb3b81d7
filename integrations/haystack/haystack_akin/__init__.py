"""Haystack document store and retriever over Akin.

    from haystack import Document
    from haystack_akin import AkinDocumentStore, AkinRetriever

    store = AkinDocumentStore("127.0.0.1:50051")
    store.write_documents([Document(content="Trail running shoes with a grippy sole")])
    for document in AkinRetriever(store).run("jogging in the rain")["documents"]:
        print(document.score, document.content)

Akin embeds texts itself, so that a pipeline needs no embedders.
"""

from haystack_akin.document_store import AkinDocumentStore
from haystack_akin.retriever import AkinRetriever

__all__ = ["AkinDocumentStore", "AkinRetriever"]
