import numpy as np
from numpy.typing import NDArray

from service.analysis.map_layout import MapLayout, compute_layout
from service.domain.vectors import Vectors

DIMENSIONS = 32
CLUSTERS = 12
ITEMS = 100


def unit(vectors: NDArray[np.float64]) -> Vectors:
    units: Vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return units.astype(np.float32)


def create_clusters(seed: int) -> tuple[Vectors, list[Vectors], MapLayout]:
    """Return centers in all directions, items around them, and their layout."""
    random = np.random.default_rng(seed)
    centers = unit(random.normal(size=(CLUSTERS, DIMENSIONS)))
    noise = random.normal(size=(CLUSTERS, ITEMS, DIMENSIONS)) / 16.0
    leaning = 0.8 * random.dirichlet(np.full(CLUSTERS, 0.1), (CLUSTERS, ITEMS)) @ centers
    items = [
        unit(center + offsets) for center, offsets in zip(centers, noise + leaning, strict=True)
    ]
    middles = unit(np.stack([members.mean(axis=0) for members in items]))
    return middles, items, compute_layout(middles, items)


def test_no_cluster_is_a_line() -> None:
    """The items of a cluster spread in one direction less than twice as far as in the other."""
    for seed in range(10):
        _, items, layout = create_clusters(seed)
        for cluster, members in enumerate(items):
            places = layout.place(members, np.full(len(members), cluster))
            narrow, wide = np.sqrt(np.linalg.eigvalsh(np.cov(places.T)))
            assert wide < 2.0 * narrow


def test_similar_clusters_are_near() -> None:
    """The more similar two centers are, the nearer they tend to be on the map."""
    for seed in range(10):
        centers, _, layout = create_clusters(seed)
        pairs = np.triu_indices(CLUSTERS, 1)
        gaps = np.linalg.norm(layout.places[:, None] - layout.places[None], axis=2)[pairs]
        assert np.corrcoef(gaps, (centers @ centers.T)[pairs])[0, 1] < -0.5


def test_a_map_has_few_voids() -> None:
    """Centers that are equally dissimilar fill the map: none is far from all others."""
    centers = np.eye(CLUSTERS, DIMENSIONS, dtype=np.float32)
    layout = compute_layout(centers, [centers[row : row + 1] for row in range(CLUSTERS)])
    gaps = np.linalg.norm(layout.places[:, None] - layout.places[None], axis=2)
    np.fill_diagonal(gaps, np.inf)
    nearest = gaps.min(axis=1)
    assert nearest.max() < 2.0 * nearest.min()
