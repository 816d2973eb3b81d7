from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from support.clock import FakeClock
from support.embedders import SPACE, unit_vector
from support.stores import (
    all_changes,
    all_items,
    chunks_of,
    delete_item,
    indexed,
    opened,
    pending,
    rows,
    upsert_user,
    with_others,
)

from service import errors
from service.domain import limits
from service.domain.generations import CatalogRecord, Generation
from service.domain.items import ItemState
from service.domain.spaces import Model, VectorStorage
from service.domain.usage import TokenUsage
from service.domain.users import Preference, User
from service.domain.vectors import Chunk, text_hash
from service.storage.records import FillProgress, ItemVectors, ItemWrite
from service.storage.stores import Stores

NEW = Model(replace(SPACE, model="new"))
OTHER = Model(replace(SPACE, model="other"), 16)


def turned(text: str) -> Chunk:
    """What the new model makes of a text: another vector than the old one's."""
    return Chunk(text_hash(f"new {text}"), unit_vector(f"new {text}"))


async def default(stores: Stores) -> CatalogRecord:
    return (await stores.generations.list_catalogs())["default"]


async def started(stores: Stores) -> Generation:
    """A second generation of the default catalog."""
    await stores.generations.start_next(await default(stores), NEW)
    record = (await default(stores)).next
    assert record is not None
    return record.generation


async def fill(stores: Stores, generation: Generation) -> int:
    """Fills a generation; how many items it took."""
    items = await stores.reembedding.list_unfilled(generation, 0, 1_000)
    await stores.reembedding.fill(
        generation, [(each, [turned(each.text)]) for each in items], TokenUsage(7, 0.5)
    )
    return len(items)


async def switched(stores: Stores) -> tuple[Generation, Generation]:
    """The former generation of a catalog with the item "a", and the new one that serves."""
    former = (await default(stores)).serving.generation
    await stores.items.upsert_many(former, [indexed("a", "tea")])
    new = await started(stores)
    await fill(stores, new)
    await stores.generations.start_indexing(new)
    assert await stores.generations.switch(former, new)
    return former, new


async def served(stores: Stores, generation: Generation) -> dict[str, Sequence[bytes]]:
    """The vectors of each item in a generation."""
    return {each.item_id: each.vectors for each in await all_changes(stores, generation)}


async def removed(stores: Stores) -> None:
    """Removes all that was dropped."""
    while await stores.removal.remove_rows():
        pass


async def test_a_new_generation_is_filled_and_then_serves(tmp_path: Path) -> None:
    """The old generation serves until the switch; then the new one serves and the old is kept."""
    async with opened(tmp_path, FakeClock()) as (stores, former):
        stored = await stores.items.upsert_many(former, [indexed("a", "tea"), indexed("b", "rum")])
        new = await started(stores)
        assert ["tea", "rum"] == [
            each.text for each in await stores.reembedding.list_unfilled(new, 0, 10)
        ]
        assert 2 == await fill(stores, new)
        assert [] == await stores.reembedding.list_unfilled(new, 0, 10)
        assert former == (await default(stores)).serving.generation
        await stores.generations.start_indexing(new)
        assert await stores.generations.switch(former, new)
        record = await default(stores)
        assert (new, former) == (
            record.serving.generation,
            record.previous and record.previous.generation,
        )
        assert {
            each: [turned(text).vector.tobytes()] for each, text in (("a", "tea"), ("b", "rum"))
        } == {name: list(vectors) for name, vectors in (await served(stores, new)).items()}
        assert (unit_vector("tea").tobytes(),) == (await served(stores, former))["a"]
        assert stored == await all_items(stores, new)
        assert (TokenUsage(7, 0.5), True) == (record.serving.spent, record.own_model)


async def test_filling_is_no_change_of_the_items(tmp_path: Path) -> None:
    """Those who follow the serving generation need not take in anew what is filled aside."""
    async with opened(tmp_path, FakeClock()) as (stores, former):
        await stores.items.upsert_many(former, [indexed("a", "tea")])
        new = await started(stores)
        before = stores.database.last_sequence
        await fill(stores, new)
        assert [] == await all_changes(stores, former, before)


async def test_a_write_goes_to_every_generation(tmp_path: Path) -> None:
    """An item written with both vectors has both; without the new one it waits there only."""
    async with opened(tmp_path, FakeClock()) as (stores, former):
        new = await started(stores)
        both = with_others(indexed("a", "tea"), {new.generation_id: [turned("tea")]})
        stored = await stores.items.upsert_many(former, [both, indexed("b", "rum")])
        assert [ItemState.INDEXED] * 2 == [each.state for each in stored]
        assert [] == await stores.pending.list_groups(former)
        assert [1] == [group.item_count for group in await stores.pending.list_groups(new)]
        assert [] == await stores.reembedding.list_unfilled(new, 0, 10)
        assert (turned("tea").vector.tobytes(),) == (await served(stores, new))["a"]
        assert () == (await served(stores, new))["b"]
        await stores.generations.start_indexing(new)
        assert not await stores.generations.switch(former, new)
        (due,) = await stores.pending.list_due(new, 10)
        await stores.pending.settle(new, due, [turned("rum")])
        assert await stores.generations.switch(former, new)


async def test_what_waits_in_both_generations_does_not_hold_up_the_switch(tmp_path: Path) -> None:
    """An item that has no vector anyway may get its first one after the switch as well."""
    async with opened(tmp_path, FakeClock()) as (stores, former):
        new = await started(stores)
        await stores.items.upsert_many(former, [pending("a", "tea", "an outage")])
        await stores.generations.start_indexing(new)
        assert await stores.generations.switch(former, new)
        assert [ItemState.PENDING] == [each.state for each in await all_items(stores, new)]


async def test_an_outdated_text_is_not_filled(tmp_path: Path) -> None:
    """A vector of a text that was replaced meanwhile is kept, but does not serve the item."""
    async with opened(tmp_path, FakeClock()) as (stores, former):
        await stores.items.upsert_many(former, [indexed("a", "old")])
        new = await started(stores)
        (outdated,) = await stores.reembedding.list_unfilled(new, 0, 10)
        both = with_others(indexed("a", "new"), {new.generation_id: [turned("new")]})
        await stores.items.upsert_many(former, [both])
        await stores.reembedding.fill(new, [(outdated, [turned("old")])], TokenUsage())
        assert (turned("new").vector.tobytes(),) == (await served(stores, new))["a"]
        known = await stores.vectors.get_many(new, [turned("old").text_hash])
        assert [turned("old").text_hash] == list(known)


async def test_a_refused_text_waits_and_is_not_filled_again(tmp_path: Path) -> None:
    """What the new model refuses waits with the reason, and is no longer to be filled."""
    async with opened(tmp_path, FakeClock()) as (stores, former):
        await stores.items.upsert_many(former, [indexed("a", "tea")])
        new = await started(stores)
        (item,) = await stores.reembedding.list_unfilled(new, 0, 10)
        await stores.reembedding.reject(new, item, "TEXT_REJECTED", "too odd")
        assert [("TEXT_REJECTED", "too odd", 1)] == await stores.pending.list_groups(new)
        assert [] == await stores.reembedding.list_unfilled(new, 0, 10)
        due = await stores.pending.list_due(new, 10)
        await stores.pending.postpone(new, due[0], "TEXT_REJECTED", "too odd", None)
        assert FillProgress(1, 0, 1) == await stores.reembedding.get_progress(new)


async def test_cancelling_before_the_switch_drops_the_new_generation(tmp_path: Path) -> None:
    """The old generation goes on; what was paid for stays, so that the next start finds it."""
    async with opened(tmp_path, FakeClock()) as (stores, former):
        await stores.items.upsert_many(former, [indexed("a", "tea")])
        new = await started(stores)
        await fill(stores, new)
        await stores.generations.cancel(await default(stores))
        record = await default(stores)
        assert [former] == [each.generation for each in record.generations]
        assert former == record.serving.generation
        await removed(stores)
        assert [turned("tea").text_hash] == list(
            await stores.vectors.get_many(new, [turned("tea").text_hash])
        )
        assert (unit_vector("tea").tobytes(),) == (await served(stores, former))["a"]
    assert [(1,)] == rows(tmp_path, "SELECT count(*) FROM item_vectors")
    assert [(1,)] == rows(tmp_path, "SELECT count(*) FROM generations")


async def test_rolling_back_makes_the_former_generation_serve_again(tmp_path: Path) -> None:
    """The former generation serves again, with what was written in between."""
    async with opened(tmp_path, FakeClock()) as (stores, _):
        former, new = await switched(stores)
        later = ItemWrite(
            indexed("b", "rum").item,
            ItemVectors([turned("rum")], others={former.generation_id: chunks_of("rum")}),
        )
        await stores.items.upsert_many(new, [later])
        await stores.generations.rollback(await default(stores))
        record = await default(stores)
        assert [former] == [each.generation for each in record.generations]
        assert former == record.serving.generation
        assert (unit_vector("rum").tobytes(),) == (await served(stores, former))["b"]


async def test_finishing_drops_the_former_generation_and_its_vectors(tmp_path: Path) -> None:
    """Only vectors that no other generation can use go with it."""
    async with opened(tmp_path, FakeClock()) as (stores, _):
        former, new = await switched(stores)
        await stores.generations.commit(await default(stores))
        await removed(stores)
        assert {} == await stores.vectors.get_many(former, [text_hash("tea")])
        assert (turned("tea").vector.tobytes(),) == (await served(stores, new))["a"]
    assert [(1,)] == rows(tmp_path, "SELECT count(*) FROM generations")
    assert [(1,)] == rows(tmp_path, "SELECT count(*) FROM vectors")


async def test_vectors_that_another_catalog_uses_stay(tmp_path: Path) -> None:
    """A catalog that goes takes no vector along that another one in its space has."""
    async with opened(tmp_path, FakeClock()) as (stores, generation):
        other = await stores.generations.create_catalog(
            "other", Model(SPACE), VectorStorage.UNSPECIFIED
        )
        await stores.items.upsert_many(generation, [indexed("a", "tea")])
        await stores.items.upsert_many(
            other.serving.generation, [indexed("a", "tea"), indexed("b", "rum")]
        )
        await upsert_user(stores, other.serving.generation, User("u", (Preference("tea"),)))
        assert await stores.generations.delete_catalog("other")
        await removed(stores)
        assert (unit_vector("tea").tobytes(),) == (await served(stores, generation))["a"]
    assert [(1,)] == rows(tmp_path, "SELECT count(*) FROM items")
    assert [(0,)] == rows(tmp_path, "SELECT count(*) FROM users")
    assert [(1,)] == rows(tmp_path, "SELECT count(*) FROM catalogs")


async def test_a_rolled_back_generation_keeps_its_vectors(tmp_path: Path) -> None:
    """After a rollback the new model's vectors stay on disk, so that nobody pays for them again."""
    async with opened(tmp_path, FakeClock()) as (stores, _):
        former, new = await switched(stores)
        await stores.generations.rollback(await default(stores))
        await removed(stores)
        assert [turned("tea").text_hash] == list(
            await stores.vectors.get_many(new, [turned("tea").text_hash])
        )
        assert (unit_vector("tea").tobytes(),) == (await served(stores, former))["a"]
        await stores.generations.start_next(await default(stores), NEW)
    assert [(1, "serving"), (3, "embedding")] == rows(
        tmp_path, "SELECT generation_id, state FROM generations"
    )


async def test_before_a_re_embedding_there_is_nothing_to_end(tmp_path: Path) -> None:
    """Without a next or previous generation it can be neither cancelled, undone nor committed."""
    async with opened(tmp_path, FakeClock()) as (stores, _):
        record, generations = await default(stores), stores.generations
        for work in (generations.cancel, generations.rollback, generations.commit):
            with pytest.raises(errors.ReembeddingNotFound):
                await work(record)


async def test_before_the_switch_a_re_embedding_can_only_be_cancelled(tmp_path: Path) -> None:
    """There is one at a time, and nothing to roll back or commit before the switch."""
    async with opened(tmp_path, FakeClock()) as (stores, _):
        generations = stores.generations
        new = await started(stores)
        record = await default(stores)
        for indexing in (False, True):
            if indexing:
                await generations.start_indexing(new)
            with pytest.raises(errors.ReembeddingUnderWay):
                await generations.start_next(record, OTHER)
            for work in (generations.rollback, generations.commit):
                with pytest.raises(errors.ReembeddingUnderWay):
                    await work(record)
        await generations.cancel(record)
        assert None is (await default(stores)).next


async def test_after_the_switch_a_re_embedding_cannot_be_cancelled(tmp_path: Path) -> None:
    """Until its commit or rollback it can be neither cancelled nor followed by another one."""
    async with opened(tmp_path, FakeClock()) as (stores, _):
        former, _ = await switched(stores)
        record = await default(stores)
        with pytest.raises(errors.ReembeddingNotCommitted):
            await stores.generations.cancel(record)
        with pytest.raises(errors.ReembeddingNotCommitted):
            await stores.generations.start_next(record, OTHER)
        assert record == await default(stores)
        assert record.previous is not None
        assert former == record.previous.generation


async def test_a_deleted_catalog_cannot_be_re_embedded(tmp_path: Path) -> None:
    """No step of a re-embedding touches a catalog of the same name that was created since."""
    async with opened(tmp_path, FakeClock()) as (stores, _):
        generations = stores.generations
        gone = await generations.create_catalog("other", NEW, VectorStorage.UNSPECIFIED)
        await generations.delete_catalog("other")
        await generations.create_catalog("other", NEW, VectorStorage.UNSPECIFIED)
        for work in (generations.cancel, generations.rollback, generations.commit):
            with pytest.raises(errors.CatalogNotFound):
                await work(gone)
        with pytest.raises(errors.CatalogNotFound):
            await generations.start_next(gone, OTHER)


async def test_a_problem_is_noted_with_its_reason(tmp_path: Path) -> None:
    """What stops a generation shows with code and message until it is cleared."""
    async with opened(tmp_path, FakeClock()) as (stores, _):
        new = await started(stores)
        for problem in (("BUDGET_SPENT", "today's budget is spent"), ("", "")):
            await stores.generations.note_problem(new, *problem)
            record = (await default(stores)).next
            assert record is not None
            assert problem == (record.problem_reason, record.problem_message)


async def test_what_a_next_generation_would_be_is_not_stored(tmp_path: Path) -> None:
    """A preview has no id, and the space's id only if the space is known."""
    async with opened(tmp_path, FakeClock()) as (stores, former):
        record = await default(stores)
        preview = await stores.generations.preview_next(record, NEW)
        assert (0, 0) == (preview.generation_id, preview.space_id)
        preview = await stores.generations.preview_next(record, Model(SPACE))
        assert (0, former.space_id) == (preview.generation_id, preview.space_id)
        assert record == await default(stores)


async def test_catalogs_are_apart(tmp_path: Path) -> None:
    """What is written into one catalog is not in another, whatever the ids."""
    async with opened(tmp_path, FakeClock()) as (stores, generation):
        made = await stores.generations.create_catalog("other", OTHER, VectorStorage.FLOAT16)
        other = made.serving.generation
        await stores.items.upsert_many(generation, [indexed("a", "tea")])
        await upsert_user(stores, generation, User("u"))
        assert [] == await all_items(stores, other)
        assert [] == await all_changes(stores, other)
        assert 0 == await delete_item(stores, other, "a")
        assert None is await stores.users.get(other, "u")
        assert not await stores.users.delete(other, "u")
        assert {} == await stores.vectors.get_many(other, [text_hash("tea")])
        assert (VectorStorage.FLOAT16, True) == (made.vector_storage, made.own_model)
        assert OTHER == (await stores.generations.list_catalogs())["other"].serving.model


async def test_a_deleted_catalog_takes_no_writes(tmp_path: Path) -> None:
    """A write that was under way fails; a catalog of the same name starts empty."""
    async with opened(tmp_path, FakeClock()) as (stores, _):
        gone = (
            await stores.generations.create_catalog("other", NEW, VectorStorage.UNSPECIFIED)
        ).serving.generation
        await stores.items.upsert_many(gone, [indexed("a", "tea")])
        assert await stores.generations.delete_catalog("other")
        assert not await stores.generations.delete_catalog("other")
        with pytest.raises(errors.CatalogNotFound):
            await stores.items.upsert_many(gone, [indexed("b", "rum")])
        with pytest.raises(errors.CatalogNotFound):
            await upsert_user(stores, gone, User("u"))
        again = await stores.generations.create_catalog("other", NEW, VectorStorage.UNSPECIFIED)
        assert [] == await all_items(stores, again.serving.generation)
        await removed(stores)
        assert again == (await stores.generations.list_catalogs())["other"]


async def test_there_are_only_so_many_catalogs(tmp_path: Path) -> None:
    """A name is taken once, and beyond the limit no catalog is made."""
    async with opened(tmp_path, FakeClock()) as (stores, _):
        with pytest.raises(errors.CatalogExists):
            await stores.generations.create_catalog("default", NEW, VectorStorage.UNSPECIFIED)
        for number in range(limits.CATALOGS - 1):
            await stores.generations.create_catalog(f"c{number}", NEW, VectorStorage.UNSPECIFIED)
        with pytest.raises(errors.TooManyCatalogs):
            await stores.generations.create_catalog("more", NEW, VectorStorage.UNSPECIFIED)


async def test_every_change_of_catalogs_is_told(tmp_path: Path) -> None:
    """Making, deleting and re-embedding move the version, and the sequence that others follow."""
    async with opened(tmp_path, FakeClock()) as (stores, _):
        seen = [(await stores.generations.get_version(), stores.database.last_sequence)]
        for work in (
            stores.generations.create_catalog("other", NEW, VectorStorage.UNSPECIFIED),
            stores.generations.delete_catalog("other"),
            stores.generations.start_next(await default(stores), NEW),
            stores.generations.cancel(await default(stores)),
        ):
            await work
            seen.append((await stores.generations.get_version(), stores.database.last_sequence))
        assert len(seen) == len({version for version, _ in seen})
        assert len(seen) == len({sequence for _, sequence in seen})
