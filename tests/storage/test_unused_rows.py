from dataclasses import replace
from pathlib import Path

from support.clock import FakeClock
from support.embedders import SPACE
from support.stores import (
    all_changes,
    broken_references,
    chunks_of,
    default_catalog,
    default_generation,
    delete_item,
    indexed,
    opened,
    pending,
    remove_dropped,
    rows,
    upsert_user,
    with_others,
)

from service.domain.generations import Generation
from service.domain.spaces import LOCAL_PROVIDER, Model, VectorStorage
from service.domain.usage import TokenUsage
from service.domain.users import LikedItem, Preference, User
from service.embedding.prompts import hash_text
from service.storage.records import UserWrite
from service.storage.stores import Stores
from service.storage.unused_rows import TOMBSTONES_PER_ROUND, VECTORS_PER_ROUND

RETENTION_US = 1_000
STORAGE = VectorStorage.UNSPECIFIED
LOCAL = replace(SPACE, provider=LOCAL_PROVIDER)
PAID = replace(SPACE, provider="openrouter")
TEXTS = [f"text {number}" for number in range(5)]


async def remove_unused(stores: Stores) -> int:
    """Remove all unused vectors that are due; return their number."""
    count, has_more = 0, True
    while has_more:
        removed, has_more = await stores.unused_rows.remove_unused_vectors(
            stores.database.now_us(), RETENTION_US
        )
        count += removed
    return count


async def remove_tombstones(stores: Stores, generation: Generation) -> int:
    """Remove all tombstones of a catalog; return their number."""
    count, last = 0, stores.database.commits.last_sequence
    while removed := await stores.unused_rows.remove_tombstones(generation.catalog_id, last):
        count += removed
    return count


async def stored_texts(stores: Stores, generation: Generation) -> set[str]:
    """The test's texts that the generation's space has vectors of."""
    hashes = {hash_text(text): text for text in TEXTS}
    return {hashes[key] for key in await stores.vectors.get_many(generation, list(hashes))}


async def test_unused_vectors_of_the_local_model_are_removed_at_once(tmp_path: Path) -> None:
    """A vector stays while an item has its text, and is removed when the last one loses it."""
    async with opened(tmp_path, FakeClock()) as (stores, _):
        generation = (
            await stores.generations.create_catalog("c", Model(LOCAL), storage=STORAGE)
        ).serving.generation
        await stores.items.upsert_many(
            generation, [indexed("a", TEXTS[0]), indexed("b", TEXTS[0]), indexed("c", TEXTS[1])]
        )
        await stores.items.upsert_many(generation, [indexed("a", TEXTS[2])])
        assert 0 == await remove_unused(stores)
        await stores.items.upsert_many(generation, [indexed("b", TEXTS[2])])
        await delete_item(stores, generation, "c")
        assert 2 == await remove_unused(stores)
        assert {TEXTS[2]} == await stored_texts(stores, generation)
        assert 0 == await remove_unused(stores)


async def test_unused_vectors_of_a_provider_are_kept_for_a_while(tmp_path: Path) -> None:
    """A paid vector stays for the retention time after its last use ended, and no longer."""
    clock = FakeClock()
    async with opened(tmp_path, clock) as (stores, generation):
        await stores.items.upsert_many(generation, [indexed("a", TEXTS[0])])
        await stores.items.upsert_many(generation, [indexed("a", TEXTS[1])])
        clock.advance(microseconds=RETENTION_US - 1)
        assert 0 == await remove_unused(stores)
        # It is used again, and then unused again: its time starts again.
        await stores.items.upsert_many(generation, [indexed("b", TEXTS[0])])
        await delete_item(stores, generation, "b")
        clock.advance(microseconds=RETENTION_US - 1)
        assert 0 == await remove_unused(stores)
        clock.advance(microseconds=1)
        assert 1 == await remove_unused(stores)
        assert {TEXTS[1]} == await stored_texts(stores, generation)


async def test_a_vector_that_is_used_again_stays(tmp_path: Path) -> None:
    """A vector that an item or a preference uses when its time has come is not removed."""
    clock = FakeClock()
    async with opened(tmp_path, clock) as (stores, generation):
        await stores.items.upsert_many(generation, [indexed("a", TEXTS[0]), indexed("b", TEXTS[1])])
        for item_id in ("a", "b"):
            await delete_item(stores, generation, item_id)
        await stores.items.upsert_many(generation, [indexed("c", TEXTS[0])])
        user = User("u", (Preference(TEXTS[1]),))
        await upsert_user(stores, generation, user, chunks_of(TEXTS[1]))
        clock.advance(microseconds=RETENTION_US)
        assert 0 == await remove_unused(stores)
        assert {TEXTS[0], TEXTS[1]} == await stored_texts(stores, generation)


async def test_vectors_of_preferences_live_with_their_user(tmp_path: Path) -> None:
    """A change of other fields keeps them; another preference or the user's end frees them."""
    clock = FakeClock()
    async with opened(tmp_path, clock) as (stores, generation):
        for user_id in ("u", "v"):
            user = User(user_id, (Preference(TEXTS[0]), Preference(TEXTS[1])))
            chunks = [*chunks_of(TEXTS[0]), *chunks_of(TEXTS[1])]
            await upsert_user(stores, generation, user, chunks)
        liked = (LikedItem("a"),)
        await stores.users.update(
            generation, "u", lambda user: replace(user, liked_items=liked), None
        )
        clock.advance(microseconds=RETENTION_US)
        assert 0 == await remove_unused(stores)
        await upsert_user(
            stores, generation, User("u", (Preference(TEXTS[2]),)), chunks_of(TEXTS[2])
        )
        await stores.users.delete(generation, "v")
        clock.advance(microseconds=RETENTION_US)
        assert 2 == await remove_unused(stores)
        assert {TEXTS[2]} == await stored_texts(stores, generation)


async def test_vectors_without_any_use_are_removed(tmp_path: Path) -> None:
    """A vector whose item was written while it was embedded is kept for the retention time."""
    clock = FakeClock()
    async with opened(tmp_path, clock) as (stores, generation):
        await stores.items.upsert_many(generation, [pending("a", TEXTS[0])])
        (due,) = await stores.pending.list_due(generation, 10)
        await stores.items.upsert_many(generation, [indexed("a", TEXTS[1])])
        assert 0 == await stores.pending.settle(generation, due, chunks_of(TEXTS[0]))
        assert 0 == await remove_unused(stores)
        assert {TEXTS[0], TEXTS[1]} == await stored_texts(stores, generation)
        clock.advance(microseconds=RETENTION_US)
        assert 1 == await remove_unused(stores)
        assert {TEXTS[1]} == await stored_texts(stores, generation)


async def test_every_generation_keeps_its_vectors(tmp_path: Path) -> None:
    """A purge takes no vector of the next generation, and those of a cancelled one in due time."""
    clock = FakeClock()
    async with opened(tmp_path, clock) as (stores, generation):
        chunks = chunks_of(TEXTS[0])
        await stores.items.upsert_many(generation, [indexed("a", TEXTS[0])])
        await upsert_user(stores, generation, User("u", (Preference(TEXTS[0]),)), chunks)
        new = Model(replace(PAID, model="new"))
        await stores.generations.start_next(await default_catalog(stores), new)
        next_ = (await default_catalog(stores)).next
        assert next_ is not None
        items = await stores.reembedding.list_unfilled(next_.generation, 0, 10)
        await stores.reembedding.fill(next_.generation, [(items[0], chunks)], TokenUsage())
        both = with_others(indexed("b", TEXTS[1]), {next_.generation.generation_id: chunks})
        await stores.items.upsert_many(generation, [both])
        (user,) = await stores.reembedding.list_preferences(next_.generation, 0, 10)
        preference = chunks_of(TEXTS[2])
        await stores.reembedding.fill_preferences(
            next_.generation, [(user, preference)], TokenUsage()
        )
        clock.advance(microseconds=RETENTION_US)
        assert 0 == await remove_unused(stores)
        assert {TEXTS[0], TEXTS[2]} == await stored_texts(stores, next_.generation)
        await stores.generations.cancel(await default_catalog(stores))
        await remove_dropped(stores)
        assert 0 == await remove_unused(stores)
        clock.advance(microseconds=RETENTION_US)
        assert 2 == await remove_unused(stores)
        assert set() == await stored_texts(stores, next_.generation)
        assert {TEXTS[0], TEXTS[1]} == await stored_texts(stores, generation)


async def test_other_changes_of_a_user_do_not_hinder_the_filling(tmp_path: Path) -> None:
    """A user that got a liked item while its preferences were embedded uses their vectors."""
    async with opened(tmp_path, FakeClock()) as (stores, generation):
        user = User("u", (Preference(TEXTS[0]),))
        await upsert_user(stores, generation, user, chunks_of(TEXTS[0]))
        await stores.generations.start_next(
            await default_catalog(stores), Model(replace(PAID, model="new"))
        )
        next_ = (await default_catalog(stores)).next
        assert next_ is not None
        (before,) = await stores.reembedding.list_preferences(next_.generation, 0, 10)
        liked = (LikedItem("a"),)
        await stores.users.update(
            generation, "u", lambda stored: replace(stored, liked_items=liked), None
        )
        await stores.reembedding.fill_preferences(
            next_.generation, [(before, chunks_of(TEXTS[0]))], TokenUsage()
        )
        await stores.unused_rows.remove_unused_vectors(1 << 62, 0)
        assert {TEXTS[0]} == await stored_texts(stores, next_.generation)


async def test_preferences_that_were_written_meanwhile_keep_their_vectors(tmp_path: Path) -> None:
    """Filling a generation does not replace the vectors of a later write of the user."""
    clock = FakeClock()
    async with opened(tmp_path, clock) as (stores, generation):
        await upsert_user(stores, generation, User("u", (Preference(TEXTS[0]),)))
        await stores.generations.start_next(
            await default_catalog(stores), Model(replace(PAID, model="new"))
        )
        next_ = (await default_catalog(stores)).next
        assert next_ is not None
        (before,) = await stores.reembedding.list_preferences(next_.generation, 0, 10)
        write = UserWrite(
            User("u", (Preference(TEXTS[1]),)),
            {next_.generation.generation_id: chunks_of(TEXTS[1])},
        )
        await stores.users.upsert_many(generation, [write])
        await stores.reembedding.fill_preferences(
            next_.generation, [(before, chunks_of(TEXTS[0]))], TokenUsage()
        )
        clock.advance(microseconds=RETENTION_US)
        assert 1 == await remove_unused(stores)
        assert {TEXTS[1]} == await stored_texts(stores, next_.generation)


async def test_a_deleted_catalog_leaves_nothing(tmp_path: Path) -> None:
    """Items, users, tombstones and vectors of a deleted catalog are gone after a purge."""
    clock = FakeClock()
    async with opened(tmp_path, clock) as (stores, default):
        # In the space of the default catalog, so that its vectors are not dropped with it.
        record = await stores.generations.create_catalog("c", Model(SPACE), storage=STORAGE)
        generation = record.serving.generation
        writes = [indexed(str(number), TEXTS[number]) for number in range(4)]
        await stores.items.upsert_many(generation, writes)
        await stores.items.upsert_many(default, [indexed("a", TEXTS[0])])
        await delete_item(stores, generation, "0")
        user = User("u", (Preference(TEXTS[4]),))
        await upsert_user(stores, generation, user, chunks_of(TEXTS[4]))
        await stores.generations.delete_catalog("c")
        await remove_dropped(stores)
        clock.advance(microseconds=RETENTION_US)
        await remove_unused(stores)
    assert [(1, 0, 1, 0, 1, 0)] == rows(
        tmp_path,
        """SELECT (SELECT count(*) FROM items), (SELECT count(*) FROM users),
               (SELECT count(*) FROM item_vectors), (SELECT count(*) FROM user_vectors),
               (SELECT count(*) FROM vectors), (SELECT count(*) FROM unused_vectors)""",
    )


async def test_many_vectors_are_removed_in_rounds(tmp_path: Path) -> None:
    """No transaction removes more than a round, and the rounds together remove everything."""
    clock = FakeClock()
    async with opened(tmp_path, clock) as (stores, generation):
        count = 2 * VECTORS_PER_ROUND + 1
        items = [indexed(str(number), f"n {number}") for number in range(count)]
        await stores.items.upsert_many(generation, items)
        for number in range(count):
            await delete_item(stores, generation, str(number))
        clock.advance(microseconds=RETENTION_US)
        rounds = [
            await stores.unused_rows.remove_unused_vectors(clock.now_us, RETENTION_US)
            for _ in range(4)
        ]
        assert [
            (VECTORS_PER_ROUND, True),
            (VECTORS_PER_ROUND, True),
            (1, True),
            (0, False),
        ] == rounds
    assert [(0,)] == rows(tmp_path, "SELECT count(*) FROM vectors")


async def test_tombstones_are_removed_up_to_a_write(tmp_path: Path) -> None:
    """Later tombstones stay, and the changes tell how far deletions may be missing."""
    async with opened(tmp_path, FakeClock()) as (stores, generation):
        await stores.items.upsert_many(
            generation, [indexed(item_id, TEXTS[0]) for item_id in ("a", "b", "c")]
        )
        first = await delete_item(stores, generation, "a")
        second = await delete_item(stores, generation, "b")
        assert {generation.catalog_id: 2} == await stores.unused_rows.count_tombstones()
        assert 0 == (await stores.items.changes(generation, 0, 10)).purged_sequence
        rounds = [
            await stores.unused_rows.remove_tombstones(generation.catalog_id, second - 1)
            for _ in range(2)
        ]
        assert [1, 0] == rounds
        batch = await stores.items.changes(generation, 0, 10)
        assert (first, second) == (batch.purged_sequence, batch.reached)
        assert ["c", "b"] == [change.item_id for change in batch.changes]
        assert ({"c"}, second) == await stores.items.undeleted_ids(generation)


async def test_tombstones_of_a_moment_ago_can_be_kept(tmp_path: Path) -> None:
    """A tombstone younger than the minimum age stays for the processes that may lag."""
    clock = FakeClock()
    async with opened(tmp_path, clock) as (stores, generation):
        await stores.items.upsert_many(generation, [indexed("a", TEXTS[0])])
        sequence = await delete_item(stores, generation, "a")
        arguments = (generation.catalog_id, sequence, 10)
        clock.advance(microseconds=9)
        assert 0 == await stores.unused_rows.remove_tombstones(*arguments)
        clock.advance(microseconds=1)
        assert 1 == await stores.unused_rows.remove_tombstones(*arguments)


async def test_an_item_without_a_tombstone_is_missing_as_before(tmp_path: Path) -> None:
    """Deleting it again deletes nothing, its id can be used again, and numbers go on."""
    async with opened(tmp_path, FakeClock()) as (stores, generation):
        await stores.items.upsert_many(generation, [indexed("a", TEXTS[0])])
        deleted = await delete_item(stores, generation, "a")
        assert 1 == await remove_tombstones(stores, generation)
        assert 0 == await delete_item(stores, generation, "a")
        assert deleted == await stores.items.last_change(generation)
        (stored,) = await stores.items.upsert_many(generation, [indexed("a", TEXTS[1])], 0)
        assert deleted < stored.sequence
        assert {"a": stored} == await stores.items.get_many(generation, ["a"])
        assert ["a"] == [change.item_id for change in await all_changes(stores, generation)]


async def test_many_tombstones_are_removed_in_rounds(tmp_path: Path) -> None:
    """No transaction removes more than a round, and the rounds together remove everything."""
    async with opened(tmp_path, FakeClock()) as (stores, generation):
        names = [str(number) for number in range(TOMBSTONES_PER_ROUND + 1)]
        await stores.items.upsert_many(generation, [indexed(name, TEXTS[0]) for name in names])
        await stores.items.delete_many(generation, names)
        last = stores.database.commits.last_sequence
        rounds = [
            await stores.unused_rows.remove_tombstones(generation.catalog_id, last)
            for _ in range(3)
        ]
        assert [TOMBSTONES_PER_ROUND, 1, 0] == rounds
    assert [(0,)] == rows(tmp_path, "SELECT count(*) FROM items")


async def test_what_is_removed_stays_removed_and_the_rest_stays(tmp_path: Path) -> None:
    """After a restart the store holds what it held, and says how far tombstones are gone."""
    clock = FakeClock()
    async with opened(tmp_path, clock) as (stores, generation):
        await stores.items.upsert_many(generation, [indexed("a", TEXTS[0]), indexed("b", TEXTS[1])])
        deleted = await delete_item(stores, generation, "a")
        clock.advance(microseconds=RETENTION_US)
        assert (1, 1) == (
            await remove_unused(stores),
            await remove_tombstones(stores, generation),
        )
    async with opened(tmp_path, clock) as (stores, _):
        generation = await default_generation(stores, SPACE)
        batch = await stores.items.changes(generation, 0, 10)
        assert (deleted, ["b"]) == (
            batch.purged_sequence,
            [change.item_id for change in batch.changes],
        )
        assert {TEXTS[1]} == await stored_texts(stores, generation)
    assert [] == broken_references(tmp_path)
