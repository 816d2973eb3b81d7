import numpy as np
import pytest

from service.analysis.kmeans import Items, assigned, chosen_number, divided, means
from service.domain.analyses import ClustersQuery
from service.domain.vectors import Vectors
from service.index.faiss_kmeans import compute_centers

DIMENSIONS = 64


def clouds(number: int, size: int = 60) -> Vectors:
    """Unit vectors around so many centers, one cloud after the other."""
    drawn = np.random.default_rng(2)
    middles = np.repeat(drawn.normal(size=(number, DIMENSIONS)), size, axis=0)
    points = middles + 0.3 * drawn.normal(size=middles.shape)
    units: Vectors = (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)
    return units


@pytest.mark.parametrize("number", [2, 3, 5, 9])
def test_clear_groups_are_counted(number: int) -> None:
    """Where vectors lie in clouds, their number is the one that is chosen, and the clouds found."""
    vectors = clouds(number)
    assert number == chosen_number(vectors, len(vectors))
    groups, cosines = assigned(vectors, compute_centers(vectors, number))
    for own in groups.reshape(number, -1):
        assert 1 == len(set(own.tolist()))
    assert (cosines > 0.8).all()


def test_without_clear_groups_the_number_grows_slowly() -> None:
    """Vectors in all directions have no number of their own: it goes by the items."""
    raw = np.random.default_rng(3).normal(size=(500, DIMENSIONS))
    vectors = (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32)
    assert [6, 14, 24] == [chosen_number(vectors, items) for items in (500, 3_000, 1_000_000)]
    assert 1 == chosen_number(vectors[:1], 1)


def test_equal_vectors_are_one_group() -> None:
    """Centers that nothing is nearest to are no groups."""
    vectors = np.tile(clouds(2)[:1], (20, 1))
    tally = divided(Items([str(n) for n in range(20)], vectors), ClustersQuery(5), 20)
    assert 1 == len(tally.order())


def test_an_item_lies_where_its_passages_do_in_the_mean() -> None:
    """Several vectors of an item count as their mean, brought to unit length."""
    vectors = np.array([[1, 0], [0, 1], [0, 1]], np.float32)
    found = means(vectors, np.array([0, 0, 1]), 2)
    assert pytest.approx([0.5**0.5, 0.5**0.5, 0, 1]) == found.ravel().tolist()


def test_the_map_keeps_groups_apart() -> None:
    """Items are nearer to their own group's place than to others', and alike each time."""
    vectors = clouds(8)
    items = Items([str(n) for n in range(len(vectors))], vectors)
    query = ClustersQuery(8, point_limit=len(vectors))
    tally, again = divided(items, query, len(items.item_ids)), divided(items, query, 1)
    assert tally.places.tolist() == again.places.tolist()
    gaps = np.linalg.norm(tally.places[:, None] - tally.layout.places[None], axis=2)
    assert (gaps.argmin(axis=1) == tally.groups).mean() > 0.95
    assert np.abs(tally.places).max() < 1.5
    between = np.linalg.norm(tally.layout.places[:, None] - tally.layout.places[None], axis=2)
    assert between[~np.eye(8, dtype=bool)].min() > 0.15


@pytest.mark.parametrize("number", [1, 2, 3])
def test_few_groups_have_places_too(number: int) -> None:
    """One group lies in the middle, two and three apart from each other."""
    vectors = clouds(number)
    items = Items([str(n) for n in range(len(vectors))], vectors)
    tally = divided(items, ClustersQuery(number, point_limit=10), len(vectors))
    assert number == len({tuple(place) for place in tally.layout.places.round(3).tolist()})
    assert np.isfinite(tally.places).all()
