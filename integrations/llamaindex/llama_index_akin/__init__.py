"""LlamaIndex vector store and retriever over Akin.

    from llama_index.core.schema import TextNode
    from llama_index_akin import AkinRetriever, AkinVectorStore

    store = AkinVectorStore(address="127.0.0.1:50051")
    store.add([TextNode(text="Trail running shoes with a grippy sole")])
    for hit in AkinRetriever(store).retrieve("jogging in the rain"):
        print(hit.score, hit.text)

Akin embeds texts itself, so that no embedding model has to be configured.
"""

from llama_index_akin.retriever import AkinRetriever
from llama_index_akin.vector_store import AkinVectorStore

__all__ = ["AkinRetriever", "AkinVectorStore"]
