"""The use cases of a catalog, as the server makes them."""

from dataclasses import replace
from pathlib import Path

import pytest
from support.open_catalogs import word_catalogs

from service import errors
from service.domain.index_kinds import IndexKind
from service.domain.recommendations import Query, TextSource
from service.recommend.new_items import NewItems
from service.server.handle_factory import HandleFactory
from service.settings import Settings


@pytest.mark.parametrize("hybrid", [True, False])
@pytest.mark.parametrize("index", IndexKind)
async def test_only_indexes_in_memory_have_words(
    tmp_path: Path, index: IndexKind, hybrid: bool
) -> None:
    """A request with a lexical weight is refused elsewhere, and one without a weight is not."""
    async with word_catalogs(tmp_path) as catalogs, catalogs.catalogs.use("shop") as catalog:
        factory = HandleFactory(
            Settings(hybrid=hybrid),
            catalogs.stores,
            catalogs.behavior_models,
            catalogs.response_counts,
            catalogs.observer,
        )
        serving = replace(catalog.generations.serving, index=index)
        generations = replace(catalog.generations, serving=serving)
        recommender = factory.make(catalog.record, generations, NewItems()).recommender
        query = Query(TextSource("tea"), 5)
        (plain, weighted), _ = await recommender.prepare_many(
            [query, replace(query, lexical_weight=0.5)]
        )
        assert not isinstance(plain, errors.AkinError)
        has_words = hybrid and index is IndexKind.MEMORY
        assert has_words is not isinstance(weighted, errors.HybridSearchOff)
