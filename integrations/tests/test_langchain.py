"""What LangChain's standard tests leave out."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import akin
import pytest
from akin.filters import between
from langchain_akin import AkinRetriever, AkinVectorStore
from langchain_akin.filters import MetadataFilter, parse_filter
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from support.server import RunningServer

SHOES = {
    "trail": ("Trail running shoes with a grippy sole", {"price": 89, "sizes": [41, 42]}),
    "road": ("Road running shoes, light and fast", {"price": 120, "brand": {"name": "Apex"}}),
    "hike": ("Leather hiking boots with a stiff sole", {"price": 160.5, "sold_out": True}),
    "tea": ("Green tea from Japan in a tin", {"price": 9, "sizes": [100]}),
}

# The dimensions of the local model.
WIDTH = 256


@pytest.fixture
def store(server: RunningServer, catalog: str) -> Iterator[AkinVectorStore]:
    store = AkinVectorStore(server.address, catalog=catalog)
    texts, metadatas = zip(*SHOES.values(), strict=True)
    store.add_texts(texts, list(metadatas), ids=list(SHOES))
    yield store
    store.close()


def test_scores_are_cosines_best_first(store: AkinVectorStore) -> None:
    """A text finds its own document first, with the similarity 1."""
    hits = store.similarity_search_with_score(SHOES["tea"][0], k=2)
    assert "tea" == hits[0][0].id
    assert pytest.approx(1, abs=1e-3) == hits[0][1]
    assert hits[0][1] > hits[1][1]


def test_metadata_comes_back_as_it_was(store: AkinVectorStore) -> None:
    """Numbers, lists, objects and booleans keep their values, and whole numbers are integers."""
    documents = {document.id: document.metadata for document in store.get_by_ids(list(SHOES))}
    assert {item_id: metadata for item_id, (_, metadata) in SHOES.items()} == documents
    assert isinstance(documents["trail"]["price"], int)
    assert isinstance(documents["trail"]["sizes"][0], int)


@pytest.mark.parametrize(
    ("metadata_filter", "expected"),
    [
        ({"price": 89}, {"trail"}),
        ({"price": {"$lt": 100, "$gt": 10}}, {"trail"}),
        ({"price": {"$gte": 120}}, {"road", "hike"}),
        ({"price": {"$lte": 9}}, {"tea"}),
        ({"price": {"$in": [9, 89]}}, {"trail", "tea"}),
        ({"price": {"$nin": [9, 89]}}, {"road", "hike"}),
        ({"price": {"$ne": 9}, "sizes": {"$exists": True}}, {"trail"}),
        ({"sizes": {"$contains": 42}}, {"trail"}),
        ({"brand.name": {"$eq": "Apex"}}, {"road"}),
        ({"$or": [{"price": 9}, {"sold_out": True}]}, {"tea", "hike"}),
        ({"$and": [{"price": {"$gt": 10}}, {"$not": {"sold_out": True}}]}, {"trail", "road"}),
        ({"$not": between("price", lt=100)}, {"road", "hike"}),
        (between("price", lt=10), {"tea"}),
        ({}, set(SHOES)),
        (None, set(SHOES)),
    ],
)
def test_filters_select_by_metadata(
    store: AkinVectorStore, metadata_filter: MetadataFilter, expected: set[str]
) -> None:
    """Each operator selects the documents that it describes."""
    documents = store.similarity_search("shoes", k=10, filter=metadata_filter)
    assert expected == {document.id for document in documents}


@pytest.mark.parametrize(
    "metadata_filter",
    [
        {"$xor": []},
        {"$or": []},
        {"$or": "price"},
        {"price": {"$near": 5}},
        {"price": {}},
        {"$not": {}},
        {"$and": [5]},
    ],
)
def test_invalid_filters_are_refused(metadata_filter: MetadataFilter) -> None:
    """An unknown operator or an operand of the wrong kind raises an error."""
    with pytest.raises(ValueError, match=r"operator|needs|nested"):
        parse_filter(metadata_filter)


def test_diversity_changes_the_choice(store: AkinVectorStore) -> None:
    """The most diverse second document is another one than the most similar."""
    similar = store.max_marginal_relevance_search("running shoes", k=2, lambda_mult=1)
    diverse = store.max_marginal_relevance_search("running shoes", k=2, lambda_mult=0)
    assert {"trail", "road"} == {document.id for document in similar}
    assert {"trail", "road"} != {document.id for document in diverse}


def test_relevance_lies_between_0_and_1(store: AkinVectorStore) -> None:
    """Relevance scores are those of LangChain, and a threshold drops the less relevant."""
    hits = store.similarity_search_with_relevance_scores("running shoes", k=4)
    assert 4 == len(hits)
    assert all(0 <= score <= 1 for _, score in hits)
    retriever = store.as_retriever(
        search_type="similarity_score_threshold", search_kwargs={"score_threshold": hits[1][1]}
    )
    assert 2 == len(retriever.invoke("running shoes"))


async def test_retrievers_of_documents_work_asynchronously(store: AkinVectorStore) -> None:
    """Each search type of as_retriever gives the same blocking and asynchronous."""
    for search_type in ("similarity", "mmr"):
        retriever = store.as_retriever(search_type=search_type, search_kwargs={"k": 2})
        documents = await retriever.ainvoke("tea")
        assert "tea" == documents[0].id
        assert documents == retriever.invoke("tea")
    await store.aclose()


def test_a_store_works_in_several_event_loops(store: AkinVectorStore) -> None:
    """Each event loop has a client of its own."""
    for _ in range(2):
        assert "tea" == asyncio.run(store.asimilarity_search("tea", k=1))[0].id


async def test_delete_without_ids_empties_the_catalog(store: AkinVectorStore) -> None:
    """None stands for all documents, and an empty list for none."""
    assert store.delete([])
    assert 4 == len(store.similarity_search("shoes"))
    assert await store.adelete()
    assert [] == store.similarity_search("shoes")
    await store.aclose()


def test_more_documents_than_fit_into_one_call(store: AkinVectorStore) -> None:
    """Adding, reading and deleting have no limit on the number of documents."""
    ids = store.add_texts([f"document number {number % 7}" for number in range(1_500)])
    assert 1_500 == len(store.get_by_ids(ids))
    assert store.delete(ids)
    assert [] == store.get_by_ids(ids)


def test_refused_documents_are_reported(store: AkinVectorStore) -> None:
    """A blank document fails with its id, and the others are stored."""
    with pytest.raises(akin.AkinError, match=r"1 of 2 documents.*'blank'"):
        store.add_texts([" ", "a good text"], ids=["blank", "good"])
    assert ["good"] == [document.id for document in store.get_by_ids(["blank", "good"])]


def test_wrong_arguments_are_refused(store: AkinVectorStore) -> None:
    """Ids must be as many as documents, and metadata must be JSON."""
    documents = [Document(page_content="a"), Document(page_content="b")]
    with pytest.raises(ValueError, match="1 ids for 2 documents"):
        store.add_documents(documents, ids=["a"])
    with pytest.raises(ValueError, match="the metadata of document 'x' must be JSON"):
        store.add_texts(["a"], [{"tags": {1, 2}}], ids=["x"])


async def test_stores_can_be_made_from_documents(server: RunningServer, catalog: str) -> None:
    """The class methods add the documents; they refuse embeddings, which Akin would not use."""
    documents = [Document(id="a", page_content="a red shoe")]
    store = AkinVectorStore.from_documents(documents, None, address=server.address, catalog=catalog)
    assert documents == store.similarity_search("shoe")
    other = await AkinVectorStore.afrom_texts(
        ["a blue shoe"], ids=["b"], address=server.address, catalog=catalog
    )
    assert "b" == (await other.asimilarity_search("blue", k=1))[0].id
    with pytest.raises(ValueError, match="embedding=None"):
        AkinVectorStore.from_texts(
            ["a"], DeterministicFakeEmbedding(size=6), address=server.address
        )
    store.close()
    await other.aclose()


async def test_own_vectors_are_stored_and_searched_by(store: AkinVectorStore) -> None:
    """A document with a vector is found by it, whatever its text, until it is stored without."""
    one, other = ([float(place == n) for n in range(WIDTH)] for place in (0, 1))
    pairs = [("Green tea from Kenya", one), ("Black tea from India", other)]
    assert ["one", "other"] == store.add_embeddings(pairs, [{"n": 1}, {"n": 2}], ["one", "other"])
    (found,) = store.similarity_search_by_vector(one, k=1)
    assert ("one", {"n": 1}) == (found.id, found.metadata)
    assert ["other"] == [d.id for d in await store.asimilarity_search_by_vector(other, k=1)]
    assert ["other"] == [d.id for d in store.similarity_search_by_vector(one, 1, {"n": 2})]
    await store.aadd_embeddings([("Green tea from Kenya", other)], ids=["one"])
    found_ids = {d.id for d in store.similarity_search_by_vector(other, k=2)}
    assert {"one", "other"} == found_ids
    store.add_texts(["Green tea from Kenya"], ids=["one"])
    assert "one" == store.similarity_search("Green tea from Kenya", k=1)[0].id
    await store.aclose()


async def test_diverse_documents_are_found_by_vector(store: AkinVectorStore) -> None:
    """A lambda_mult of 1 ranks by similarity to the vector alone, and 0 chooses others."""
    item = store.connections.client.get_item("trail", include_vectors=True)
    vector = list(item.vectors[0].values)
    similar = store.max_marginal_relevance_search_by_vector(vector, k=2, lambda_mult=1)
    diverse = await store.amax_marginal_relevance_search_by_vector(vector, k=2, lambda_mult=0)
    assert store.similarity_search_by_vector(vector, k=2) == similar
    assert similar != diverse


def test_wrong_vectors_are_refused(server: RunningServer, catalog: str) -> None:
    """A vector needs the width of the catalog and a number that is not 0; no documents, no hits."""
    store = AkinVectorStore(server.address, catalog=catalog)
    assert [] == store.similarity_search_by_vector([0.5] * WIDTH)
    with pytest.raises(akin.AkinError, match="must have a value that is not 0"):
        store.similarity_search_by_vector([0.0] * WIDTH)
    for vector in ([], [0.5]):
        with pytest.raises(akin.AkinError, match=f"must have {WIDTH} values"):
            store.similarity_search_by_vector(vector)
    with pytest.raises(akin.AkinError, match=f"1 of 1 documents.*'x'.* must have {WIDTH} values"):
        store.add_embeddings([("a", [0.5])], ids=["x"])
    with pytest.raises(ValueError, match="1 metadatas for 2 texts"):
        store.add_embeddings([("a", [0.5]), ("b", [0.5])], [{}])
    store.close()


def test_passages_name_their_documents(store: AkinVectorStore) -> None:
    """The retriever returns the best part of a long document, and where it stands."""
    text = f"{'Trail shoes need a sole that grips. ' * 60}\n\nTea is made of leaves. " + (
        "Boots keep ankles stable. " * 60
    )
    store.add_texts([text], [{"kind": "guide"}], ids=["guide"])
    retriever = AkinRetriever(store=store, k=2, limit_per_item=1, filter={"kind": "guide"})
    (passage,) = retriever.invoke("boots and ankles")
    start, end = passage.metadata["start_offset"], passage.metadata["end_offset"]
    assert "guide" == passage.metadata["item_id"]
    assert "ankles" in passage.page_content
    assert text.encode()[start:end].decode() == passage.page_content
    assert [] == AkinRetriever(store=store, min_score=0.99).invoke("boots and ankles")
