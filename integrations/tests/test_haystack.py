"""What Haystack's tests leave out: the retriever, pipelines, serialization and refusals."""

from __future__ import annotations

from collections.abc import Iterator

import akin
import pytest
from haystack import Document, Pipeline
from haystack.components.writers import DocumentWriter
from haystack.document_stores.types import DuplicatePolicy, FilterPolicy
from haystack.errors import FilterError
from haystack.utils import Secret
from haystack_akin import AkinDocumentStore, AkinRetriever
from haystack_akin.filters import translate_filters
from support.server import RunningServer

DOCUMENTS = [
    Document("trail", "Trail running shoes with a grippy sole", meta={"price": 89, "new": True}),
    Document("road", "Road running shoes, light and fast", meta={"price": 120}),
    Document("hike", "Leather hiking boots, stiff sole", meta={"price": 160.5, "since": "2026-01"}),
    Document("tea", "Green tea from Japan in a tin", meta={"at": {"made": "2026-01-02T10:00:00"}}),
]

# The dimensions of the local model.
WIDTH = 256


@pytest.fixture
def store(server: RunningServer, catalog: str) -> Iterator[AkinDocumentStore]:
    store = AkinDocumentStore(server.address, catalog=catalog)
    assert 4 == store.write_documents(DOCUMENTS)
    yield store
    store.close()


def price(operator: str, value: object) -> dict[str, object]:
    return {"field": "meta.price", "operator": operator, "value": value}


def ids(result: dict[str, list[Document]]) -> set[str]:
    return {document.id for document in result["documents"]}


def test_documents_come_back_as_they_were(store: AkinDocumentStore) -> None:
    """Metadata keep their values, and whole numbers are integers."""
    documents = {document.id: document for document in store.filter_documents()}
    assert {document.id: document for document in DOCUMENTS} == documents
    assert isinstance(documents["trail"].meta["price"], int)


async def test_scores_are_cosines_best_first(store: AkinDocumentStore) -> None:
    """A text finds its own document first, blocking and asynchronous."""
    retriever = AkinRetriever(store, top_k=2)
    documents = retriever.run("Green tea from Japan in a tin")["documents"]
    assert "tea" == documents[0].id
    assert documents[0].score is not None
    assert documents[1].score is not None
    assert pytest.approx(1, abs=1e-3) == documents[0].score
    assert documents[0].score > documents[1].score
    assert documents == (await retriever.run_async("Green tea from Japan in a tin"))["documents"]


def test_filters_replace_or_are_merged(store: AkinDocumentStore) -> None:
    """The filter policy decides about filters of the constructor and of the call."""
    replacing = AkinRetriever(store, filters=price("<", 150))
    assert {"trail", "road"} == ids(replacing.run("shoes"))
    assert {"road", "hike"} == ids(replacing.run("shoes", filters=price(">", 100)))
    merging = AkinRetriever(store, filters=price("<", 150), filter_policy=FilterPolicy.MERGE)
    new = {"field": "meta.new", "operator": "==", "value": True}
    assert {"trail"} == ids(merging.run("shoes", filters=new))
    assert 1 == len(replacing.run("shoes", top_k=1)["documents"])


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (price("in", [89, None]), {"trail", "tea"}),
        (price("in", []), set()),
        (price("not in", [89]), {"road", "hike", "tea"}),
        ({"field": "at.made", "operator": "<", "value": "2026-01-02T10:00:01Z"}, {"tea"}),
        ({"field": "at.made", "operator": "<=", "value": "2026-01-02"}, set()),
        ({"field": "new", "operator": "==", "value": True}, {"trail"}),
    ],
)
def test_filters_select_by_metadata(
    store: AkinDocumentStore, filters: dict[str, object], expected: set[str]
) -> None:
    """Missing values, empty lists, nested fields and time zones mean what Haystack says."""
    assert expected == {document.id for document in store.filter_documents(filters)}


@pytest.mark.parametrize(
    "filters",
    [
        {"field": "content", "operator": "==", "value": "x"},
        {"field": "meta.price", "operator": "like", "value": "x"},
        {"field": "meta.price", "operator": "==", "value": {"a": 1}},
        {"operator": "XOR", "conditions": [price("==", 1)]},
        {"operator": "AND", "conditions": []},
        {"operator": "AND", "conditions": ["price"]},
    ],
)
def test_other_filters_are_refused(filters: dict[str, object]) -> None:
    """A filter that Akin lacks raises an error."""
    with pytest.raises(FilterError):
        translate_filters(filters)


def test_options_shape_the_result(store: AkinDocumentStore) -> None:
    """The minimum score drops documents, and diversity chooses others."""
    assert [] == AkinRetriever(store, min_score=0.99).run("running shoes")["documents"]
    assert {"trail", "road"} == ids(AkinRetriever(store, top_k=2).run("running shoes"))
    diverse = AkinRetriever(store, top_k=2, diversity=1.0)
    assert {"trail", "road"} != ids(diverse.run("running shoes"))
    store.write_documents([Document("copy", DOCUMENTS[0].content)])
    assert {"trail", "copy"} <= ids(AkinRetriever(store).run("running shoes"))
    distinct = AkinRetriever(store, max_similarity=0.99)
    assert 4 == len(ids(distinct.run("running shoes")))


def test_pipelines_write_and_retrieve(store: AkinDocumentStore) -> None:
    """A pipeline survives serialization, and needs no embedder."""
    writing = Pipeline()
    writing.add_component("writer", DocumentWriter(store, policy=DuplicatePolicy.OVERWRITE))
    writing.run({"writer": {"documents": [Document("hat", "A woollen hat")]}})
    reading = Pipeline()
    reading.add_component("retriever", AkinRetriever(store, top_k=1))
    restored = Pipeline.loads(reading.dumps(), allowed_modules=["haystack_akin"])
    assert {"hat"} == ids(restored.run({"retriever": {"query": "a hat of wool"}})["retriever"])


def test_keys_are_not_serialized(monkeypatch: pytest.MonkeyPatch) -> None:
    """A serialized store names the variable that holds its key."""
    monkeypatch.setenv("SHOP_KEY", "secret-value")
    store = AkinDocumentStore(api_key=Secret.from_env_var("SHOP_KEY"))
    assert "secret-value" not in str(store.to_dict())
    copy = AkinDocumentStore.from_dict(store.to_dict())
    assert copy.api_key is not None
    assert "secret-value" == copy.api_key.resolve_value()


def test_duplicates_in_one_call(store: AkinDocumentStore) -> None:
    """Of documents with one id, the first counts with SKIP."""
    documents = [Document("hat", "A woollen hat"), Document("hat", "A straw hat")]
    assert 1 == store.write_documents(documents, DuplicatePolicy.SKIP)
    (document,) = (document for document in store.filter_documents() if document.id == "hat")
    assert "A woollen hat" == document.content


def test_documents_without_content_are_refused(store: AkinDocumentStore) -> None:
    """A document without content raises an error, and the server reports a blank one."""
    with pytest.raises(ValueError, match="'none' has no content"):
        store.write_documents([Document("none", None)])
    with pytest.raises(akin.AkinError, match=r"1 of 2 documents.*'blank'"):
        store.write_documents([Document("blank", " "), Document("good", "a good text")])
    with pytest.raises(ValueError, match="must have a condition"):
        store.delete_by_filter({})


def test_embeddings_are_reported(
    store: AkinDocumentStore, caplog: pytest.LogCaptureFixture
) -> None:
    """A warning says that the embedding of a document is not stored."""
    store.write_documents([Document("hat", "A woollen hat", embedding=[0.5])])
    assert "without use_embeddings, embeddings of documents are not stored" in caplog.text


async def test_embeddings_are_stored_and_searched_by(
    server: RunningServer, catalog: str, caplog: pytest.LogCaptureFixture
) -> None:
    """With use_embeddings, a document is found by its embedding, whatever its content."""
    first = AkinDocumentStore(server.address, catalog=catalog, use_embeddings=True)
    store = AkinDocumentStore.from_dict(first.to_dict())
    one, other = ([float(place == n) for n in range(WIDTH)] for place in (0, 1))
    store.write_documents(
        [
            Document("one", "Green tea from Kenya", embedding=one),
            Document("other", "Black tea from India", embedding=other),
            Document("text", "Leather hiking boots, stiff sole"),
        ]
    )
    assert not caplog.text
    retriever = AkinRetriever(store, top_k=1)
    assert {"one"} == ids(retriever.run(query_embedding=one))
    assert {"other"} == ids(await retriever.run_async(query_embedding=other))
    assert {"text"} == ids(retriever.run("hiking boots"))
    for query, vector in ((None, None), ("boots", one)):
        with pytest.raises(ValueError, match="either query or query_embedding"):
            retriever.run(query, query_embedding=vector)
    with pytest.raises(akin.AkinError, match=f"1 of 1 documents.* must have {WIDTH} values"):
        store.write_documents([Document("x", "a", embedding=[0.5])])
    first.close()
    store.close()
