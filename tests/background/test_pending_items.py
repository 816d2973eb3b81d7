from dataclasses import replace
from pathlib import Path

import pytest
from support.catalogs import Catalog, running
from support.clock import FakeClock
from support.embedders import (
    UNAVAILABLE_MESSAGE,
    Fault,
    FaultyEmbedder,
    PoisonedEmbedder,
    WordEmbedder,
)
from support.stores import all_items, rows

from service import errors
from service.background.pending_items import (
    FAILED_ITEM_RETRY_SECONDS,
    ITEM_RETRY_SECONDS,
    PENDING_ITEMS_PER_ROUND,
)
from service.domain.items import Item, ItemState, StoredItem
from service.domain.recommendations import ItemSource, Query, TextSource
from service.domain.users import Preference, User
from service.domain.writes import ItemUpsert, UserUpsert

CODE, REASON = "EMBEDDING_UNAVAILABLE", UNAVAILABLE_MESSAGE


async def state(catalog: Catalog, item_id: str) -> tuple[ItemState, str, str]:
    stored = await catalog.items.get(item_id)
    return stored.state, stored.pending_reason, stored.pending_message


async def test_an_outage_keeps_the_item_with_its_reason(tmp_path: Path) -> None:
    """An item whose text cannot be embedded for now is stored as PENDING and says why."""
    embedder = FaultyEmbedder(Fault.UNAVAILABLE)
    async with running(tmp_path, embedder, FakeClock()) as catalog:
        upserted = await catalog.put("a", "tea")
        assert (ItemState.PENDING, CODE, REASON) == (
            upserted.stored.state,
            upserted.stored.pending_reason,
            upserted.stored.pending_message,
        )
        assert not upserted.embedded
        assert upserted.stored == await catalog.items.get("a")


async def test_a_pending_item_is_embedded_once_the_provider_is_back(tmp_path: Path) -> None:
    """As soon as the provider answers again, a round makes the item recommended."""
    embedder = FaultyEmbedder(Fault.UNAVAILABLE)
    async with running(tmp_path, embedder, FakeClock()) as catalog:
        version = (await catalog.put("a", "tea")).stored.sequence
        embedder.fault = None
        assert [] == await catalog.recommended(TextSource("tea"))
        assert 1 == await catalog.pending.run_round()
        await catalog.caught_up()
        assert ["a"] == await catalog.recommended(TextSource("tea"))
        stored = await catalog.items.get("a")
        assert (ItemState.INDEXED, "", version) == (
            stored.state,
            stored.pending_reason,
            stored.sequence,
        )
        assert 0 == await catalog.pending.run_round()


async def test_a_pending_item_outlives_a_restart(tmp_path: Path) -> None:
    """What was pending when the service stopped is embedded after it started again."""
    async with running(tmp_path, FaultyEmbedder(Fault.UNAVAILABLE), FakeClock()) as catalog:
        await catalog.put("a", "tea")
    async with running(tmp_path, WordEmbedder(), FakeClock()) as catalog:
        assert 1 == await catalog.pending.run_round()
        await catalog.caught_up()
        assert ["a"] == await catalog.recommended(TextSource("tea"))


async def test_the_old_version_goes_on_being_recommended(tmp_path: Path) -> None:
    """While a new text is pending the item is found by its old one, and then by the new one."""
    embedder = FaultyEmbedder()
    async with running(tmp_path, embedder, FakeClock()) as catalog:
        for item_id, text in (("a", "green tea"), ("b", "dark beer"), ("c", "red wine")):
            await catalog.put(item_id, text)
        await catalog.text_embedder.embed_documents(["loud trumpets"])
        embedder.fault = Fault.UNAVAILABLE
        await catalog.put("a", "trumpets")
        assert (ItemState.PENDING, CODE, REASON) == await state(catalog, "a")
        assert "a" == (await catalog.recommended(TextSource("green tea")))[0]
        assert "a" != (await catalog.recommended(TextSource("loud trumpets")))[0]
        assert "a" not in await catalog.recommended(ItemSource("a"))
        embedder.fault = None
        await catalog.pending.run_round()
        await catalog.caught_up()
        assert "a" == (await catalog.recommended(TextSource("loud trumpets")))[0]


async def test_attempts_are_spaced_ever_wider(tmp_path: Path) -> None:
    """A failing item is tried after each delay, not a microsecond sooner, up to the longest."""
    clock, embedder = FakeClock(), FaultyEmbedder(Fault.UNAVAILABLE)
    async with running(tmp_path, embedder, clock) as catalog:
        await catalog.put("a", "tea")
        assert 1 == await catalog.pending.run_round()
        for delay_seconds in (*ITEM_RETRY_SECONDS, ITEM_RETRY_SECONDS[-1]):
            clock.advance(seconds=delay_seconds, microseconds=-1)
            assert 0 == await catalog.pending.run_round()
            clock.advance(microseconds=1)
            assert 1 == await catalog.pending.run_round()
        assert (ItemState.PENDING, CODE, REASON) == await state(catalog, "a")
    assert 2 + len(ITEM_RETRY_SECONDS) + 1 == len(embedder.texts)


async def test_a_text_that_fails_is_tried_alone_and_ever_less_often(tmp_path: Path) -> None:
    """The provider fails on one text: its item is tried alone, after growing delays, for good."""
    clock, embedder = FakeClock(), PoisonedEmbedder("poison")
    async with running(tmp_path, embedder, clock) as catalog:
        await catalog.put("good", "tea")
        await catalog.put("bad", "poison")
        expected = (ItemState.PENDING, "TEXT_FAILED", "makes the embedder fail")
        assert expected == await state(catalog, "bad")
        for delay_seconds in (0.0, *FAILED_ITEM_RETRY_SECONDS, FAILED_ITEM_RETRY_SECONDS[-1]):
            clock.advance(seconds=delay_seconds, microseconds=-1 if delay_seconds else 0)
            if delay_seconds:
                assert 0 == await catalog.pending.run_failed_round()
                clock.advance(microseconds=1)
            assert 0 == await catalog.pending.run_round()
            assert 1 == await catalog.pending.run_failed_round()
        assert expected == await state(catalog, "bad")
        assert {("tea",), ("poison",)} == set(embedder.batches)
        embedder.poison = ""
        clock.advance(seconds=FAILED_ITEM_RETRY_SECONDS[-1])
        assert 1 == await catalog.pending.run_failed_round()
        assert (ItemState.INDEXED, "", "") == await state(catalog, "bad")


async def test_an_outage_does_not_bring_a_failed_text_back_to_the_others(tmp_path: Path) -> None:
    """An attempt during an outage tells nothing about a text: it stays alone, with its delays."""
    clock, embedder = FakeClock(), FaultyEmbedder(Fault.CRASH)
    async with running(tmp_path, embedder, clock) as catalog:
        await catalog.put("bad", "poison")
        failed = await state(catalog, "bad")
        assert 1 == await catalog.pending.run_failed_round()
        embedder.fault = Fault.UNAVAILABLE
        clock.advance(seconds=FAILED_ITEM_RETRY_SECONDS[0])
        assert 1 == await catalog.pending.run_failed_round()
        assert failed == await state(catalog, "bad")
        clock.advance(seconds=ITEM_RETRY_SECONDS[-1])
        assert 0 == await catalog.pending.run_round()
        embedder.fault = Fault.CRASH
        assert 1 == await catalog.pending.run_failed_round()
        clock.advance(seconds=FAILED_ITEM_RETRY_SECONDS[1], microseconds=-1)
        assert 0 == await catalog.pending.run_failed_round()
        clock.advance(microseconds=1)
        assert 1 == await catalog.pending.run_failed_round()


async def test_delays_start_again_with_another_reason(tmp_path: Path) -> None:
    """A text that fails after a long outage is tried again soon, not after the longest delay."""
    clock, embedder = FakeClock(), FaultyEmbedder(Fault.UNAVAILABLE)
    async with running(tmp_path, embedder, clock) as catalog:
        await catalog.put("a", "tea")
        for _ in range(6):
            assert 1 == await catalog.pending.run_round()
            clock.advance(seconds=ITEM_RETRY_SECONDS[-1])
        embedder.fault = Fault.CRASH
        assert 1 == await catalog.pending.run_round()
        assert "TEXT_FAILED" == (await state(catalog, "a"))[1]
        clock.advance(seconds=FAILED_ITEM_RETRY_SECONDS[0])
        assert 1 == await catalog.pending.run_failed_round()


async def test_a_new_version_does_not_wait_for_the_old_ones_delay(tmp_path: Path) -> None:
    """An item written again is tried at once, however long the former version had to wait."""
    embedder = FaultyEmbedder(Fault.UNAVAILABLE)
    async with running(tmp_path, embedder, FakeClock()) as catalog:
        await catalog.put("a", "tea")
        await catalog.pending.run_round()
        await catalog.put("a", "coffee")
        embedder.fault = None
        assert 1 == await catalog.pending.run_round()
        assert (ItemState.INDEXED, "", "") == await state(catalog, "a")


async def test_an_item_indexed_meanwhile_is_not_tried(tmp_path: Path) -> None:
    """A pending item written again once the provider is back needs no further attempt."""
    embedder = FaultyEmbedder(Fault.UNAVAILABLE)
    async with running(tmp_path, embedder, FakeClock()) as catalog:
        await catalog.put("a", "tea")
        embedder.fault = None
        await catalog.put("a", "coffee")
        assert 0 == await catalog.pending.run_round()
        assert ["a"] == await catalog.recommended(TextSource("coffee"))


async def test_items_with_one_text_need_one_attempt(tmp_path: Path) -> None:
    """Pending items that share a text are embedded by one request for it."""
    embedder = FaultyEmbedder(Fault.UNAVAILABLE)
    async with running(tmp_path, embedder, FakeClock()) as catalog:
        for item_id in "abc":
            await catalog.put(item_id, "tea")
        embedder.fault = None
        embedder.batches.clear()
        assert 3 == await catalog.pending.run_round()
        await catalog.caught_up()
        assert ["a", "b", "c"] == await catalog.recommended(TextSource("tea"))
    assert ["tea"] == embedder.texts


async def test_each_pending_item_gets_its_own_vector(tmp_path: Path) -> None:
    """Pending items are found by their own texts, which are never embedded again."""
    embedder = FaultyEmbedder(Fault.UNAVAILABLE)
    texts = {"a": "green tea", "b": "loud trumpets", "c": "northern wolves"}
    async with running(tmp_path, embedder, FakeClock()) as catalog:
        for item_id, text in texts.items():
            await catalog.put(item_id, text)
        embedder.fault = None
        await catalog.pending.run_round()
    async with running(tmp_path, FaultyEmbedder(Fault.UNAVAILABLE), FakeClock()) as catalog:
        for item_id, text in texts.items():
            assert [item_id] == await catalog.recommended(TextSource(text), 1)


async def test_a_round_takes_a_bounded_number_of_items(tmp_path: Path) -> None:
    """More pending items than a round takes are done in several rounds."""
    embedder = FaultyEmbedder(Fault.UNAVAILABLE)
    async with running(tmp_path, embedder, FakeClock()) as catalog:
        items = [Item(f"i{n}", f"text {n}") for n in range(PENDING_ITEMS_PER_ROUND + 1)]
        await catalog.items.store_import(
            await catalog.items.prepare_import(items, require_indexed=False)
        )
        embedder.fault = None
        rounds = [await catalog.pending.run_round() for _ in range(3)]
        assert [PENDING_ITEMS_PER_ROUND, 1, 0] == rounds
        await catalog.caught_up()
        assert len(items) == catalog.follower.item_count


async def test_a_text_the_model_rejects_keeps_waiting_with_that_reason(tmp_path: Path) -> None:
    """A pending item that turns out to have no known word stays PENDING and says so."""
    embedder = FaultyEmbedder(Fault.UNAVAILABLE)
    async with running(tmp_path, embedder, FakeClock()) as catalog:
        await catalog.put("a", "zzz")
        embedder.fault = Fault.ZEROS
        assert 1 == await catalog.pending.run_round()
        state_now, reason, message = await state(catalog, "a")
        assert (ItemState.PENDING, "TEXT_REJECTED") == (state_now, reason)
        assert "no word" in message


@pytest.mark.parametrize("expected_sequence", [None, 0])
async def test_require_indexed_stores_nothing(
    tmp_path: Path, expected_sequence: int | None
) -> None:
    """With require_indexed an outage is the caller's to see, and nothing is stored."""
    embedder = FaultyEmbedder(Fault.UNAVAILABLE)
    async with running(tmp_path, embedder, FakeClock()) as catalog:
        before = catalog.stores.database.commits.last_sequence
        with pytest.raises(errors.EmbeddingUnavailable, match=REASON):
            await catalog.items.upsert(ItemUpsert(Item("a", "tea"), True, expected_sequence))
        assert before == catalog.stores.database.commits.last_sequence
        assert [] == await all_items(catalog.stores, catalog.row)
    assert [(0,)] == rows(tmp_path, "SELECT count(*) FROM items")


async def test_require_indexed_refuses_items_of_an_import_alone(tmp_path: Path) -> None:
    """In an import each item that cannot be embedded fails alone, the others are stored."""
    embedder = FaultyEmbedder()
    async with running(tmp_path, embedder, FakeClock()) as catalog:
        await catalog.text_embedder.embed_documents(["tea"])
        embedder.fault = Fault.UNAVAILABLE
        invalid = errors.invalid_field("item.text", "must not be blank")
        items: list[Item | errors.InvalidRequest] = [
            Item("a", "tea"),
            Item("b", "coffee"),
            invalid,
            Item("d", "tea"),
        ]
        prepared = await catalog.items.prepare_import(items, require_indexed=True)
        outcomes = await catalog.items.store_import(prepared)
        kinds = [StoredItem, errors.EmbeddingUnavailable, errors.InvalidRequest, StoredItem]
        assert kinds == [type(outcome) for outcome in outcomes]
        assert ["a", "d"] == [
            each.item.item_id for each in await all_items(catalog.stores, catalog.row)
        ]


async def test_what_can_never_be_embedded_is_refused(tmp_path: Path) -> None:
    """A text without a known word is the caller's fault: refused and not kept as PENDING."""
    async with running(tmp_path, FaultyEmbedder(Fault.ZEROS), FakeClock()) as catalog:
        with pytest.raises(errors.InvalidRequest, match=r"^item\.text has no word"):
            await catalog.put("a", "zzz")
        user = User("u", (Preference("zzz"),))
        with pytest.raises(errors.InvalidRequest, match=r"^user\.preferences\[0\]\.text"):
            await catalog.users.upsert(UserUpsert(user))
        assert [] == await all_items(catalog.stores, catalog.row)
        assert None is await catalog.stores.users.get(catalog.row, "u")


async def test_a_user_is_not_stored_without_vectors(tmp_path: Path) -> None:
    """A user whose tastes cannot be embedded for now is refused, the former version stays."""
    embedder = FaultyEmbedder()
    async with running(tmp_path, embedder, FakeClock()) as catalog:
        user = User("u", (Preference("tea"),))
        stored, _ = await catalog.users.upsert(UserUpsert(user))
        embedder.fault = Fault.UNAVAILABLE
        changed = replace(user, preferences=(Preference("tea"), Preference("coffee")))
        with pytest.raises(errors.EmbeddingUnavailable):
            await catalog.users.upsert(UserUpsert(changed))
        assert stored == await catalog.users.get("u")


async def test_a_pending_item_has_no_neighbors_yet(tmp_path: Path) -> None:
    """Asking for items similar to a new pending one says that it is not embedded yet."""
    async with running(tmp_path, FaultyEmbedder(Fault.UNAVAILABLE), FakeClock()) as catalog:
        await catalog.put("a", "tea")
        with pytest.raises(errors.EmbeddingUnavailable, match="not embedded yet"):
            await catalog.recommender.recommend(Query(ItemSource("a"), 10))
