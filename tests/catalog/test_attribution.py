from collections.abc import Mapping
from pathlib import Path

import pytest
from support.open_catalogs import WordCatalogs, word_catalogs

from service import errors
from service.catalog.attribution import ResponseCounts
from service.domain.catalog_settings import CatalogSettings, SettingsField
from service.domain.interactions import Interaction, InteractionKey
from service.domain.items import Item
from service.domain.recommendation_ids import ResponseKind, SignalKind, SourceKind
from service.domain.recommendations import (
    Query,
    Recommendation,
    Recommendations,
    Signals,
    TextSource,
)
from service.domain.writes import ItemUpsert
from service.storage.click_through import ClickThroughStore

TEXT = (SourceKind.TEXT, SignalKind.TEXT)
QUERY = Query(TextSource("tea"), 5)
KIND = ResponseKind(1, 20_000, *TEXT)


class FailingStore(ClickThroughStore):
    """Counts that cannot be stored as long as there is an `error`; `stored` has the others."""

    def __init__(self, error: errors.AkinError) -> None:
        self.error: errors.AkinError | None = error
        self.stored: list[Mapping[ResponseKind, int]] = []

    async def add_responses(self, counts: Mapping[ResponseKind, int]) -> None:
        """Store the counts, or fail."""
        if self.error is not None:
            raise self.error
        self.stored.append(dict(counts))


def like(time_us: int, recommendation_id: str, type_: str = "LIKE") -> Interaction:
    key = InteractionKey("u", time_us, "a", type_)
    return Interaction(key, recommendation_id=recommendation_id)


async def recommend(factory: WordCatalogs, name: str = "shop") -> str:
    """Recommend items for a text, and return the id of the response."""
    async with factory.catalogs.use(name) as catalog:
        answer = await catalog.recommender.recommend(QUERY)
        return catalog.attribution.identify(QUERY, answer)


async def test_responses_and_clicks_are_observed_and_stored(tmp_path: Path) -> None:
    """Each response counts once, and the first click on it, for the metrics and on disk."""
    async with word_catalogs(tmp_path) as factory:
        async with factory.catalogs.use("shop") as catalog:
            await catalog.items.upsert(ItemUpsert(Item("a", "green tea")))
        first, _second = await recommend(factory), await recommend(factory)
        async with factory.catalogs.use("shop") as catalog:
            await catalog.interactions.record([like(1, first), like(1, first), like(2, first)])
            await catalog.interactions.record([like(3, first, "DISLIKE")])
            await factory.response_counts.flush()
            await factory.response_counts.flush()
            assert [(*TEXT, 2, 1)] == (await catalog.stats.read()).click_through
        assert {TEXT: 2} == factory.responses
        assert {TEXT: 1} == factory.clicks


async def test_a_response_without_recommendations_does_not_count(tmp_path: Path) -> None:
    """An empty response has an id as well, and neither it nor what names it is counted."""
    async with word_catalogs(tmp_path) as factory:
        empty = await recommend(factory)
        async with factory.catalogs.use("shop") as catalog:
            assert None is not catalog.attribution.ids.read(empty)
            assert 1 == (await catalog.interactions.record([like(1, empty)])).recorded_count
            await factory.response_counts.flush()
            assert [] == (await catalog.stats.read()).click_through
        assert {} == factory.responses == factory.clicks


async def test_responses_count_by_the_signals_of_the_answer(tmp_path: Path) -> None:
    """A response that behavior has a weight in counts as such."""
    async with word_catalogs(tmp_path) as factory, factory.catalogs.use("shop") as catalog:
        answer = Recommendations([Recommendation("a", 1.0)], 1, signals=Signals(0.25, 0.75, 5))
        response = catalog.attribution.ids.read(catalog.attribution.identify(QUERY, answer))
        assert response is not None
        assert SignalKind.BOTH is response.kind.signals
        assert {(SourceKind.TEXT, SignalKind.BOTH): 1} == factory.responses


async def test_weights_of_a_catalog_say_what_a_click_is(tmp_path: Path) -> None:
    """A type with a weight above 0 counts as a click, also one of the catalog's own."""
    async with word_catalogs(tmp_path) as factory:
        async with factory.catalogs.use("shop") as catalog:
            await catalog.items.upsert(ItemUpsert(Item("a", "green tea")))
        settings = CatalogSettings(interaction_weights={"SAVE": 0.5, "LIKE": 0.0})
        await factory.stores.catalog_settings.update("shop", settings, tuple(SettingsField))
        await factory.catalogs.update()
        liked, saved = await recommend(factory), await recommend(factory)
        async with factory.catalogs.use("shop") as catalog:
            await catalog.interactions.record([like(1, liked), like(1, saved, "SAVE")])
            assert {TEXT: 1} == factory.clicks


async def test_responses_that_cannot_be_stored_stay() -> None:
    """While the disk is full, numbers add up, and are stored once later."""
    store = FailingStore(errors.StoreFull("the disk is full"))
    counts = ResponseCounts(store)
    for _ in range(2):
        counts.add(KIND)
        with pytest.raises(errors.StoreFull):
            await counts.flush()
    store.error = None
    counts.add(KIND._replace(day=20_001))
    for _ in range(2):
        await counts.flush()
    assert [{KIND: 2, KIND._replace(day=20_001): 1}] == store.stored


async def test_responses_that_may_be_stored_are_not_counted_twice() -> None:
    """Numbers whose outcome the store does not know are dropped, and later ones are stored."""
    error = errors.StoreUnavailable("the write may have been stored")
    error.may_be_stored = True
    store = FailingStore(error)
    counts = ResponseCounts(store)
    counts.add(KIND)
    with pytest.raises(errors.StoreUnavailable):
        await counts.flush()
    store.error = None
    counts.add(KIND._replace(day=20_001))
    await counts.flush()
    assert [{KIND._replace(day=20_001): 1}] == store.stored
