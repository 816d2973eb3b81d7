import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from support.clock import FakeClock
from support.embedders import SPACE, unit_vector
from support.stores import (
    UNAVAILABLE,
    all_changes,
    all_items,
    chunks_of,
    delete_item,
    indexed,
    opened,
    pending,
    with_others,
    without_vectors,
)

from service import errors
from service.domain.generations import Generation
from service.domain.items import Item, ItemState, JsonValue
from service.domain.spaces import Model
from service.domain.usage import TokenUsage
from service.embedding.prompts import hash_text
from service.storage.records import ItemVectors
from service.storage.stores import Stores

NEW_MODEL = Model(replace(SPACE, model="new"))


def setting(**attributes: JsonValue) -> Callable[[Item], Item]:
    """A change of some attributes."""
    return lambda item: replace(item, attributes={**item.attributes, **attributes})


def saying(text: str) -> Callable[[Item], Item]:
    """A change of the text."""
    return lambda item: replace(item, text=text)


async def vectors(stores: Stores, generation: Generation, item_id: str) -> Sequence[bytes]:
    """The vectors that serve an item in a generation."""
    (change,) = [
        change for change in await all_changes(stores, generation) if change.item_id == item_id
    ]
    return change.vectors


async def start_next(stores: Stores) -> Generation:
    """A next generation of the default catalog."""
    record = (await stores.generations.list_catalogs())["default"]
    await stores.generations.start_next(record, NEW_MODEL)
    record = (await stores.generations.list_catalogs())["default"]
    assert record.next is not None
    return record.next.generation


async def test_an_update_without_a_text_keeps_the_vectors(tmp_path: Path) -> None:
    """A changed attribute reaches the followers with the vectors that the item had before."""
    clock = FakeClock()
    async with opened(tmp_path, clock) as (stores, catalog):
        (before,) = await stores.items.upsert_many(catalog, [indexed("a", "tea")])
        clock.advance(seconds=1.0)
        stored = await stores.items.update(catalog, "a", setting(price=2.0))
        assert [stored] == await all_items(stores, catalog)
        assert {"words": 1.0, "price": 2.0} == stored.item.attributes
        assert ("tea", ItemState.INDEXED) == (stored.item.text, stored.state)
        assert before.sequence < stored.sequence == stores.database.commits.last_sequence
        assert before.update_time_us + 1_000_000 == stored.update_time_us
        (change,) = await all_changes(stores, catalog, before.sequence)
        assert (unit_vector("tea").tobytes(),) == change.vectors
        assert {"words": 1.0, "price": 2.0} == json.loads(change.attributes or "")


async def test_an_update_without_a_text_keeps_the_pending_items(tmp_path: Path) -> None:
    """An item stays pending with its reason and attempts in each generation where it was."""
    async with opened(tmp_path, FakeClock()) as (stores, catalog):
        next_generation = await start_next(stores)
        await stores.items.upsert_many(catalog, [pending("a", "tea", "an outage")])
        (due,) = await stores.pending.list_due(catalog, 10)
        await stores.pending.postpone(catalog, due, "BUDGET_SPENT", "spent", 0.0)
        stored = await stores.items.update(catalog, "a", setting(price=2.0))
        assert [stored] == await all_items(stores, catalog)
        assert ItemState.PENDING is stored.state
        assert ("BUDGET_SPENT", "spent") == (stored.pending_reason, stored.pending_message)
        (due,) = await stores.pending.list_due(catalog, 10)
        assert ("tea", 1) == (due.text, due.attempts)
        assert ["tea"] == [item.text for item in await stores.pending.list_due(next_generation, 9)]


async def test_an_update_without_a_text_does_not_outdate_an_embedding(tmp_path: Path) -> None:
    """A vector, or a failure, that comes after the update still counts for its item."""
    clock = FakeClock()
    async with opened(tmp_path, clock) as (stores, catalog):
        await stores.items.upsert_many(catalog, [pending("a", "tea"), pending("b", "rum")])
        settled, postponed = await stores.pending.list_due(catalog, 10)
        for item_id in "ab":
            await stores.items.update(catalog, item_id, setting(price=2.0))
        assert 0 < await stores.pending.settle(catalog, settled, chunks_of("tea"))
        await stores.pending.postpone(catalog, postponed, UNAVAILABLE, "later", 60.0)
        assert [] == await stores.pending.list_due(catalog, 10)
        assert (unit_vector("tea").tobytes(),) == await vectors(stores, catalog, "a")
        states = [(item.state, item.pending_message) for item in await all_items(stores, catalog)]
        assert [(ItemState.INDEXED, ""), (ItemState.PENDING, "later")] == states


async def test_an_update_does_not_keep_an_item_from_being_filled(tmp_path: Path) -> None:
    """An item updated while its text is embedded for the next generation gets its vector there."""
    async with opened(tmp_path, FakeClock()) as (stores, catalog):
        await stores.items.upsert_many(catalog, [indexed("a", "tea")])
        next_generation = await start_next(stores)
        (item,) = await stores.reembedding.list_unfilled(next_generation, 0, 10)
        await stores.items.update(catalog, "a", setting(price=2.0))
        await stores.reembedding.fill(next_generation, [(item, chunks_of("tea"))], TokenUsage())
        assert (unit_vector("tea").tobytes(),) == await vectors(stores, next_generation, "a")


async def test_an_update_of_the_text_replaces_the_vectors(tmp_path: Path) -> None:
    """The new vectors serve in each generation that the update has them for."""
    async with opened(tmp_path, FakeClock()) as (stores, catalog):
        next_generation = await start_next(stores)
        write = with_others(indexed("a", "tea"), {next_generation.generation_id: chunks_of("x")})
        await stores.items.upsert_many(catalog, [write])
        texts = ItemVectors(chunks_of("rum"))
        stored = await stores.items.update(catalog, "a", saying("rum"), texts)
        assert ("rum", ItemState.INDEXED) == (stored.item.text, stored.state)
        assert {"words": 1.0} == stored.item.attributes
        assert (unit_vector("rum").tobytes(),) == await vectors(stores, catalog, "a")
        assert (unit_vector("x").tobytes(),) == await vectors(stores, next_generation, "a")
        (due,) = await stores.pending.list_due(next_generation, 10)
        assert "rum" == due.text


async def test_an_updated_text_can_be_pending(tmp_path: Path) -> None:
    """An item whose new text cannot be embedded now is pending, and its old vector serves."""
    async with opened(tmp_path, FakeClock()) as (stores, catalog):
        await stores.items.upsert_many(catalog, [indexed("a", "tea")])
        stored = await stores.items.update(catalog, "a", saying("rum"), without_vectors("closed"))
        assert ItemState.PENDING is stored.state
        assert (UNAVAILABLE, "closed") == (stored.pending_reason, stored.pending_message)
        assert [stored] == await all_items(stores, catalog)
        assert (unit_vector("tea").tobytes(),) == await vectors(stores, catalog, "a")


async def test_concurrent_updates_of_different_fields_all_stay(tmp_path: Path) -> None:
    """No update overwrites what another one has changed at the same time."""
    async with opened(tmp_path, FakeClock()) as (stores, catalog):
        await stores.items.upsert_many(catalog, [indexed("a", "tea")])
        changes = [setting(**{f"key{number}": float(number)}) for number in range(20)]
        await asyncio.gather(
            *(stores.items.update(catalog, "a", change) for change in changes),
            stores.items.update(catalog, "a", saying("rum"), ItemVectors(chunks_of("rum"))),
        )
        (stored,) = await all_items(stores, catalog)
        expected = {f"key{number}": float(number) for number in range(20)}
        assert {"words": 1.0, **expected} == stored.item.attributes
        assert "rum" == stored.item.text


async def test_what_is_not_there_is_not_updated(tmp_path: Path) -> None:
    """A missing, deleted or expired item is not found, whatever sequence is expected."""
    clock = FakeClock()
    async with opened(tmp_path, clock) as (stores, catalog):
        expiring = indexed("expired", "x", clock.now_us + 1)
        _, deleted = await stores.items.upsert_many(catalog, [expiring, indexed("deleted", "x")])
        await delete_item(stores, catalog, "deleted")
        clock.advance(microseconds=1)
        for item_id in ("missing", "deleted", "expired"):
            for expected in (None, deleted.sequence):
                with pytest.raises(errors.ItemNotFound):
                    await stores.items.update(
                        catalog, item_id, setting(price=2.0), expected_sequence=expected
                    )
        assert [] == await all_items(stores, catalog)


async def test_an_update_expects_a_sequence(tmp_path: Path) -> None:
    """An update goes through only while the item has the expected sequence number."""
    async with opened(tmp_path, FakeClock()) as (stores, catalog):
        (first,) = await stores.items.upsert_many(catalog, [indexed("a", "tea")])
        change = setting(price=2.0)
        second = await stores.items.update(catalog, "a", change, expected_sequence=first.sequence)
        with pytest.raises(errors.SequenceMismatch, match=f" {second.sequence}, not"):
            await stores.items.update(catalog, "a", change, expected_sequence=first.sequence)
        assert [second] == await all_items(stores, catalog)


async def test_a_refused_change_leaves_no_trace(tmp_path: Path) -> None:
    """What the change of an item raises reaches the caller, and nothing is stored."""
    refusal = errors.invalid_field("item.attributes", "has too many keys")

    def refuse(_item: Item) -> Item:
        raise refusal

    async with opened(tmp_path, FakeClock()) as (stores, catalog):
        stored = await stores.items.upsert_many(catalog, [indexed("a", "tea")])
        with pytest.raises(errors.InvalidRequest) as caught:
            await stores.items.update(catalog, "a", refuse, ItemVectors(chunks_of("rum")))
        assert refusal is caught.value
        assert stored == await all_items(stores, catalog)
        assert {} == await stores.vectors.get_many(catalog, [hash_text("rum")])
