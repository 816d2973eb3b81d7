from dataclasses import replace
from pathlib import Path

import pytest
from support.clock import FakeClock
from support.embedders import SPACE, unit_vector
from support.stores import (
    all_changes,
    all_items,
    chunks_of,
    default_catalog,
    indexed,
    opened,
    pending,
    remove_dropped,
    rows,
    served_vectors,
    with_others,
)

from service import errors
from service.domain.generations import Generation
from service.domain.items import ItemState
from service.domain.spaces import Model
from service.domain.usage import TokenUsage
from service.domain.vectors import Chunk
from service.embedding.prompts import hash_text
from service.storage.records import FillProgress, ItemVectors, ItemWrite
from service.storage.stores import Stores

NEW = Model(replace(SPACE, model="new"))
OTHER = Model(replace(SPACE, model="other"), 16)


def new_chunk(text: str) -> Chunk:
    """The chunk of a text with the vector of the new model."""
    return Chunk(hash_text(f"new {text}"), unit_vector(f"new {text}"))


async def start_next(stores: Stores) -> Generation:
    """Starts a next generation of the default catalog."""
    await stores.generations.start_next(await default_catalog(stores), NEW)
    record = (await default_catalog(stores)).next
    assert record is not None
    return record.generation


async def fill(stores: Stores, generation: Generation) -> int:
    """Fills a generation; returns the number of its items."""
    items = await stores.reembedding.list_unfilled(generation, 0, 1_000)
    await stores.reembedding.fill(
        generation, [(item, [new_chunk(item.text)]) for item in items], TokenUsage(7, 0.5)
    )
    return len(items)


async def switch(stores: Stores) -> tuple[Generation, Generation]:
    """Re-embeds a catalog with the item "a"; returns its previous and its serving generation."""
    previous = (await default_catalog(stores)).serving.generation
    await stores.items.upsert_many(previous, [indexed("a", "tea")])
    new = await start_next(stores)
    await fill(stores, new)
    await stores.generations.start_indexing(new)
    assert await stores.generations.switch(previous, new)
    return previous, new


async def test_a_new_generation_is_filled_and_then_serves(tmp_path: Path) -> None:
    """The old generation serves until the switch; then the new one serves and the old one stays."""
    async with opened(tmp_path, FakeClock()) as (stores, previous):
        stored = await stores.items.upsert_many(
            previous, [indexed("a", "tea"), indexed("b", "rum")]
        )
        new = await start_next(stores)
        assert ["tea", "rum"] == [
            item.text for item in await stores.reembedding.list_unfilled(new, 0, 10)
        ]
        assert 2 == await fill(stores, new)
        assert [] == await stores.reembedding.list_unfilled(new, 0, 10)
        assert previous == (await default_catalog(stores)).serving.generation
        await stores.generations.start_indexing(new)
        assert await stores.generations.switch(previous, new)
        record = await default_catalog(stores)
        assert (new, previous) == (
            record.serving.generation,
            record.previous and record.previous.generation,
        )
        assert {
            item_id: [new_chunk(text).vector.tobytes()]
            for item_id, text in (("a", "tea"), ("b", "rum"))
        } == {name: list(vectors) for name, vectors in (await served_vectors(stores, new)).items()}
        assert (unit_vector("tea").tobytes(),) == (await served_vectors(stores, previous))["a"]
        assert stored == await all_items(stores, new)
        assert (TokenUsage(7, 0.5), True) == (record.serving.spent, record.own_model)


async def test_the_default_catalog_keeps_a_model_of_its_own(tmp_path: Path) -> None:
    """A process that chose the model of the settings before a switch opens what serves after it."""
    async with opened(tmp_path, FakeClock()) as (stores, _):
        _, new = await switch(stores)
        opened_catalog = await stores.generations.open_default(Model(SPACE))
        assert (new, NEW) == (
            opened_catalog.serving.generation,
            opened_catalog.serving.model,
        )


async def test_filling_does_not_change_the_items(tmp_path: Path) -> None:
    """Followers of the serving generation do not read the items again that the next one gets."""
    async with opened(tmp_path, FakeClock()) as (stores, previous):
        await stores.items.upsert_many(previous, [indexed("a", "tea")])
        new = await start_next(stores)
        before = stores.database.commits.last_sequence
        await fill(stores, new)
        assert [] == await all_changes(stores, previous, before)


async def test_a_write_goes_to_every_generation(tmp_path: Path) -> None:
    """An item written with both vectors has both; without the new one it is pending there only."""
    async with opened(tmp_path, FakeClock()) as (stores, previous):
        new = await start_next(stores)
        both = with_others(indexed("a", "tea"), {new.generation_id: [new_chunk("tea")]})
        stored = await stores.items.upsert_many(previous, [both, indexed("b", "rum")])
        assert [ItemState.INDEXED] * 2 == [item.state for item in stored]
        assert [] == await stores.pending.list_groups(previous)
        assert [1] == [group.item_count for group in await stores.pending.list_groups(new)]
        assert [] == await stores.reembedding.list_unfilled(new, 0, 10)
        assert (new_chunk("tea").vector.tobytes(),) == (await served_vectors(stores, new))["a"]
        assert () == (await served_vectors(stores, new))["b"]
        await stores.generations.start_indexing(new)
        assert not await stores.generations.switch(previous, new)
        (due,) = await stores.pending.list_due(new, 10)
        await stores.pending.settle(new, due, [new_chunk("rum")])
        assert await stores.generations.switch(previous, new)


async def test_items_pending_in_both_generations_do_not_delay_the_switch(tmp_path: Path) -> None:
    """An item without a vector in either generation can get its first one after the switch."""
    async with opened(tmp_path, FakeClock()) as (stores, previous):
        new = await start_next(stores)
        await stores.items.upsert_many(previous, [pending("a", "tea", "an outage")])
        await stores.generations.start_indexing(new)
        assert await stores.generations.switch(previous, new)
        assert [ItemState.PENDING] == [item.state for item in await all_items(stores, new)]


async def test_an_outdated_text_is_not_filled(tmp_path: Path) -> None:
    """The vector of a text that was replaced is stored, but does not serve the item."""
    async with opened(tmp_path, FakeClock()) as (stores, previous):
        await stores.items.upsert_many(previous, [indexed("a", "old")])
        new = await start_next(stores)
        (outdated,) = await stores.reembedding.list_unfilled(new, 0, 10)
        both = with_others(indexed("a", "new"), {new.generation_id: [new_chunk("new")]})
        await stores.items.upsert_many(previous, [both])
        await stores.reembedding.fill(new, [(outdated, [new_chunk("old")])], TokenUsage())
        assert (new_chunk("new").vector.tobytes(),) == (await served_vectors(stores, new))["a"]
        vectors = await stores.vectors.get_many(new, [new_chunk("old").text_hash])
        assert [new_chunk("old").text_hash] == list(vectors)


async def test_a_rejected_text_is_pending_and_not_filled_again(tmp_path: Path) -> None:
    """An item whose text the new model rejects is pending with the reason."""
    async with opened(tmp_path, FakeClock()) as (stores, previous):
        await stores.items.upsert_many(previous, [indexed("a", "tea")])
        new = await start_next(stores)
        (item,) = await stores.reembedding.list_unfilled(new, 0, 10)
        await stores.reembedding.reject(new, item, "TEXT_REJECTED", "too odd")
        (group,) = await stores.pending.list_groups(new)
        assert ("TEXT_REJECTED", "too odd", 1) == group[:3]
        assert [] == await stores.reembedding.list_unfilled(new, 0, 10)
        due = await stores.pending.list_due(new, 10)
        await stores.pending.postpone(new, due[0], "TEXT_REJECTED", "too odd", None)
        assert FillProgress(1, 0, 1) == await stores.reembedding.get_progress(new)


async def test_cancelling_before_the_switch_drops_the_new_generation(tmp_path: Path) -> None:
    """The old generation serves, and the new vectors stay, so that nobody pays for them again."""
    async with opened(tmp_path, FakeClock()) as (stores, previous):
        await stores.items.upsert_many(previous, [indexed("a", "tea")])
        new = await start_next(stores)
        await fill(stores, new)
        await stores.generations.cancel(await default_catalog(stores))
        record = await default_catalog(stores)
        assert [previous] == [generation.generation for generation in record.generations]
        assert previous == record.serving.generation
        await remove_dropped(stores)
        assert [new_chunk("tea").text_hash] == list(
            await stores.vectors.get_many(new, [new_chunk("tea").text_hash])
        )
        assert (unit_vector("tea").tobytes(),) == (await served_vectors(stores, previous))["a"]
    assert [(1,)] == rows(tmp_path, "SELECT count(*) FROM item_vectors")
    assert [(1,)] == rows(tmp_path, "SELECT count(*) FROM generations")


async def test_a_rollback_makes_the_previous_generation_serve_again(tmp_path: Path) -> None:
    """The previous generation serves again, with the writes since the switch."""
    async with opened(tmp_path, FakeClock()) as (stores, _):
        previous, new = await switch(stores)
        later = ItemWrite(
            indexed("b", "rum").item,
            ItemVectors([new_chunk("rum")], others={previous.generation_id: chunks_of("rum")}),
        )
        await stores.items.upsert_many(new, [later])
        await stores.generations.rollback(await default_catalog(stores))
        record = await default_catalog(stores)
        assert [previous] == [generation.generation for generation in record.generations]
        assert previous == record.serving.generation
        assert (unit_vector("rum").tobytes(),) == (await served_vectors(stores, previous))["b"]


async def test_a_commit_leaves_the_previous_vectors_to_the_purge(tmp_path: Path) -> None:
    """The previous generation's vectors, which may have been paid for, count as unused."""
    async with opened(tmp_path, FakeClock()) as (stores, _):
        previous, new = await switch(stores)
        await stores.generations.commit(await default_catalog(stores))
        await remove_dropped(stores)
        assert await stores.vectors.get_many(previous, [hash_text("tea")])
        await stores.unused_rows.remove_unused_vectors(stores.database.now_us(), 0)
        assert {} == await stores.vectors.get_many(previous, [hash_text("tea")])
        assert (new_chunk("tea").vector.tobytes(),) == (await served_vectors(stores, new))["a"]
    assert [(1,)] == rows(tmp_path, "SELECT count(*) FROM generations")
    assert [(1,)] == rows(tmp_path, "SELECT count(*) FROM vectors")


async def test_a_rolled_back_generation_keeps_its_vectors(tmp_path: Path) -> None:
    """After a rollback the new model's vectors stay on disk, so that nobody pays for them again."""
    async with opened(tmp_path, FakeClock()) as (stores, _):
        previous, new = await switch(stores)
        await stores.generations.rollback(await default_catalog(stores))
        await remove_dropped(stores)
        assert [new_chunk("tea").text_hash] == list(
            await stores.vectors.get_many(new, [new_chunk("tea").text_hash])
        )
        assert (unit_vector("tea").tobytes(),) == (await served_vectors(stores, previous))["a"]
        await stores.generations.start_next(await default_catalog(stores), NEW)
    assert [(1, "serving"), (3, "embedding")] == rows(
        tmp_path, "SELECT generation_id, state FROM generations"
    )


async def test_before_a_re_embedding_there_is_nothing_to_end(tmp_path: Path) -> None:
    """Without a next or previous generation nothing can be cancelled, rolled back or committed."""
    async with opened(tmp_path, FakeClock()) as (stores, _):
        record, generations = await default_catalog(stores), stores.generations
        for work in (generations.cancel, generations.rollback, generations.commit):
            with pytest.raises(errors.ReembeddingNotFound):
                await work(record)


async def test_before_the_switch_a_re_embedding_can_only_be_cancelled(tmp_path: Path) -> None:
    """There is one at a time, and nothing to roll back or commit before the switch."""
    async with opened(tmp_path, FakeClock()) as (stores, _):
        generations = stores.generations
        new = await start_next(stores)
        record = await default_catalog(stores)
        for indexing in (False, True):
            if indexing:
                await generations.start_indexing(new)
            with pytest.raises(errors.ReembeddingUnderWay):
                await generations.start_next(record, OTHER)
            for work in (generations.rollback, generations.commit):
                with pytest.raises(errors.ReembeddingUnderWay):
                    await work(record)
        await generations.cancel(record)
        assert None is (await default_catalog(stores)).next


async def test_after_the_switch_a_re_embedding_cannot_be_cancelled(tmp_path: Path) -> None:
    """Until its commit or rollback it can be neither cancelled nor followed by another one."""
    async with opened(tmp_path, FakeClock()) as (stores, _):
        previous, _ = await switch(stores)
        record = await default_catalog(stores)
        with pytest.raises(errors.ReembeddingNotCommitted):
            await stores.generations.cancel(record)
        with pytest.raises(errors.ReembeddingNotCommitted):
            await stores.generations.start_next(record, OTHER)
        assert record == await default_catalog(stores)
        assert record.previous is not None
        assert previous == record.previous.generation


async def test_a_problem_is_noted_with_its_reason(tmp_path: Path) -> None:
    """The error that stops a generation is stored with code and message until it is cleared."""
    async with opened(tmp_path, FakeClock()) as (stores, _):
        new = await start_next(stores)
        for problem in (("BUDGET_SPENT", "today's budget is spent"), ("", "")):
            await stores.generations.note_problem(new, *problem)
            record = (await default_catalog(stores)).next
            assert record is not None
            assert problem == (record.problem_reason, record.problem_message)


async def test_what_a_next_generation_would_be_is_not_stored(tmp_path: Path) -> None:
    """A preview has no id, and the space's id only if the space is known."""
    async with opened(tmp_path, FakeClock()) as (stores, previous):
        record = await default_catalog(stores)
        preview = await stores.generations.preview_next(record, NEW)
        assert (0, 0) == (preview.generation_id, preview.space_id)
        preview = await stores.generations.preview_next(record, Model(SPACE))
        assert (0, previous.space_id) == (preview.generation_id, preview.space_id)
        assert record == await default_catalog(stores)
