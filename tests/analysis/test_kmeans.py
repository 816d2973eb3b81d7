import numpy as np
import pytest

from service.analysis.kmeans import (
    ClusterInput,
    assign_to_centers,
    choose_cluster_count,
    compute_clusters,
    compute_item_vectors,
)
from service.domain.analyses import ClustersQuery
from service.domain.vectors import Vectors
from service.index.faiss_kmeans import compute_centers

DIMENSIONS = 64


def clouds(number: int, size: int = 60) -> Vectors:
    """Return unit vectors around some centers, one cloud after the other."""
    generator = np.random.default_rng(2)
    middles = np.repeat(generator.normal(size=(number, DIMENSIONS)), size, axis=0)
    points = middles + 0.3 * generator.normal(size=middles.shape)
    units: Vectors = (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)
    return units


@pytest.mark.parametrize("number", [2, 3, 5, 9])
def test_clear_clusters_are_counted(number: int) -> None:
    """With clear clouds of vectors, their number is chosen and each is one cluster."""
    vectors = clouds(number)
    assert number == choose_cluster_count(vectors, len(vectors))
    clusters, cosines = assign_to_centers(vectors, compute_centers(vectors, number))
    for cloud in clusters.reshape(number, -1):
        assert 1 == len(set(cloud.tolist()))
    assert (cosines > 0.8).all()


def test_without_clear_clusters_the_count_grows_slowly() -> None:
    """For vectors in all directions, the count depends on the number of items."""
    raw = np.random.default_rng(3).normal(size=(500, DIMENSIONS))
    vectors = (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32)
    assert [6, 14, 24] == [
        choose_cluster_count(vectors, items) for items in (500, 3_000, 1_000_000)
    ]
    assert 1 == choose_cluster_count(vectors[:1], 1)


def test_equal_vectors_are_one_cluster() -> None:
    """Centers without items are no clusters."""
    vectors = np.tile(clouds(2)[:1], (20, 1))
    assignment = compute_clusters(
        ClusterInput([str(n) for n in range(20)], vectors), ClustersQuery(5), 20
    )
    assert 1 == len(assignment.list_clusters())


def test_the_vector_of_an_item_is_the_mean_of_its_chunks() -> None:
    """Several vectors of an item are replaced by their mean, of unit length."""
    vectors = np.array([[1, 0], [0, 1], [0, 1]], np.float32)
    item_vectors = compute_item_vectors(vectors, np.array([0, 0, 1]), 2)
    assert pytest.approx([0.5**0.5, 0.5**0.5, 0, 1]) == item_vectors.ravel().tolist()


def test_the_map_separates_clusters() -> None:
    """Items are nearest to the center of their own cluster, and their places are reproducible."""
    vectors = clouds(8)
    items = ClusterInput([str(n) for n in range(len(vectors))], vectors)
    query = ClustersQuery(8, point_limit=len(vectors))
    assignment, again = (
        compute_clusters(items, query, len(items.item_ids)),
        compute_clusters(items, query, 1),
    )
    assert assignment.places.tolist() == again.places.tolist()
    gaps = np.linalg.norm(assignment.places[:, None] - assignment.layout.places[None], axis=2)
    assert (gaps.argmin(axis=1) == assignment.clusters).mean() > 0.95
    assert np.abs(assignment.places).max() < 1.5
    between = np.linalg.norm(
        assignment.layout.places[:, None] - assignment.layout.places[None], axis=2
    )
    assert between[~np.eye(8, dtype=bool)].min() > 0.15


@pytest.mark.parametrize("number", [1, 2, 3])
def test_few_clusters_have_different_places(number: int) -> None:
    """Up to three clusters have different places, and their items have finite ones."""
    vectors = clouds(number)
    items = ClusterInput([str(n) for n in range(len(vectors))], vectors)
    assignment = compute_clusters(items, ClustersQuery(number, point_limit=10), len(vectors))
    assert number == len({tuple(place) for place in assignment.layout.places.round(3).tolist()})
    assert np.isfinite(assignment.places).all()
