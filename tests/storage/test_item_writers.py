"""Writes of many items, which a store may combine, next to the same writes one by one."""

import asyncio
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from support.clock import FakeClock
from support.embedders import unit_vector
from support.row_dumps import dump
from support.stores import (
    CHOICE,
    UNAVAILABLE,
    chunks_of,
    default_catalog,
    delete_item,
    opened,
    rows,
    upsert_user,
)

from service.domain.generations import Generation
from service.domain.items import Item, JsonValue, StoredItem
from service.domain.spaces import Model, Space
from service.domain.users import LikedItem, User
from service.domain.vectors import Chunk
from service.embedding.prompts import hash_text
from service.storage.records import ItemVectors, ItemWrite
from service.storage.stores import Stores

OTHER_SPACE = Model(Space("test", "other words", 32))
TEXTS = ["tea", "green tea", "nul \0 in it", "escape \x1aN", 'élan {"a",NULL}', "", "\\x00"]
IDS = ["a", "b", "c\\x1aN", "ü", "NULL", '"', "{x,y}", "g"]
ROUNDS = 12


class Scenario:
    """Random writes, the same ones for each seed and order of calls."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def messages(self, now_us: int, next_id: int | None) -> list[list[ItemWrite]]:
        """Messages of up to four items, with the chunks of a next generation if there is one.

        Larger ones would wait for the others.
        """
        return [
            [self._write(now_us, next_id) for _ in range(self._random.randint(1, 4))]
            for _ in range(self._random.randint(1, 6))
        ]

    def _write(self, now_us: int, next_id: int | None) -> ItemWrite:
        text = self._random.choice(TEXTS)
        expire_time_us = self._random.choice([None, None, now_us - 1, now_us + 5, now_us + 20])
        attributes: dict[str, JsonValue] = {
            "size": self._random.random(),
            "tags": ["\0", None, True],
        }
        item = Item(self._random.choice(IDS), text, attributes, expire_time_us)
        others = {next_id: self._chunks()} if next_id and self._random.random() < 0.5 else {}
        if self._random.random() < 0.3:
            message = f"not now: {text}"
            vectors = ItemVectors((), UNAVAILABLE, message, others)
        else:
            vectors = ItemVectors(self._chunks(), others=others)
        return ItemWrite(item, vectors)

    def _chunks(self) -> list[Chunk]:
        """One to three chunks, some of them with the same text."""
        texts = self._random.choices(["x", "y", "z", "x y"], k=self._random.randint(1, 3))
        return [Chunk(hash_text(text), unit_vector(text)) for text in texts]

    def choose_ids(self) -> list[str]:
        """Some ids."""
        return self._random.sample(IDS, 2)

    def choose_pause_us(self) -> int:
        """A time after which some items have expired."""
        return self._random.choice([0, 3, 10])


async def write_together(
    stores: Stores, catalog: Generation, messages: Sequence[Sequence[ItemWrite]]
) -> list[StoredItem]:
    """Write messages that share a commit."""
    outcomes = await asyncio.gather(
        *(stores.items.upsert_many(catalog, message) for message in messages)
    )
    return [stored for outcome in outcomes for stored in outcome]


async def write_one_by_one(
    stores: Stores, catalog: Generation, messages: Sequence[Sequence[ItemWrite]]
) -> list[StoredItem]:
    """Write each item in a transaction of its own."""
    stored: list[StoredItem] = []
    for message in messages:
        for write in message:
            stored += await stores.items.upsert_many(catalog, [write])
    return stored


async def play(folder: Path, seed: int, write: Any) -> tuple[list[StoredItem], Any]:
    """Write a scenario; return what the writes returned, and all rows."""
    scenario, clock = Scenario(seed), FakeClock()
    returned: list[StoredItem] = []
    next_id = None
    async with opened(folder, clock) as (stores, catalog):
        for number in range(ROUNDS):
            if number == ROUNDS // 2:
                await stores.generations.start_next(await default_catalog(stores), OTHER_SPACE)
                next_ = (await default_catalog(stores)).next
                assert next_ is not None
                next_id = next_.generation.generation_id
            returned += await write(stores, catalog, scenario.messages(clock.now_us, next_id))
            for item_id in scenario.choose_ids():
                await delete_item(stores, catalog, item_id)
            liked_items = tuple(map(LikedItem, scenario.choose_ids()))
            await upsert_user(stores, catalog, User("u", (), liked_items))
            clock.advance(microseconds=scenario.choose_pause_us())
    return returned, dump(folder)


@pytest.mark.parametrize("seed", range(4))
async def test_combined_writes_leave_the_rows_of_single_ones(tmp_path: Path, seed: int) -> None:
    """Writes that share messages and commits return and leave the same as SQLite's one by one.

    Items repeat within a message, expire, are pending, share vectors, and have two generations.
    """
    returned, tables = await play(tmp_path / "together", seed, write_together)
    CHOICE.uses_postgres = False
    expected, expected_tables = await play(tmp_path / "single", seed, write_one_by_one)
    assert expected == returned
    for name, table in expected_tables.items():
        assert table == tables[name], name
        assert table or "users" in name


async def test_a_message_of_1000_items_with_repeated_ids(tmp_path: Path) -> None:
    """The last item of each id remains, created in the order of the first ones."""
    writes = [
        ItemWrite(Item(f"i{n * 7 % 400}", f"text {n}"), ItemVectors(chunks_of(f"text {n}")))
        for n in range(1_000)
    ]
    async with opened(tmp_path, FakeClock()) as (stores, catalog):
        stored = await stores.items.upsert_many(catalog, writes)
    assert list(range(1, 1_001)) == [item.sequence for item in stored]
    last = {write.item.item_id: (write.item.text, n + 1) for n, write in enumerate(writes)}
    items = rows(tmp_path, "SELECT item_id, text, sequence FROM items ORDER BY item_key")
    assert [(item_id, *last[item_id]) for item_id in last] == items
    served = rows(
        tmp_path,
        """SELECT text_hash FROM items JOIN item_vectors USING (item_key)
           JOIN vectors USING (vector_id) ORDER BY item_key""",
    )
    assert [hash_text(text) for text, _ in last.values()] == [bytes(row[0]) for row in served]


async def test_an_item_that_cannot_be_written_does_not_affect_the_others(tmp_path: Path) -> None:
    """Of writes that share a commit, only the one fails whose text the database does not take."""
    texts = ["before", "no text: \ud800", "after"]
    async with opened(tmp_path, FakeClock()) as (stores, catalog):
        outcomes = await asyncio.gather(
            *(
                stores.items.upsert_many(
                    catalog, [ItemWrite(Item(f"i{n}", text), ItemVectors(chunks_of("x")))]
                )
                for n, text in enumerate(texts)
            ),
            return_exceptions=True,
        )
        assert [False, True, False] == [isinstance(item, UnicodeError) for item in outcomes]
        items = await stores.items.get_many(catalog, ["i0", "i1", "i2"])
        assert {"i0": "before", "i2": "after"} == {
            item_id: stored.item.text for item_id, stored in items.items()
        }


async def test_writes_follow_the_generations_that_another_process_changes(tmp_path: Path) -> None:
    """After another process starts a generation, an item is written to it as well."""
    clock = FakeClock()
    async with opened(tmp_path, clock) as (one, catalog), opened(tmp_path, clock) as (two, _):
        write = ItemWrite(Item("a", "x"), ItemVectors(chunks_of("x")))
        await one.items.upsert_many(catalog, [write])
        await two.generations.start_next(await default_catalog(two), OTHER_SPACE)
        await one.items.upsert_many(catalog, [write])
        next_ = (await default_catalog(two)).next
        assert next_ is not None
        (due,) = await two.pending.list_due(next_.generation, 10)
        assert "x" == due.text
