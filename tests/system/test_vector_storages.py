"""Catalogs that keep vectors in different number formats."""

from collections.abc import Iterator

import akin
import numpy as np
import pytest
from support.server import RunningServer
from support.waiting import until

from service.domain.vectors import Vectors

pytestmark = pytest.mark.slow

ITEMS = 1_200
DIMENSIONS = 256
FULL, SMALL = "full", "small"

STORAGES = {
    FULL: akin.VectorStorage.VECTOR_STORAGE_FLOAT32,
    SMALL: akin.VectorStorage.VECTOR_STORAGE_INT8,
}


def draw_vectors() -> Vectors:
    """Return unit vectors around 30 centers."""
    drawn = np.random.default_rng(1)
    centers = drawn.normal(size=(30, DIMENSIONS)) + 0.5
    points = centers[drawn.integers(0, 30, ITEMS)] + drawn.normal(size=(ITEMS, DIMENSIONS))
    units: Vectors = (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)
    return units


def fill(server: RunningServer, name: str) -> akin.Client:
    """Return a client of a new catalog whose vectors are all in a graph with neighbor lists."""
    client = server.client(catalog=name)
    client.create_catalog(name, provider="local", vector_storage=STORAGES[name])
    items = (
        akin.item(str(number), "tea", {"even": number % 2 == 0}, vectors=vector.tolist())
        for number, vector in enumerate(draw_vectors()[:, None])
    )
    assert {0} == {result.code for result in client.import_items(items)}

    def is_built() -> bool:
        index = client.get_catalog(name).index
        return (ITEMS, ITEMS) == (index.graph_vector_count, index.neighbor_list_count)

    until(is_built)
    return client


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, akin.Client]]:
    with RunningServer(tmp_path_factory.mktemp("storages"), EMBEDDER="local") as server:
        opened = {name: fill(server, name) for name in STORAGES}
        yield opened
        for client in opened.values():
            client.close()


@pytest.mark.parametrize("where", [None, akin.filters.equals("even", True)])
def test_int8_recommends_as_float32_does(
    clients: dict[str, akin.Client], where: akin.Filter | None
) -> None:
    """By item and by vector, nine of ten recommendations are the same, with nearly the scores."""
    vectors = draw_vectors().tolist()
    common = 0
    for number in range(0, ITEMS, 60):
        for source in ({"item_id": str(number)}, {"vector": vectors[number]}):
            full, small = (
                client.recommend_similar(**source, limit=10, where=where, full=True)
                for client in clients.values()
            )
            scores, own_scores = (
                {hit.item_id: hit.score for hit in response.recommendations}
                for response in (full, small)
            )
            assert 10 == len(own_scores)
            common += len(scores.keys() & own_scores.keys())
            for item_id in scores.keys() & own_scores.keys():
                assert own_scores[item_id] == pytest.approx(scores[item_id], abs=1e-3)
    assert 0.9 <= common / (10 * 2 * ITEMS / 60)


def test_int8_takes_less_memory(clients: dict[str, akin.Client]) -> None:
    """A vector takes 1.25 bytes a dimension instead of 4."""
    memory = {name: client.get_catalog(name).index.memory_bytes for name, client in clients.items()}
    assert 0.95 * 2.75 * DIMENSIONS * ITEMS <= memory[FULL] - memory[SMALL]
    assert STORAGES[SMALL] == clients[SMALL].get_catalog(SMALL).vector_storage
