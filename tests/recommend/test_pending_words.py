"""Searches by words and meaning among items whose new text has no vector yet."""

from pathlib import Path

import pytest
from support.analysis import search_passages
from support.catalogs import ids, running
from support.clock import FakeClock
from support.embedders import WordEmbedder, unit_vector
from support.stores import indexed, pending

from service.domain.analyses import PassagesQuery
from service.domain.recommendations import Query, TextSource
from service.domain.terms import count_terms


async def test_a_pending_item_has_its_new_words_and_its_former_vector(tmp_path: Path) -> None:
    """New words are found at once and former ones no more; meaning is that of the former text."""
    async with running(tmp_path, WordEmbedder(), FakeClock(), hybrid=True) as catalog:
        await catalog.stores.items.upsert_many(
            catalog.row, [indexed("changed", "green tea"), indexed("other", "black coffee")]
        )
        await catalog.stores.items.upsert_many(
            catalog.row, [pending("changed", "part AX-7"), pending("new", "part AX-7")]
        )
        await catalog.caught_up()

        async def search(text: str, weight: float) -> dict[str, float]:
            query = Query(TextSource(text), 10, lexical_weight=weight)
            answer = await catalog.recommender.recommend(query)
            assert {"changed", "other"} == {*ids(answer)}
            return {hit.item_id: hit.score for hit in answer.recommendations}

        assert (await search("ax 7", 1.0))["changed"] > 0
        assert {0.0} == {*(await search("tea", 1.0)).values()}
        terms = catalog.item_index.terms
        assert terms is not None
        weights = terms.weigh_terms(list(count_terms("green part")))
        share = weights.score(count_terms("part AX-7"))
        cosine = float(unit_vector("green part") @ unit_vector("green tea"))
        score = (await search("green part", 0.5))["changed"]
        assert pytest.approx(0.5 * cosine + 0.5 * share**2, abs=1e-5) == score
        passages = await search_passages(catalog, PassagesQuery("ax 7", lexical_weight=1.0))
        assert ["other"] == [passage.item_id for passage in passages.passages]
