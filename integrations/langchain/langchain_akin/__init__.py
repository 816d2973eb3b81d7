"""LangChain vector store and retriever over Akin.

    from langchain_akin import AkinVectorStore

    store = AkinVectorStore("127.0.0.1:50051")
    store.add_texts(["Trail running shoes with a grippy sole"], [{"price": 89}])
    for document in store.similarity_search("jogging in the rain"):
        print(document.page_content)

Akin embeds texts itself, so that no embeddings have to be configured.
"""

from langchain_akin.retriever import AkinRetriever
from langchain_akin.vectorstore import AkinVectorStore

__all__ = ["AkinRetriever", "AkinVectorStore"]
