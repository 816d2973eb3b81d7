"""Items as sources of recommendations by behavior, where there is none."""

from pathlib import Path

import pytest
from support.catalogs import ids, running
from support.clock import FakeClock
from support.embedders import Fault, FaultyEmbedder

from service import errors
from service.domain.recommendations import ItemSource, Query, Relation


@pytest.mark.parametrize("relation", list(Relation))
async def test_an_item_needs_a_vector(tmp_path: Path, relation: Relation) -> None:
    """A pending item is unavailable until it is embedded, and a missing one does not exist."""
    embedder = FaultyEmbedder()
    async with running(tmp_path, embedder, FakeClock()) as catalog:
        await catalog.put("a", "green tea")
        embedder.fault = Fault.UNAVAILABLE
        await catalog.put("pending", "black tea")
        for item_id, error in (
            ("pending", errors.EmbeddingUnavailable),
            ("missing", errors.ItemNotFound),
        ):
            with pytest.raises(error):
                await catalog.recommender.recommend(
                    Query(ItemSource(item_id), 10, relation=relation)
                )


async def test_without_a_model_text_relates_items(tmp_path: Path) -> None:
    """Before the first training, BOTH ranks as SIMILAR does, and nothing is liked with an item."""
    async with running(tmp_path, FaultyEmbedder(), FakeClock()) as catalog:
        for item_id, text in (("a", "green tea"), ("b", "black tea"), ("c", "old gin")):
            await catalog.put(item_id, text)
        answers = [
            await catalog.recommender.recommend(Query(ItemSource("a"), 10, relation=relation))
            for relation in (Relation.SIMILAR, Relation.BOTH, Relation.ALSO_LIKED)
        ]
        assert [["b", "c"], ["b", "c"], []] == [ids(answer) for answer in answers]
