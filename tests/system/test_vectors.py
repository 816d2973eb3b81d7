"""Vectors of items as callers get them, and as they send them back."""

import math
from collections.abc import Iterator

import akin
import pytest
from support.server import RunningServer

TEXTS = {
    "sea": "a lighthouse by the stormy sea",
    "boat": "a boat that sails on the sea",
    "soup": "a recipe for lentil soup with cumin",
}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[akin.Client]:
    folder = tmp_path_factory.mktemp("vectors")
    with (
        RunningServer(folder, EMBEDDER="local", EMBEDDING_TEXT_TOKENS="16") as server,
        server.client() as client,
    ):
        for item_id, text in TEXTS.items():
            client.upsert_item(item_id, text, {"kind": "short"})
        client.upsert_item("long", " ".join(f"{word} word" for word in range(200)))
        yield client


def vectors_of(item: akin.Item) -> list[list[float]]:
    return [list(vector.values) for vector in item.vectors]


def test_all_reads_return_the_same_unit_vectors(client: akin.Client) -> None:
    """Each chunk has a vector of unit length, the same in every read that asks for vectors."""
    item = client.get_item("sea", include_vectors=True)
    (vector,) = vectors_of(item)
    assert math.hypot(*vector) == pytest.approx(1, abs=1e-6)
    assert len(vector) == client.get_catalog().space.dimensions
    assert len(client.get_item("long", include_vectors=True).vectors) > 1
    (listed,) = client.batch_get_items(["sea"], include_vectors=True).items
    assert listed == item
    response = client.recommend_similar(item_id="boat", full=True, include_vectors=True)
    assert item in [hit.item for hit in response.recommendations]
    where = akin.filters.equals("kind", "short")
    assert item in client.list_items(where=where, include_vectors=True).items
    assert item in client.list_items(include_vectors=True).items


def test_no_read_returns_vectors_by_default(client: akin.Client) -> None:
    """Without the option, items have no vectors."""
    items = [
        client.get_item("sea"),
        *client.batch_get_items(["sea", "long"]).items,
        *client.list_items().items,
        *(hit.item for hit in client.recommend_similar(item_id="sea", full=True).recommendations),
    ]
    assert [] == [vector for item in items for vector in item.vectors]


@pytest.mark.parametrize("scale", [1.0, 1e-30, 1e30])
def test_a_vector_recommends_like_its_text(client: akin.Client, scale: float) -> None:
    """The vector of a text, of any length, has the recommendations of the text."""
    (vector,) = vectors_of(client.get_item("sea", include_vectors=True))
    by_vector = client.recommend_similar(vector=[scale * value for value in vector], explain=True)
    by_text = client.recommend_similar(text=TEXTS["sea"])
    assert by_vector.signals == by_text.signals
    for hit, expected in zip(by_vector.recommendations, by_text.recommendations, strict=True):
        assert hit.item_id == expected.item_id
        assert hit.score == pytest.approx(expected.score, abs=1e-5)
        assert [] == list(hit.explanations)
    assert not by_vector.HasField("usage")


@pytest.mark.parametrize(
    ("values", "rule"),
    [
        ([], "must have 256 values"),
        ([1.0, 2.0], "must have 256 values"),
        ([0.0] * 256, "not 0"),
        ([math.nan] * 256, "finite"),
        ([math.inf, *[0.0] * 255], "finite"),
    ],
)
def test_a_vector_of_another_space_is_refused(
    client: akin.Client, values: list[float], rule: str
) -> None:
    """A vector that has other dimensions or no direction is invalid, and the error says why."""
    with pytest.raises(akin.AkinError, match=rule) as raised:
        client.recommend_similar(vector=values)
    assert raised.value.reason == "INVALID_REQUEST"


def test_items_recommend_by_vectors_of_their_caller(client: akin.Client) -> None:
    """An item with vectors is near them and not near its text, in every write of items."""
    client.create_catalog("own")
    own = client.catalog("own")
    width = own.get_catalog().space.dimensions
    axes = [[float(place == number) for place in range(width)] for number in range(4)]
    response = own.upsert_item("a", TEXTS["sea"], vectors=[[3 * value for value in axes[0]]])
    assert not response.embedded
    assert not response.usage.text_count
    assert not response.item.vectors
    assert response.item.has_own_vectors
    items = [
        akin.item("b", TEXTS["sea"], vectors=[axes[1], axes[2]]),
        akin.item("c", TEXTS["sea"]),
    ]
    (batch,) = own.import_item_batches(items)
    assert [0, 0] == [result.code for result in batch.results]
    assert 1 == batch.usage.text_count
    assert [axes[1], axes[2]] == vectors_of(own.get_item("b", include_vectors=True))
    hits = own.recommend_similar(vector=axes[0], full=True).recommendations
    listed = own.batch_get_items(["a", "b", "c"]).items, own.list_items().items
    reads = [*map(list, listed), [hit.item for hit in hits]]
    for read in reads:
        assert {"a": True, "b": True, "c": False} == {
            item.item_id: item.has_own_vectors for item in read
        }
    for vector, item_id in zip(axes, "abb", strict=False):
        best = own.recommend_similar(vector=vector).recommendations[0]
        assert item_id == best.item_id
        assert best.score == pytest.approx(1, abs=1e-5)
    best = own.recommend_similar(text=TEXTS["sea"], limit=1).recommendations[0]
    assert "c" == best.item_id
    assert ["c"] == [hit.item_id for hit in own.search_passages(TEXTS["sea"]).passages]
    own.update_item("a", vectors=[axes[3]])
    assert "a" == own.recommend_similar(vector=axes[3]).recommendations[0].item_id
    assert own.update_item("a", vectors=None).item.state == akin.ItemState.ITEM_STATE_INDEXED
    assert vectors_of(own.get_item("a", include_vectors=True)) == vectors_of(
        own.get_item("c", include_vectors=True)
    )


def test_the_vectors_of_a_long_text_can_be_written_back(client: akin.Client) -> None:
    """An item of many chunks that is read and written back has the same vectors, as its own."""
    client.create_catalog("back")
    catalog = client.catalog("back")
    catalog.upsert_item("long", " ".join(f"{number} words" for number in range(30_000)))
    item = catalog.get_item("long", include_vectors=True)
    assert len(item.vectors) > 256
    assert not item.has_own_vectors
    (result,) = catalog.import_items([item])
    assert not result.code
    again = catalog.get_item("long", include_vectors=True)
    assert again.has_own_vectors
    assert vectors_of(item) == vectors_of(again)


@pytest.mark.parametrize(
    ("vectors", "field", "rule"),
    [
        ([[1.0, 2.0]], "item.vectors[0].values", "must have 256 values"),
        ([[1.0] * 256, []], "item.vectors[1].values", "must have 256 values"),
        ([[0.0] * 256], "item.vectors[0].values", "not 0"),
        ([[math.nan] * 256], "item.vectors[0].values", "finite"),
        ([[1.0]] * 16_385, "item.vectors", "at most 16384"),
    ],
)
def test_vectors_that_do_not_fit_are_refused(
    client: akin.Client, vectors: list[list[float]], field: str, rule: str
) -> None:
    """Each write of items names the vector and the rule, and stores nothing."""
    for call in (
        lambda: client.upsert_item("new", "new", vectors=vectors),
        lambda: client.update_item("sea", vectors=vectors),
    ):
        with pytest.raises(akin.AkinError, match=rule) as raised:
            call()
        assert "INVALID_REQUEST" == raised.value.reason
        assert [field] == [violation.field for violation in raised.value.violations]
    (result,) = client.import_items([akin.item("new", "new", vectors=vectors)])
    assert "INVALID_REQUEST" == result.reason
    assert field in result.message
    assert rule in result.message
    assert ["new"] == list(client.batch_get_items(["new"]).missing_item_ids)


def test_an_item_of_markup_alone_is_refused_with_vectors(client: akin.Client) -> None:
    """The text of an item with vectors must be one that a re-embedding could embed."""
    client.create_catalog("html", text_format=akin.TextFormat.TEXT_FORMAT_HTML)
    with pytest.raises(akin.AkinError, match="text outside of markup") as raised:
        client.catalog("html").upsert_item("a", "<p></p>", vectors=[[1.0]])
    assert {"item.text", "item.vectors[0].values"} == {
        violation.field for violation in raised.value.violations
    }
