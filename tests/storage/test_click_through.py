from pathlib import Path

import pytest
from support.clock import FakeClock
from support.stores import broken_references, opened, remove_dropped, rows

from service import errors
from service.domain.generations import Generation
from service.domain.interactions import Interaction, InteractionKey
from service.domain.recommendation_ids import (
    US_PER_DAY,
    RecommendationIds,
    ResponseKind,
    SignalKind,
    SourceKind,
)
from service.domain.spaces import VectorStorage
from service.storage.click_through import RETENTION_DAYS, SUMMED_DAYS
from service.storage.interactions import Recording
from service.storage.row_deletion import ROWS_PER_ROUND
from service.storage.stores import Stores

CLICKS = {"LIKE", "CLICK"}
USER_BOTH = (SourceKind.USER, SignalKind.BOTH)
ITEM_TEXT = (SourceKind.ITEM, SignalKind.TEXT)


class Responses:
    """The responses for a catalog, on any day."""

    def __init__(self, stores: Stores, catalog: Generation) -> None:
        self._ids = RecommendationIds(catalog.catalog_id, stores.database.store_id)
        self._catalog = catalog
        self.today = stores.database.now_us() // US_PER_DAY

    def kind(
        self, days_ago: int = 0, kind: tuple[SourceKind, SignalKind] = USER_BOTH
    ) -> ResponseKind:
        """Return a kind of responses."""
        return ResponseKind(self._catalog.catalog_id, self.today - days_ago, *kind)

    def identify(self, days_ago: int = 0, kind: tuple[SourceKind, SignalKind] = USER_BOTH) -> str:
        """Return the id of a new response."""
        return self._ids.write(self.kind(days_ago, kind))


def interaction(
    recommendation_id: str, time_us: int = 1, user_id: str = "u", type_: str = "LIKE"
) -> Interaction:
    key = InteractionKey(user_id, time_us, "a", type_)
    return Interaction(key, recommendation_id=recommendation_id)


async def record(stores: Stores, catalog: Generation, *interactions: Interaction) -> Recording:
    return await stores.interactions.record_many(catalog, interactions, CLICKS)


async def count_clicked(stores: Stores, catalog: Generation) -> int:
    sums = await stores.click_through.sum_days(catalog)
    return sum(entry.clicked_response_count for entry in sums)


async def create_other(stores: Stores, catalog: Generation) -> Generation:
    model = (await stores.generations.list_catalogs())[catalog.name].serving.model
    created = await stores.generations.create_catalog("other", model, VectorStorage.UNSPECIFIED)
    return created.serving.generation


async def test_the_first_click_on_a_response_counts(tmp_path: Path) -> None:
    """A response counts once, whoever names it, in one call or several, also after a restart."""
    async with opened(tmp_path, FakeClock()) as (stores, catalog):
        responses = Responses(stores, catalog)
        first, second = responses.identify(), responses.identify(kind=ITEM_TEXT)
        recording = await record(
            stores, catalog, interaction(first), interaction(second, 2), interaction(first, 3)
        )
        assert [responses.kind(), responses.kind(kind=ITEM_TEXT)] == recording.clicked
        again = await record(stores, catalog, interaction(first, 4), interaction(second, 5, "v"))
        assert (2, []) == (again.recorded_count, again.clicked)
    async with opened(tmp_path, FakeClock()) as (stores, catalog):
        assert [] == (await record(stores, catalog, interaction(first, 6))).clicked
        assert [(*ITEM_TEXT, 0, 1), (*USER_BOTH, 0, 1)] == (
            await stores.click_through.sum_days(catalog)
        )


async def test_interactions_keep_the_response_that_they_name(tmp_path: Path) -> None:
    """The recommendation id is listed, and the one of a duplicate is not."""
    async with opened(tmp_path, FakeClock()) as (stores, catalog):
        responses = Responses(stores, catalog)
        named = interaction(responses.identify())
        plain = interaction("", 2)
        await record(stores, catalog, named, plain)
        duplicates = [interaction(responses.identify(), time_us) for time_us in (1, 2)]
        assert Recording(0, 0) == await record(stores, catalog, *duplicates, interaction(""))
        page = await stores.interactions.list_page(catalog, "", None, 10)
        assert [named, plain] == page.interactions
        assert 1 == await count_clicked(stores, catalog)


@pytest.mark.parametrize("named_first", [True, False])
async def test_the_first_of_two_duplicates_in_a_call_counts(
    tmp_path: Path, *, named_first: bool
) -> None:
    """Of two equal interactions in one call, the first is recorded, whether it names a response."""
    async with opened(tmp_path, FakeClock()) as (stores, catalog):
        named = interaction(Responses(stores, catalog).identify())
        pair = [named, interaction("")] if named_first else [interaction(""), named]
        assert 1 == (await record(stores, catalog, *pair)).recorded_count
        page = await stores.interactions.list_page(catalog, "", None, 10)
        assert pair[:1] == page.interactions
        assert int(named_first) == await count_clicked(stores, catalog)


async def test_a_type_without_a_weight_above_0_is_no_click(tmp_path: Path) -> None:
    """A dislike does not count, and a like after it does."""
    async with opened(tmp_path, FakeClock()) as (stores, catalog):
        response = Responses(stores, catalog).identify()
        disliked = await record(stores, catalog, interaction(response, type_="DISLIKE"))
        assert (1, []) == (disliked.recorded_count, disliked.clicked)
        assert 1 == len((await record(stores, catalog, interaction(response))).clicked)
        both = Responses(stores, catalog).identify()
        skipped, liked = interaction(both, 5, type_="SKIP"), interaction(both, 5)
        assert 1 == len((await record(stores, catalog, skipped, liked)).clicked)
        assert 2 == await count_clicked(stores, catalog)


async def test_deleting_the_interactions_of_a_user_keeps_the_counts(tmp_path: Path) -> None:
    """A response stays counted, and a later interaction that names it does not count again."""
    async with opened(tmp_path, FakeClock()) as (stores, catalog):
        response = Responses(stores, catalog).identify()
        await record(stores, catalog, interaction(response))
        await stores.interactions.delete_of_user(catalog, "u")
        assert 1 == await count_clicked(stores, catalog)
        assert [] == (await record(stores, catalog, interaction(response))).clicked
        assert 1 == await count_clicked(stores, catalog)


async def test_responses_add_up_by_kind(tmp_path: Path) -> None:
    """Numbers of several processes and days add up, each kind and catalog for itself."""
    async with opened(tmp_path, FakeClock()) as (stores, catalog):
        other = await create_other(stores, catalog)
        here, there = Responses(stores, catalog), Responses(stores, other)
        await stores.click_through.add_responses({here.kind(): 2, here.kind(kind=ITEM_TEXT): 3})
        await stores.click_through.add_responses({here.kind(): 5, here.kind(1): 7, there.kind(): 1})
        await record(stores, catalog, interaction(here.identify(1)), interaction("", 2))
        await stores.click_through.add_responses({here.kind(1): 10})
        assert [(*ITEM_TEXT, 3, 0), (*USER_BOTH, 24, 1)] == (
            await stores.click_through.sum_days(catalog)
        )
        assert [(*USER_BOTH, 1, 0)] == await stores.click_through.sum_days(other)


async def test_the_sums_have_the_last_30_days(tmp_path: Path) -> None:
    """A day counts for 30 days, today included, and a click counts for the day of its response."""
    clock = FakeClock()
    async with opened(tmp_path, clock) as (stores, catalog):
        responses = Responses(stores, catalog)
        kinds = {responses.kind(days_ago): 1 for days_ago in (0, SUMMED_DAYS - 1, SUMMED_DAYS)}
        await stores.click_through.add_responses(kinds)
        named = [responses.identify(days_ago) for days_ago in (SUMMED_DAYS - 1, SUMMED_DAYS)]
        await record(stores, catalog, *(interaction(name, 1, name) for name in named))
        assert [(*USER_BOTH, 2, 1)] == await stores.click_through.sum_days(catalog)
        clock.advance(microseconds=US_PER_DAY)
        assert [(*USER_BOTH, 1, 0)] == await stores.click_through.sum_days(catalog)


async def test_old_days_are_removed_and_count_no_more(tmp_path: Path) -> None:
    """Rows older than 31 days go in rounds, and interactions with older responses add none."""
    clock = FakeClock()
    async with opened(tmp_path, clock) as (stores, catalog):
        other = await create_other(stores, catalog)
        responses = Responses(stores, catalog)
        for generation in (catalog, other):
            today = Responses(stores, generation)
            await stores.click_through.add_responses({today.kind(): 1})
            names = [today.identify() for _ in range(ROWS_PER_ROUND + 1)]
            await record(stores, generation, *(interaction(name, 1, name) for name in names))
        clock.advance(microseconds=RETENTION_DAYS * US_PER_DAY)
        assert not await stores.click_through.remove_old_days()
        last = await record(stores, catalog, interaction(responses.identify(), 2))
        assert [responses.kind()] == last.clicked
        clock.advance(microseconds=US_PER_DAY)
        late = await record(stores, catalog, interaction(responses.identify(), 3))
        assert (1, []) == (late.recorded_count, late.clicked)
        rounds = 0
        while await stores.click_through.remove_old_days():
            rounds += 1
        assert 6 == rounds
    assert [] == rows(tmp_path, "SELECT * FROM click_through")
    assert [] == rows(tmp_path, "SELECT * FROM clicked_responses")


async def test_a_deleted_catalog_counts_nothing_and_is_emptied(tmp_path: Path) -> None:
    """Numbers of a deleted catalog are ignored, and all its rows are removed with it."""
    async with opened(tmp_path, FakeClock()) as (stores, catalog):
        other = await create_other(stores, catalog)
        here, there = Responses(stores, catalog), Responses(stores, other)
        counts = {here.kind(): 1, there.kind(): 1}
        await stores.click_through.add_responses(counts)
        for generation, responses in ((catalog, here), (other, there)):
            await record(stores, generation, interaction(responses.identify()))
        await stores.generations.delete_catalog("other")
        await stores.click_through.add_responses(counts)
        await remove_dropped(stores)
        await stores.click_through.add_responses(counts)
        assert [(*USER_BOTH, 3, 1)] == await stores.click_through.sum_days(catalog)
        with pytest.raises(errors.CatalogNotFound):
            await record(stores, other, interaction(there.identify(), 2))
    left = [(catalog.catalog_id,)]
    assert left == rows(tmp_path, "SELECT catalog_id FROM click_through")
    assert left == rows(tmp_path, "SELECT catalog_id FROM clicked_responses")
    assert [] == broken_references(tmp_path)
