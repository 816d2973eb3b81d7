from pathlib import Path

import numpy as np
import pytest
from support.analysis import (
    classify_text,
    find_outliers,
    running_with_graphs,
    search_passages,
)
from support.embedders import unit_vector

from service.analysis.outliers import OUTLIER_NEIGHBORS
from service.domain.analyses import ClassificationQuery, OutliersQuery, PassagesQuery

QUERY = "word3 word17 word29"


def draw_words(count: int) -> dict[str, str]:
    """Return texts of random words by id; the same each time."""
    generator = np.random.default_rng(4)
    return {
        f"i{number:03}": " ".join(f"word{word}" for word in generator.integers(0, 60, 6))
        for number in range(count)
    }


TEXTS = draw_words(300)
IDS = list(TEXTS)
VECTORS = np.stack([unit_vector(text) for text in TEXTS.values()])


async def test_exact_outliers_agree_with_brute_force(tmp_path: Path) -> None:
    """With graphs, exact outliers have the scores of a comparison of all vectors."""
    cosines = VECTORS @ VECTORS.T
    np.fill_diagonal(cosines, -2.0)
    means = np.sort(cosines, axis=1)[:, -OUTLIER_NEIGHBORS:].mean(axis=1)
    expected = pytest.approx(dict(zip(IDS, means.tolist(), strict=True)), abs=1e-5)
    async with running_with_graphs(tmp_path, TEXTS) as catalog:
        scores_by_exact = {}
        for exact in (False, True):
            answer = await find_outliers(catalog, OutliersQuery(len(TEXTS), exact=exact))
            scores_by_exact[exact] = {
                outlier.item_id: outlier.mean_similarity for outlier in answer.outliers
            }
        assert expected == scores_by_exact[True]
        assert expected != scores_by_exact[False]


async def test_exact_passages_agree_with_brute_force(tmp_path: Path) -> None:
    """With graphs, exact passages are those of a comparison of all vectors."""
    scores = VECTORS @ unit_vector(QUERY)
    expected = [IDS[row] for row in np.argsort(-scores, kind="stable")[:50]]
    async with running_with_graphs(tmp_path, TEXTS) as catalog:
        ids_by_exact = {}
        for exact in (False, True):
            answer = await search_passages(catalog, PassagesQuery(QUERY, 50, exact=exact))
            ids_by_exact[exact] = [passage.item_id for passage in answer.passages]
        assert expected == ids_by_exact[True]
        assert expected != ids_by_exact[False]


async def test_exact_labels_agree_with_brute_force(tmp_path: Path) -> None:
    """With graphs, an exact classification is by the nearest of all items."""
    scores = VECTORS @ unit_vector(QUERY)
    expected = [IDS[row] for row in np.argsort(-scores, kind="stable")[:10]]
    async with running_with_graphs(tmp_path, TEXTS) as catalog:
        ids_by_exact = {}
        for exact in (False, True):
            query = ClassificationQuery(QUERY, "words", neighbor_count=10, exact=exact)
            answer = await classify_text(catalog, query)
            ids_by_exact[exact] = [neighbor.item_id for neighbor in answer.neighbors]
        assert expected == ids_by_exact[True]
        assert expected != ids_by_exact[False]
