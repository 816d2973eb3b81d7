import asyncio
from pathlib import Path

import pytest
from support.clock import FakeClock
from support.stores import count_steps, opened

from service import errors
from service.domain.generations import Generation
from service.domain.interactions import Interaction, InteractionKey
from service.domain.spaces import VectorStorage
from service.storage.interactions import Recording
from service.storage.row_deletion import ROWS_PER_ROUND
from service.storage.stores import Stores


def interaction(
    user_id: str = "u", time_us: int = 1, item_id: str = "a", interaction_id: str = ""
) -> Interaction:
    return Interaction(InteractionKey(user_id, time_us, item_id, "LIKE", interaction_id))


async def list_all(stores: Stores, catalog: Generation, user_id: str = "") -> list[Interaction]:
    page = await stores.interactions.list_page(catalog, user_id, None, 100_000)
    assert len(page.interactions) == page.total
    return [*page.interactions]


async def test_an_interaction_is_recorded_once(tmp_path: Path) -> None:
    """A repeated interaction changes nothing: neither within a call nor after a restart."""
    async with opened(tmp_path, FakeClock()) as (stores, catalog):
        twice = [interaction(), interaction()]
        recording = await stores.interactions.record_many(catalog, twice)
        assert Recording(1, stores.database.commits.last_sequence, []) == recording
    async with opened(tmp_path, FakeClock()) as (stores, catalog):
        assert Recording(0, 0) == await stores.interactions.record_many(catalog, twice)
        assert [interaction()] == await list_all(stores, catalog)


async def test_each_part_of_the_key_makes_another_interaction(tmp_path: Path) -> None:
    """Another user, time, item or type is another interaction."""
    async with opened(tmp_path, FakeClock()) as (stores, catalog):
        keys = [
            InteractionKey("u", 1, "a", "LIKE"),
            InteractionKey("v", 1, "a", "LIKE"),
            InteractionKey("u", 2, "a", "LIKE"),
            InteractionKey("u", 1, "b", "LIKE"),
            InteractionKey("u", 1, "a", "VIEW"),
        ]
        recording = await stores.interactions.record_many(catalog, [Interaction(k) for k in keys])
        assert len(keys) == recording.recorded_count
        assert sorted(keys) == [listed.key for listed in await list_all(stores, catalog)]


async def test_an_id_identifies_an_interaction(tmp_path: Path) -> None:
    """Of two interactions with the same id, the first remains, whatever else differs."""
    async with opened(tmp_path, FakeClock()) as (stores, catalog):
        first = interaction(interaction_id="x")._replace(value=1.5)
        other = interaction(user_id="v", time_us=2, item_id="b", interaction_id="x")
        await stores.interactions.record_many(catalog, [first])
        assert Recording(0, 0) == await stores.interactions.record_many(catalog, [other])
        assert [first] == await list_all(stores, catalog)
        same_moment = interaction(interaction_id="y")
        assert 1 == (await stores.interactions.record_many(catalog, [same_moment])).recorded_count


async def test_pages_continue_after_a_key(tmp_path: Path) -> None:
    """Pages return every interaction once, by user and time, of one user or of all."""
    async with opened(tmp_path, FakeClock()) as (stores, catalog):
        recorded = [
            interaction(user_id, time_us, item_id)
            for item_id in ("b", "a")
            for user_id in ("v", "u")
            for time_us in (10, 9)
        ]
        await stores.interactions.record_many(catalog, recorded)
        for user_id in ("", "u", "w"):
            expected = sorted(entry for entry in recorded if user_id in {"", entry.key.user_id})
            listed: list[Interaction] = []
            more = True
            while more:
                after = listed[-1].key if listed else None
                page = await stores.interactions.list_page(catalog, user_id, after, 3)
                assert len(expected) == page.total
                listed += page.interactions
                more = page.more
            assert expected == listed


@pytest.mark.sqlite
async def test_a_page_of_a_user_does_not_read_other_users(tmp_path: Path) -> None:
    """A page of a user takes as much work beside many interactions of others as beside none."""
    async with opened(tmp_path, FakeClock()) as (stores, catalog):
        await stores.interactions.record_many(
            catalog, [interaction(time_us=time_us) for time_us in range(100)]
        )
        steps = await count_steps(stores)
        works = []
        for _ in range(2):
            page = await stores.interactions.list_page(catalog, "u", interaction().key, 10)
            assert (100, 10, True) == (page.total, len(page.interactions), page.more)
            works.append(steps.take())
            others = [interaction(user, time_us) for user in "tv" for time_us in range(2_000)]
            await stores.interactions.record_many(catalog, others)
            steps.take()
        alone, beside_others = works
        assert 0 < beside_others <= 2 * alone


async def test_all_interactions_of_a_user_are_deleted(tmp_path: Path) -> None:
    """The deletion takes as many transactions as it needs, and leaves other users alone."""
    async with opened(tmp_path, FakeClock()) as (stores, catalog):
        count = 2 * ROWS_PER_ROUND + 1
        await stores.interactions.record_many(
            catalog, [interaction(time_us=time_us) for time_us in range(count)]
        )
        await stores.interactions.record_many(catalog, [interaction("v")])
        deletion = await stores.interactions.delete_of_user(catalog, "u")
        assert (count, stores.database.commits.last_sequence) == deletion
        assert [interaction("v")] == await list_all(stores, catalog)
        assert (0, 0) == await stores.interactions.delete_of_user(catalog, "u")


@pytest.mark.sqlite
async def test_interactions_of_one_time_are_deleted_as_fast_as_others(tmp_path: Path) -> None:
    """A round of a deletion does not read the rows of later rounds, whose time can be the same."""
    async with opened(tmp_path, FakeClock()) as (stores, catalog):
        works = []
        steps = await count_steps(stores)
        for times in (range(8 * ROWS_PER_ROUND), [1] * (8 * ROWS_PER_ROUND)):
            await stores.interactions.record_many(
                catalog, [interaction("u", time, str(n)) for n, time in enumerate(times)]
            )
            steps.take()
            deletion = await stores.interactions.delete_of_user(catalog, "u")
            assert 8 * ROWS_PER_ROUND == deletion.deleted_count
            works.append(steps.take())
        different_times, one_time = works
        assert 0 < one_time <= 1.5 * different_times


async def test_catalogs_do_not_share_interactions(tmp_path: Path) -> None:
    """The same interaction and the same id can be recorded in each catalog, and stay apart."""
    async with opened(tmp_path, FakeClock()) as (stores, catalog):
        model = (await stores.generations.list_catalogs())[catalog.name].serving.model
        other = (
            await stores.generations.create_catalog("other", model, VectorStorage.UNSPECIFIED)
        ).serving.generation
        for generation in (catalog, other):
            entries = [interaction(), interaction(interaction_id="x")]
            recording = await stores.interactions.record_many(generation, entries)
            assert len(entries) == recording.recorded_count
        await stores.interactions.delete_of_user(catalog, "u")
        assert len(entries) == len(await list_all(stores, other))


async def test_a_deleted_catalog_records_nothing_and_is_emptied(tmp_path: Path) -> None:
    """Interactions of a deleted catalog are refused, and the removal deletes all of them."""
    async with opened(tmp_path, FakeClock()) as (stores, catalog):
        model = (await stores.generations.list_catalogs())[catalog.name].serving.model
        other = (
            await stores.generations.create_catalog("other", model, VectorStorage.UNSPECIFIED)
        ).serving.generation
        await stores.interactions.record_many(other, [interaction()])
        await stores.interactions.record_many(catalog, [interaction()])
        await stores.generations.delete_catalog("other")
        for use in (
            stores.interactions.record_many(other, [interaction("v")]),
            stores.interactions.list_page(other, "", None, 1),
            stores.interactions.count(other),
        ):
            with pytest.raises(errors.CatalogNotFound):
                await use
        while await stores.removal.remove_rows():
            pass
        with pytest.raises(errors.CatalogNotFound):
            await stores.interactions.list_page(other, "w", None, 1)
        left = await stores.database.read(
            lambda connection: connection.execute("SELECT catalog_id FROM interactions").fetchall()
        )
        assert [(catalog.catalog_id,)] == left


async def test_concurrent_recordings_are_counted(tmp_path: Path) -> None:
    """The count of a catalog equals its interactions, however calls overlap."""
    async with opened(tmp_path, FakeClock()) as (stores, catalog):
        batches = [
            [interaction(time_us=start + number) for number in range(10)] for start in range(50)
        ]
        recordings = await asyncio.gather(
            *(stores.interactions.record_many(catalog, batch) for batch in batches)
        )
        assert 59 == sum(recording.recorded_count for recording in recordings)
        assert 59 == len(await list_all(stores, catalog))
