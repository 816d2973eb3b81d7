import numpy as np
from numpy.typing import NDArray

from service.analysis.map_layout import Layout, laid_out
from service.domain.vectors import Vectors

DIMENSIONS = 32
GROUPS = 12
ITEMS = 100


def unit(vectors: NDArray[np.float64]) -> Vectors:
    found: Vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return found.astype(np.float32)


def groups(seed: int) -> tuple[Vectors, list[Vectors], Layout]:
    """Centers in all directions, items around them that lean to others, and their layout."""
    random = np.random.default_rng(seed)
    centers = unit(random.normal(size=(GROUPS, DIMENSIONS)))
    noise = random.normal(size=(GROUPS, ITEMS, DIMENSIONS)) / 16.0
    drawn = 0.8 * random.dirichlet(np.full(GROUPS, 0.1), (GROUPS, ITEMS)) @ centers
    items = [unit(center + own) for center, own in zip(centers, noise + drawn, strict=True)]
    middles = unit(np.stack([each.mean(axis=0) for each in items]))
    return middles, items, laid_out(middles, items)


def test_no_group_is_a_line() -> None:
    """Items of a group lie to all sides of its middle: one way is not twice the other."""
    for seed in range(10):
        _, items, layout = groups(seed)
        for group, own in enumerate(items):
            places = layout.placed(own, np.full(len(own), group))
            narrow, wide = np.sqrt(np.linalg.eigvalsh(np.cov(places.T)))
            assert wide < 2.0 * narrow


def test_alike_groups_are_near() -> None:
    """The more two centers are alike, the nearer they tend to be on the map."""
    for seed in range(10):
        centers, _, layout = groups(seed)
        pairs = np.triu_indices(GROUPS, 1)
        gaps = np.linalg.norm(layout.places[:, None] - layout.places[None], axis=2)[pairs]
        assert np.corrcoef(gaps, (centers @ centers.T)[pairs])[0, 1] < -0.5


def test_a_map_has_few_voids() -> None:
    """Centers that are all equally unlike fill the map: none is far from all others."""
    centers = np.eye(GROUPS, DIMENSIONS, dtype=np.float32)
    layout = laid_out(centers, [centers[each : each + 1] for each in range(GROUPS)])
    gaps = np.linalg.norm(layout.places[:, None] - layout.places[None], axis=2)
    np.fill_diagonal(gaps, np.inf)
    nearest = gaps.min(axis=1)
    assert nearest.max() < 2.0 * nearest.min()
