import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from importlib import resources
from pathlib import Path

import pytest
from support.clock import FakeClock
from support.embedders import SPACE, unit_vector
from support.stores import all_changes, all_items, indexed, opened, rows

from service import errors
from service.domain import limits
from service.domain.generations import CatalogRecord, Generation, GenerationState
from service.domain.items import ItemState
from service.domain.spaces import Model, VectorStorage
from service.domain.usage import TokenUsage
from service.domain.users import Preference, User
from service.domain.vectors import Chunk, hash_text
from service.storage import Registry, Store
from service.storage.records import ItemWrite

NEW = Model(replace(SPACE, model="new"))
OTHER = Model(replace(SPACE, model="other"), 16)


def turned(text: str) -> Chunk:
    """What the new model makes of a text: another vector than the old one's."""
    return Chunk(hash_text(f"new {text}"), unit_vector(f"new {text}"))


async def default(store: Store) -> CatalogRecord:
    return (await Registry(store).catalogs())["default"]


async def started(store: Store) -> Generation:
    """A second generation of the default catalog."""
    await Registry(store).add_generation(await default(store), NEW)
    other = (await default(store)).other
    assert other is not None
    return other.generation


async def fill(store: Store, generation: Generation) -> int:
    """Fills a generation; how many items it took."""
    registry = Registry(store)
    items = await registry.unfilled(generation, 0, 1_000)
    await registry.fill(
        generation, [(each, [turned(each.text)]) for each in items], TokenUsage(7, 0.5)
    )
    return len(items)


async def switched(store: Store) -> tuple[Generation, Generation]:
    """The former generation of a catalog with the item "a", and the new one that serves."""
    former = (await default(store)).serving.generation
    await store.upsert_items(former, [indexed("a", "tea")])
    new = await started(store)
    await fill(store, new)
    await Registry(store).set_state(new, GenerationState.INDEXING)
    assert await Registry(store).switch(former, new)
    return former, new


async def served(store: Store, generation: Generation) -> dict[str, Sequence[bytes]]:
    """The vectors of each item in a generation."""
    return {each.item_id: each.vectors for each in await all_changes(store, generation)}


async def removed(store: Store) -> None:
    """Removes all that was dropped."""
    registry = Registry(store)
    while await registry.remove_some():
        pass


async def test_a_new_generation_is_filled_and_then_serves(tmp_path: Path) -> None:
    """The old generation serves until the switch; then the new one serves and the old is kept."""
    async with opened(tmp_path, FakeClock()) as (store, former):
        registry = Registry(store)
        stored = await store.upsert_items(former, [indexed("a", "tea"), indexed("b", "rum")])
        new = await started(store)
        assert ["tea", "rum"] == [each.text for each in await registry.unfilled(new, 0, 10)]
        assert 2 == await fill(store, new)
        assert [] == await registry.unfilled(new, 0, 10)
        assert former == (await default(store)).serving.generation
        await registry.set_state(new, GenerationState.INDEXING)
        assert await registry.switch(former, new)
        record = await default(store)
        assert (new, former) == (
            record.serving.generation,
            record.other and record.other.generation,
        )
        assert {
            each: [turned(text).vector.tobytes()] for each, text in (("a", "tea"), ("b", "rum"))
        } == {name: list(vectors) for name, vectors in (await served(store, new)).items()}
        assert (unit_vector("tea").tobytes(),) == (await served(store, former))["a"]
        assert stored == await all_items(store, new)
        assert (TokenUsage(7, 0.5), True) == (record.serving.spent, record.own_model)


async def test_filling_is_no_change_of_the_items(tmp_path: Path) -> None:
    """Those who follow the serving generation need not take in anew what is filled aside."""
    async with opened(tmp_path, FakeClock()) as (store, former):
        await store.upsert_items(former, [indexed("a", "tea")])
        new = await started(store)
        before = store.last_sequence
        await fill(store, new)
        assert [] == await all_changes(store, former, before)


async def test_a_write_goes_to_every_generation(tmp_path: Path) -> None:
    """An item written with both vectors has both; without the new one it waits there only."""
    async with opened(tmp_path, FakeClock()) as (store, former):
        new = await started(store)
        both = replace(indexed("a", "tea"), others={new.generation_id: [turned("tea")]})
        stored = await store.upsert_items(former, [both, indexed("b", "rum")])
        assert [ItemState.INDEXED] * 2 == [each.state for each in stored]
        assert {} == await store.pending_reasons(former)
        assert [1] == list((await store.pending_reasons(new)).values())
        assert [] == await Registry(store).unfilled(new, 0, 10)
        assert (turned("tea").vector.tobytes(),) == (await served(store, new))["a"]
        assert () == (await served(store, new))["b"]
        await Registry(store).set_state(new, GenerationState.INDEXING)
        assert not await Registry(store).switch(former, new)
        (due,) = await store.due_pending(new, 10)
        await store.settle(new, due, [turned("rum")])
        assert await Registry(store).switch(former, new)


async def test_what_waits_in_both_generations_does_not_hold_up_the_switch(tmp_path: Path) -> None:
    """An item that has no vector anyway may get its first one after the switch as well."""
    async with opened(tmp_path, FakeClock()) as (store, former):
        new = await started(store)
        item = indexed("a", "tea").item
        await store.upsert_items(former, [ItemWrite(item, pending_reason="an outage")])
        await Registry(store).set_state(new, GenerationState.INDEXING)
        assert await Registry(store).switch(former, new)
        assert [ItemState.PENDING] == [each.state for each in await all_items(store, new)]


async def test_an_outdated_text_is_not_filled(tmp_path: Path) -> None:
    """A vector of a text that was replaced meanwhile is kept, but does not serve the item."""
    async with opened(tmp_path, FakeClock()) as (store, former):
        await store.upsert_items(former, [indexed("a", "old")])
        new = await started(store)
        (outdated,) = await Registry(store).unfilled(new, 0, 10)
        both = replace(indexed("a", "new"), others={new.generation_id: [turned("new")]})
        await store.upsert_items(former, [both])
        await Registry(store).fill(new, [(outdated, [turned("old")])], TokenUsage())
        assert (turned("new").vector.tobytes(),) == (await served(store, new))["a"]
        known = await store.vectors(new, [turned("old").text_hash])
        assert [turned("old").text_hash] == list(known)


async def test_a_refused_text_waits_and_is_not_filled_again(tmp_path: Path) -> None:
    """What the new model refuses waits with the reason, and is no longer to be filled."""
    async with opened(tmp_path, FakeClock()) as (store, former):
        await store.upsert_items(former, [indexed("a", "tea")])
        new = await started(store)
        (item,) = await Registry(store).unfilled(new, 0, 10)
        await Registry(store).refuse(new, item, "too odd")
        assert {"too odd": 1} == await store.pending_reasons(new)
        assert [] == await Registry(store).unfilled(new, 0, 10)
        due = await store.due_pending(new, 10)
        await store.postpone(new, due[0], "too odd", None)
        assert (0, 1) == await Registry(store).filled(new)


async def test_cancelling_before_the_switch_drops_the_new_generation(tmp_path: Path) -> None:
    """The old generation goes on; what was paid for stays, so that the next start finds it."""
    async with opened(tmp_path, FakeClock()) as (store, former):
        await store.upsert_items(former, [indexed("a", "tea")])
        new = await started(store)
        await fill(store, new)
        await Registry(store).cancel(await default(store))
        record = await default(store)
        assert (former, None) == (record.serving.generation, record.other)
        await removed(store)
        assert [turned("tea").text_hash] == list(
            await store.vectors(new, [turned("tea").text_hash])
        )
        assert (unit_vector("tea").tobytes(),) == (await served(store, former))["a"]
    assert [(1,)] == rows(tmp_path, "SELECT count(*) FROM item_vectors")
    assert [(1,)] == rows(tmp_path, "SELECT count(*) FROM layers")


async def test_cancelling_after_the_switch_goes_back(tmp_path: Path) -> None:
    """The former generation serves again, with what was written in between."""
    async with opened(tmp_path, FakeClock()) as (store, _):
        former, new = await switched(store)
        later = replace(
            ItemWrite(indexed("b", "rum").item, [turned("rum")]),
            others={former.generation_id: indexed("b", "rum").chunks},
        )
        await store.upsert_items(new, [later])
        await Registry(store).cancel(await default(store))
        record = await default(store)
        assert (former, None) == (record.serving.generation, record.other)
        assert (unit_vector("rum").tobytes(),) == (await served(store, former))["b"]


async def test_finishing_drops_the_former_generation_and_its_vectors(tmp_path: Path) -> None:
    """Only vectors that no other generation can use go with it."""
    async with opened(tmp_path, FakeClock()) as (store, _):
        former, new = await switched(store)
        await Registry(store).finish(await default(store))
        await removed(store)
        assert {} == await store.vectors(former, [hash_text("tea")])
        assert (turned("tea").vector.tobytes(),) == (await served(store, new))["a"]
    assert [(1,)] == rows(tmp_path, "SELECT count(*) FROM layers")
    assert [(1,)] == rows(tmp_path, "SELECT count(*) FROM vectors")


async def test_vectors_that_another_catalog_uses_stay(tmp_path: Path) -> None:
    """A catalog that goes takes no vector along that another one in its space has."""
    async with opened(tmp_path, FakeClock()) as (store, generation):
        registry = Registry(store)
        other = await registry.create("other", Model(SPACE), VectorStorage.UNSPECIFIED)
        await store.upsert_items(generation, [indexed("a", "tea")])
        await store.upsert_items(
            other.serving.generation, [indexed("a", "tea"), indexed("b", "rum")]
        )
        await store.upsert_user(other.serving.generation, User("u", (Preference("tea"),)))
        assert await registry.delete("other")
        await removed(store)
        assert (unit_vector("tea").tobytes(),) == (await served(store, generation))["a"]
    assert [(1,)] == rows(tmp_path, "SELECT count(*) FROM items")
    assert [(0,)] == rows(tmp_path, "SELECT count(*) FROM users")
    assert [(1,)] == rows(tmp_path, "SELECT count(*) FROM catalogs")


async def test_re_embedding_has_an_order(tmp_path: Path) -> None:
    """One at a time; there is nothing to cancel or finish before it, nor to finish too early."""
    async with opened(tmp_path, FakeClock()) as (store, _):
        registry = Registry(store)
        before = await default(store)
        for work in (registry.cancel, registry.finish):
            with pytest.raises(errors.ReembeddingNotFound):
                await work(before)
        await started(store)
        with pytest.raises(errors.ReembeddingUnderWay):
            await registry.add_generation(before, OTHER)
        with pytest.raises(errors.ReembeddingUnderWay):
            await registry.finish(before)


async def test_catalogs_are_apart(tmp_path: Path) -> None:
    """What is written into one catalog is not in another, whatever the ids."""
    async with opened(tmp_path, FakeClock()) as (store, generation):
        made = await Registry(store).create("other", OTHER, VectorStorage.FLOAT16)
        other = made.serving.generation
        await store.upsert_items(generation, [indexed("a", "tea")])
        await store.upsert_user(generation, User("u"))
        assert [] == await all_items(store, other)
        assert [] == await all_changes(store, other)
        assert 0 == await store.delete_item(other, "a")
        assert None is await store.get_user(other, "u")
        assert not await store.delete_user(other, "u")
        assert {} == await store.vectors(other, [hash_text("tea")])
        assert (VectorStorage.FLOAT16, True) == (made.vector_storage, made.own_model)
        assert OTHER == (await Registry(store).catalogs())["other"].serving.model


async def test_a_deleted_catalog_takes_no_writes(tmp_path: Path) -> None:
    """A write that was under way fails; a catalog of the same name starts empty."""
    async with opened(tmp_path, FakeClock()) as (store, _):
        registry = Registry(store)
        gone = (await registry.create("other", NEW, VectorStorage.UNSPECIFIED)).serving.generation
        await store.upsert_items(gone, [indexed("a", "tea")])
        assert await registry.delete("other")
        assert not await registry.delete("other")
        with pytest.raises(errors.CatalogNotFound):
            await store.upsert_items(gone, [indexed("b", "rum")])
        with pytest.raises(errors.CatalogNotFound):
            await store.upsert_user(gone, User("u"))
        again = await registry.create("other", NEW, VectorStorage.UNSPECIFIED)
        assert [] == await all_items(store, again.serving.generation)
        await removed(store)
        assert again == (await registry.catalogs())["other"]


async def test_there_are_only_so_many_catalogs(tmp_path: Path) -> None:
    """A name is taken once, and beyond the limit no catalog is made."""
    async with opened(tmp_path, FakeClock()) as (store, _):
        registry = Registry(store)
        with pytest.raises(errors.CatalogExists):
            await registry.create("default", NEW, VectorStorage.UNSPECIFIED)
        for number in range(limits.CATALOGS - 1):
            await registry.create(f"c{number}", NEW, VectorStorage.UNSPECIFIED)
        with pytest.raises(errors.TooManyCatalogs):
            await registry.create("more", NEW, VectorStorage.UNSPECIFIED)


async def test_every_change_of_catalogs_is_told(tmp_path: Path) -> None:
    """Making, deleting and re-embedding move the version, and the sequence that others follow."""
    async with opened(tmp_path, FakeClock()) as (store, _):
        registry = Registry(store)
        seen = [(await registry.version(), store.last_sequence)]
        for work in (
            registry.create("other", NEW, VectorStorage.UNSPECIFIED),
            registry.delete("other"),
            registry.add_generation(await default(store), NEW),
            registry.cancel(await default(store)),
        ):
            await work
            seen.append((await registry.version(), store.last_sequence))
        assert len(seen) == len({version for version, _ in seen})
        assert len(seen) == len({sequence for _, sequence in seen})


async def test_data_of_the_first_versions_is_taken_over(tmp_path: Path) -> None:
    """Items, their chunks, what waits and users are all there after the change of the schema."""
    scripts = sorted(resources.files("service.storage.migrations").iterdir(), key=lambda p: p.name)
    old = [each.read_text() for each in scripts if each.name.endswith(".sql")][:3]
    vector = unit_vector("tea").tobytes()
    with closing(sqlite3.connect(tmp_path / "akin.sqlite3")) as connection:
        connection.executescript("\n".join(old))
        connection.executescript("PRAGMA user_version = 3")
        connection.execute("INSERT INTO spaces VALUES (1, ?)", (SPACE.fingerprint,))
        connection.execute("INSERT INTO catalogs VALUES (1, 'default', 1)")
        for number in range(3):
            connection.execute(
                "INSERT INTO vectors VALUES (?, 1, ?, ?)", (number, bytes([number]), vector)
            )
        for key, name, first in ((1, "a", 0), (2, "b", None), (3, "c", 2)):
            connection.execute(
                "INSERT INTO items VALUES (?, 1, ?, 'text', '{}', NULL, ?, ?, ?, 5, 0)",
                (key, name, first, key, key),
            )
        connection.execute("INSERT INTO more_vectors VALUES (1, 1, 1)")
        connection.execute("INSERT INTO pending VALUES (2, 'an outage', 0, 0)")
        connection.execute("INSERT INTO users VALUES (1, 1, 'u', '[]', '[]', 4, 5)")
        connection.execute("UPDATE counters SET value = 4 WHERE name = 'sequence'")
        connection.commit()
    async with opened(tmp_path, FakeClock()) as (store, generation):
        vectors = await served(store, generation)
        assert {"a": 2, "b": 0, "c": 1} == {name: len(each) for name, each in vectors.items()}
        assert {"an outage": 1} == await store.pending_reasons(generation)
        assert None is not await store.get_user(generation, "u")
        (waiting,) = await store.due_pending(generation, 10)
        assert 0 < await store.settle(generation, waiting, indexed("b", "text").chunks)
        assert 4 < (await store.upsert_items(generation, [indexed("d", "rum")]))[0].sequence
    assert [] == rows(tmp_path, "PRAGMA foreign_key_check")
