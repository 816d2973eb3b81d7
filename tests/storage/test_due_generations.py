"""Which generations have something due, and which catalogs have changed, by one query each."""

from pathlib import Path

from support.clock import FakeClock
from support.embedders import SPACE
from support.stores import delete_item, indexed, opened, pending

from service.domain.spaces import Model, VectorStorage


async def test_a_generation_is_due_with_its_first_item(tmp_path: Path) -> None:
    """A generation is due once one of its items is; others and empty ones are not."""
    clock = FakeClock()
    async with opened(tmp_path, clock) as (stores, generation):
        others = [
            (
                await stores.generations.create_catalog(name, Model(SPACE), VectorStorage.FLOAT32)
            ).serving.generation
            for name in ("empty", "full")
        ]
        assert [] == list(await stores.pending.list_due_generations())
        await stores.items.upsert_many(generation, [pending("a", "tea"), indexed("b", "rum")])
        await stores.items.upsert_many(others[1], [pending("a", "tea"), pending("b", "gin")])
        due = {generation.generation_id, others[1].generation_id}
        assert due == set(await stores.pending.list_due_generations())
        (item,) = await stores.pending.list_due(generation, 10)
        await stores.pending.defer(generation, item, 60.0)
        assert [others[1].generation_id] == list(await stores.pending.list_due_generations())
        clock.advance(seconds=61)
        assert due == set(await stores.pending.list_due_generations())


async def test_changed_catalogs_are_those_that_were_written_to(tmp_path: Path) -> None:
    """The answer has the catalogs with changes since the former one, and the number reached."""
    async with opened(tmp_path, FakeClock()) as (stores, generation):
        record = await stores.generations.create_catalog(
            "other", Model(SPACE), VectorStorage.FLOAT32
        )
        answer = await stores.items.changed_catalogs(0, [])
        assert set() == set(answer.catalog_ids)
        await stores.items.upsert_many(record.serving.generation, [indexed("a", "tea")])
        answer = await stores.items.changed_catalogs(answer.reached, [answer.anchor])
        assert {record.catalog_id} == set(answer.catalog_ids)
        assert answer.anchor in answer.confirmed_anchors
        assert answer.reached == stores.items.last_sequence
        await stores.items.upsert_many(generation, [indexed("a", "tea")])
        await delete_item(stores, record.serving.generation, "a")
        answer = await stores.items.changed_catalogs(answer.reached, [answer.anchor])
        assert {record.catalog_id, generation.catalog_id} == set(answer.catalog_ids)
        answer = await stores.items.changed_catalogs(answer.reached, [answer.anchor])
        assert set() == set(answer.catalog_ids)
