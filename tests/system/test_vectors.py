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
        ([], "not 0"),
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
