"""The vector store and the retriever for LlamaIndex, which publishes no tests for them."""

from __future__ import annotations

from collections.abc import Iterator

import akin
import pytest
from llama_index.core import Document, MockEmbedding, QueryBundle, VectorStoreIndex
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.schema import NodeRelationship, RelatedNodeInfo, TextNode
from llama_index.core.vector_stores.types import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryMode,
)
from llama_index_akin import AkinRetriever, AkinVectorStore
from llama_index_akin.filters import translate_filters
from support.server import RunningServer

# The dimensions of the local model.
WIDTH = 256


def make_node(node_id: str, text: str, source: str, **metadata: object) -> TextNode:
    relationships = {NodeRelationship.SOURCE: RelatedNodeInfo(node_id=source)}
    return TextNode(id_=node_id, text=text, metadata=metadata, relationships=relationships)


NODES = [
    make_node("trail", "Trail running shoes with a grippy sole", "shoes", price=89, tags=["wet"]),
    make_node("road", "Road running shoes, light and fast", "shoes", price=120, tags=[]),
    make_node("hike", "Leather hiking boots, stiff sole", "boots", price=160.5, tags=["wet", "a"]),
    make_node("tea", "Green tea from Japan in a tin", "drinks", price=9),
]


@pytest.fixture
def store(server: RunningServer, catalog: str) -> Iterator[AkinVectorStore]:
    store = AkinVectorStore(server.address, catalog=catalog)
    assert [node.node_id for node in NODES] == store.add(NODES)
    yield store
    store.close()


def select(key: str, operator: str, value: object) -> MetadataFilters:
    part = MetadataFilter(key=key, operator=FilterOperator(operator), value=value)
    return MetadataFilters(filters=[part])


def ids(store: AkinVectorStore, filters: MetadataFilters | None = None) -> set[str]:
    return {node.node_id for node in store.get_nodes(filters=filters)}


def test_nodes_come_back_as_they_were(store: AkinVectorStore) -> None:
    """Text, metadata and relationships survive."""
    by_id = {node.node_id: node for node in NODES}
    nodes = store.get_nodes()
    assert 4 == len(nodes)
    for node in nodes:
        assert by_id[node.node_id].model_dump() == node.model_dump()


def test_queries_find_by_meaning(store: AkinVectorStore) -> None:
    """The result has nodes, ids and cosine similarities, best first."""
    result = store.query(VectorStoreQuery(query_str=NODES[3].text, similarity_top_k=2))
    assert result.ids is not None
    assert result.similarities is not None
    assert result.nodes is not None
    assert "tea" == result.ids[0] == result.nodes[0].node_id
    assert pytest.approx(1, abs=1e-3) == result.similarities[0]
    assert result.similarities[0] > result.similarities[1]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (select("price", "==", 89), {"trail"}),
        (select("price", "!=", 89), {"road", "hike", "tea"}),
        (select("price", ">", 120), {"hike"}),
        (select("price", ">=", 120), {"road", "hike"}),
        (select("price", "<", 89), {"tea"}),
        (select("price", "<=", 89), {"tea", "trail"}),
        (select("price", "in", [9, 89]), {"tea", "trail"}),
        (select("price", "nin", [9, 89]), {"road", "hike"}),
        (select("tags", "any", ["a", "b"]), {"hike"}),
        (select("tags", "all", ["a", "wet"]), {"hike"}),
        (select("tags", "contains", "wet"), {"trail", "hike"}),
        (select("tags", "is_empty", None), {"road", "tea"}),
        (
            MetadataFilters(
                filters=[select("price", "<", 10), select("price", ">", 150)],
                condition=FilterCondition.OR,
            ),
            {"tea", "hike"},
        ),
        (
            MetadataFilters(
                filters=[select("price", "<", 10), select("price", ">", 150)],
                condition=FilterCondition.NOT,
            ),
            {"trail", "road"},
        ),
        (MetadataFilters(filters=[]), {"trail", "road", "hike", "tea"}),
    ],
)
def test_filters_select_by_metadata(
    store: AkinVectorStore, filters: MetadataFilters, expected: set[str]
) -> None:
    """Each operator selects the same nodes for reads and for queries."""
    result = store.query(VectorStoreQuery(query_str="x", similarity_top_k=9, filters=filters))
    assert expected == ids(store, filters) == set(result.ids or ())


@pytest.mark.parametrize(
    "filters",
    [
        select("tags", "text_match", "we"),
        select("price", ">", "10"),
        MetadataFilters(filters=[MetadataFilters(filters=[])]),
    ],
)
def test_other_filters_are_refused(filters: MetadataFilters) -> None:
    """A filter that Akin lacks raises an error."""
    with pytest.raises(ValueError, match=r"text_match|needs a number|at least one"):
        translate_filters(filters)


def test_queries_can_be_restricted_to_documents_and_nodes(store: AkinVectorStore) -> None:
    """The fields doc_ids and node_ids of a query apply together."""
    query = VectorStoreQuery(query_str="x", similarity_top_k=9, doc_ids=["shoes", "drinks"])
    assert {"trail", "road", "tea"} == set(store.query(query).ids or ())
    query.node_ids = ["tea", "hike"]
    assert ["tea"] == store.query(query).ids


def test_diversity_changes_the_choice(store: AkinVectorStore) -> None:
    """The mode MMR with the threshold 0 chooses other nodes than the default mode."""
    query = VectorStoreQuery(query_str="running shoes", similarity_top_k=2)
    assert {"trail", "road"} == set(store.query(query).ids or ())
    query.mode, query.mmr_threshold = VectorStoreQueryMode.MMR, 0.0
    assert {"trail", "road"} != set(store.query(query).ids or ())


def test_queries_without_a_text_or_with_another_mode_are_refused(store: AkinVectorStore) -> None:
    """An embedding alone is no query, because Akin embeds queries itself."""
    with pytest.raises(ValueError, match="query_str"):
        store.query(VectorStoreQuery(query_embedding=[1.0]))
    with pytest.raises(ValueError, match="sparse"):
        store.query(VectorStoreQuery(query_str="x", mode=VectorStoreQueryMode.SPARSE))


def test_deletion(store: AkinVectorStore) -> None:
    """Nodes are deleted by document, by id, by metadata, or all."""
    store.delete("boots")
    assert {"trail", "road", "tea"} == ids(store)
    store.delete_nodes(node_ids=["tea"])
    assert {"trail", "road"} == ids(store)
    store.delete_nodes(filters=select("price", ">", 100))
    assert {"trail"} == ids(store)
    with pytest.raises(ValueError, match="clear"):
        store.delete_nodes()
    store.clear()
    assert set() == ids(store)


def test_an_empty_list_of_ids_selects_no_node(store: AkinVectorStore) -> None:
    """Neither reads nor deletions take it for all nodes."""
    assert [] == store.get_nodes(node_ids=[])
    store.delete_nodes(node_ids=[])
    assert 4 == len(store.get_nodes())


def test_refused_nodes_are_reported(store: AkinVectorStore) -> None:
    """A blank node fails with its id, and the others are stored."""
    nodes = [TextNode(id_="blank", text=" "), TextNode(id_="good", text="a good text")]
    with pytest.raises(akin.AkinError, match=r"1 of 2 nodes.*'blank'"):
        store.add(nodes)
    assert "good" in ids(store)


def test_items_of_other_clients_are_nodes(store: AkinVectorStore) -> None:
    """An item that LlamaIndex did not store is a node with its attributes as metadata."""
    store.client.upsert_item("other", "A woollen hat", {"price": 20})
    (node,) = store.get_nodes(filters=select("price", "==", 20))
    assert ("other", {"price": 20}) == (node.node_id, node.metadata)


async def test_methods_for_asyncio_do_the_same(store: AkinVectorStore) -> None:
    """Adding, reading, querying and deleting work in an event loop."""
    await store.async_add([make_node("hat", "A woollen hat", "hats")])
    result = await store.aquery(VectorStoreQuery(query_str="a hat", similarity_top_k=1))
    assert ["hat"] == result.ids
    assert ["hat"] == [node.node_id for node in await store.aget_nodes(["hat"])]
    await store.adelete_nodes(["hat"])
    await store.adelete("boots")
    assert {"trail", "road", "tea"} == ids(store)
    await store.aclear()
    assert [] == await store.aget_nodes()


async def test_the_retriever_needs_no_embedding_model(store: AkinVectorStore) -> None:
    """The retriever returns scored nodes, blocking and asynchronous."""
    retriever = AkinRetriever(
        store, similarity_top_k=1, filters=select("price", "<", 100), min_score=0.1
    )
    hits = retriever.retrieve("shoes for wet trails")
    assert ["trail"] == [hit.node.node_id for hit in hits]
    assert hits == await retriever.aretrieve("shoes for wet trails")
    assert [] == AkinRetriever(store, min_score=0.99).retrieve("shoes for wet trails")


def test_an_index_works_over_the_store(store: AkinVectorStore) -> None:
    """An index stores and retrieves through Akin, whatever its embedding model returns."""
    index = VectorStoreIndex.from_vector_store(store, embed_model=MockEmbedding(embed_dim=1))
    index.insert(Document(text="Peppermint tea from Morocco", id_="mint"))
    hits = index.as_retriever(similarity_top_k=2).retrieve("tea leaves")
    assert {"Green tea from Japan in a tin", "Peppermint tea from Morocco"} == {
        hit.text for hit in hits
    }
    index.delete_ref_doc("mint")
    assert {"trail", "road", "hike", "tea"} == ids(store)


def test_parts_of_documents_are_stored(store: AkinVectorStore) -> None:
    """The nodes that a pipeline makes of a document are found and deleted by its id."""
    text = "Boots keep ankles stable on rocks. " * 40 + "Tea is made of leaves. " * 40
    pipeline = IngestionPipeline(
        transformations=[SentenceSplitter(chunk_size=128, chunk_overlap=16)]
    )
    nodes = pipeline.run(documents=[Document(text=text, id_="guide")])
    store.add(nodes)
    assert len(nodes) > 2
    assert {"guide"} == {
        hit.node.ref_doc_id for hit in AkinRetriever(store, 3).retrieve("stable ankles on rocks")
    }
    store.delete("guide")
    assert {"trail", "road", "hike", "tea"} == ids(store)


def test_embeddings_are_stored_and_searched_by(server: RunningServer, catalog: str) -> None:
    """With use_embeddings, an index finds a node by its embedding, whatever its text."""
    store = AkinVectorStore(server.address, use_embeddings=True, catalog=catalog)
    one, other = ([float(place == n) for n in range(WIDTH)] for place in (0, 1))
    store.add(
        [
            TextNode(id_="one", text="Green tea from Kenya", embedding=one),
            TextNode(id_="other", text="Black tea from India", embedding=other),
            TextNode(id_="text", text="Leather hiking boots, stiff sole"),
        ]
    )
    index = VectorStoreIndex.from_vector_store(store, embed_model=MockEmbedding(embed_dim=WIDTH))
    retriever = index.as_retriever(similarity_top_k=1)
    for node_id, vector in (("one", one), ("other", other)):
        (hit,) = retriever.retrieve(QueryBundle("boots", embedding=vector))
        assert (node_id, pytest.approx(1)) == (hit.node_id, hit.score)
    assert "text" == AkinRetriever(store, 1).retrieve("hiking boots")[0].node_id
    with pytest.raises(akin.AkinError, match=f"1 of 1 nodes.* must have {WIDTH} values"):
        store.add([TextNode(id_="x", text="a", embedding=[0.5])])
    store.close()


def test_embeddings_are_ignored_by_default(store: AkinVectorStore) -> None:
    """A node is embedded by its text, and a query without a text is refused."""
    vector = [1.0] + [0.0] * (WIDTH - 1)
    store.add([TextNode(id_="mint", text="Peppermint tea from Morocco", embedding=vector)])
    query = VectorStoreQuery(query_str="Peppermint tea from Morocco", query_embedding=vector)
    similarities = store.query(query).similarities
    assert similarities
    assert pytest.approx(1, abs=1e-3) == similarities[0]
    with pytest.raises(ValueError, match="needs query_str"):
        store.query(VectorStoreQuery(query_embedding=vector))
