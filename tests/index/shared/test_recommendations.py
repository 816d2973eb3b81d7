"""Recommendations from a shared index are those from an index in memory."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from support.behavior_models import build_model
from support.clock import FakeClock
from support.compared_catalogs import ComparedCatalog, compare_catalogs
from support.embedders import DIMENSIONS
from support.filters import random_attributes, random_filter
from support.item_lists import draw_lists
from support.shared_indexes import LOCAL_MODE_WARNINGS, SERVED, ReplicaOptions
from support.shared_reads import draw_vectors, write_vectors
from support.stores import delete_expired, without_vectors

from service.domain.boosts import Boost, Decay, NumberBoost
from service.domain.filters import Filter
from service.domain.groups import GroupBy
from service.domain.items import Item
from service.domain.recommendations import (
    Example,
    ExamplesSource,
    ItemSource,
    PopularSource,
    Query,
    Relation,
    Source,
    TextSource,
    UserSource,
    VectorSource,
)
from service.domain.users import Preference
from service.storage.records import ItemWrite

pytestmark = LOCAL_MODE_WARNINGS

IDS = [f"i{number:02}" for number in range(60)]
UNKNOWN_ID = "unknown"
WORDS = [
    "sea",
    "ship",
    "storm",
    "love",
    "letter",
    "war",
    "spy",
    "train",
    "winter",
    "city",
    "garden",
    "robot",
]
HALF_LIFE_DAYS = 30.0
SECOND_US = 1_000_000


def draw_item(choices: random.Random, item_id: str, clock: FakeClock) -> ItemWrite:
    attributes = {
        **random_attributes(choices),
        "group": choices.choice(("x", "y", "z", ["x", "y"], None)),
        "price": float(choices.randrange(1_000)),
    }
    expire_time_us = clock.now_us + SECOND_US if choices.random() < 0.05 else None
    count = choices.choice((0, 1, 1, 1, 1, 1, 3))
    if not count:
        return ItemWrite(Item(item_id, "text", attributes, expire_time_us), without_vectors())
    vectors = draw_vectors(count, choices.randrange(2**32))
    return write_vectors(item_id, vectors, attributes, expire_time_us)


async def change_items(compared: ComparedCatalog, choices: random.Random, clock: FakeClock) -> None:
    """Write, delete or expire some items."""
    stores, row = compared.catalog.stores, compared.catalog.row
    ids = choices.sample(IDS, choices.choice((1, 3, 15)))
    action = choices.randrange(5)
    if action == 0:
        await stores.items.delete_many(row, ids)
    elif action == 1:
        clock.advance(microseconds=SECOND_US // 2)
        await delete_expired(stores, choices.randrange(2))
    else:
        await stores.items.upsert_many(row, [draw_item(choices, id_, clock) for id_ in ids])


async def move_engine(compared: ComparedCatalog, choices: random.Random) -> None:
    """Let the writer and the watch do a part of their work."""
    if choices.random() < 0.4:
        await compared.replica.write()
    if choices.random() < 0.2:
        await compared.replica.refresh_statistics()
    if choices.random() < 0.5:
        await compared.replica.look()


def draw_example(choices: random.Random) -> Example:
    source = choices.choice((ItemSource(choices.choice(IDS)), TextSource(draw_text(choices))))
    return Example(source, choices.choice((1.0, 0.5, 2.0)))


def draw_text(choices: random.Random) -> str:
    return " ".join(choices.sample(WORDS, 3))


def draw_source(choices: random.Random) -> Source:
    match choices.randrange(7):
        case 0 | 1:
            return ItemSource(choices.choice((*IDS, UNKNOWN_ID)))
        case 2:
            return TextSource(draw_text(choices))
        case 3:
            return VectorSource(tuple(choices.gauss(0, 1) for _ in range(DIMENSIONS)))
        case 4:
            return UserSource(choices.choice(("u0", "u1", "u2", UNKNOWN_ID)))
        case 5:
            return PopularSource(HALF_LIFE_DAYS)
    positive = tuple(draw_example(choices) for _ in range(choices.randrange(1, 5)))
    negative = tuple(draw_example(choices) for _ in range(choices.randrange(3)))
    return ExamplesSource(positive, negative)


def draw_query(choices: random.Random) -> Query:
    source = draw_source(choices)
    # Boosts are measured on all popular items in memory, but on the allowed ones of an engine.
    is_popular = source in {PopularSource(HALF_LIFE_DAYS), UserSource(UNKNOWN_ID)}
    return Query(
        source,
        limit=choices.choice((1, 5, 20, 60)),
        exclude_item_ids=tuple(choices.sample(IDS, choices.choice((0, 0, 8)))),
        min_score=choices.choice((None, None, None, 0.1)),
        full=choices.random() < 0.2,
        exact=choices.random() < 0.2,
        filter=choices.choice((None, None, random_filter(choices))),
        diversity=0.0 if is_popular else choices.choice((0.0, 0.0, 0.4)),
        max_similarity=choices.choice((None, None, None, 0.3)),
        explain=choices.random() < 0.3 and not is_popular,
        relation=choices.choice(list(Relation))
        if isinstance(source, ItemSource)
        else Relation.SIMILAR,
        falls_back=choices.random() < 0.5,
        group_by=choices.choice((None, None, GroupBy("group", choices.choice((1, 3))))),
        boosts=() if is_popular else draw_boosts(choices),
    )


def draw_boosts(choices: random.Random) -> tuple[Boost, ...]:
    functions: Sequence[Filter | NumberBoost | Decay] = (
        random_filter(choices),
        NumberBoost("price", min=0.0, max=1_000.0),
        Decay("price", 500.0, 100.0),
        Filter(),
    )
    count = choices.choice((0, 0, 0, 1, 2))
    return tuple(
        Boost(function, choices.uniform(-1, 2)) for function in choices.sample(functions, count)
    )


async def put_users(compared: ComparedCatalog, choices: random.Random) -> None:
    """Store people with preferences, with likes, and with both."""
    await compared.catalog.put_user("u0", draw_text(choices), Preference("war spy", -0.5))
    await compared.catalog.put_user("u1", liked=tuple(choices.sample(IDS, 6)))
    await compared.catalog.put_user("u2", draw_text(choices), liked=tuple(choices.sample(IDS, 3)))


async def compare_random_answers(
    folder: Path, seed: int, options: ReplicaOptions, *, learns: bool
) -> int:
    """Check random queries while a random part of a catalog is in the engine.

    Return the number of recommendations.
    """
    clock, choices = FakeClock(), random.Random(seed)
    lists = [[IDS[number] for number in likes] for likes in draw_lists(seed, 40, len(IDS))]
    model = build_model(lists) if learns else None
    async with compare_catalogs(folder, clock, model, options=options) as compared:
        writes = [draw_item(choices, item_id, clock) for item_id in IDS]
        await compared.catalog.stores.items.upsert_many(compared.catalog.row, writes)
        await put_users(compared, choices)
        await compared.replica.settle()
        count = 0
        for _ in range(6):
            await move_engine(compared, choices)
            await compared.follow()
            for _ in range(6):
                count += len(await compared.compare(draw_query(choices)))
            await change_items(compared, choices, clock)
    return count


@pytest.mark.parametrize("learns", [False, True])
@pytest.mark.parametrize("seed", range(3))
async def test_answers_are_those_from_memory(tmp_path: Path, seed: int, *, learns: bool) -> None:
    """Whatever part of a small catalog is in the engine, each query has the same answer."""
    assert await compare_random_answers(tmp_path, seed, SERVED, learns=learns)


async def test_scores_by_text_are_those_from_memory(tmp_path: Path) -> None:
    """What a validation of a model compares with is scored as in memory."""
    clock, choices = FakeClock(), random.Random(4)
    async with compare_catalogs(tmp_path, clock) as compared:
        writes = [draw_item(choices, item_id, clock) for item_id in IDS]
        await compared.catalog.stores.items.upsert_many(compared.catalog.row, writes)
        await compared.replica.settle()
        await change_items(compared, choices, clock)
        await compared.follow()
        for liked_ids in (choices.sample(IDS, 5), [UNKNOWN_ID]):
            item_ids = [*choices.sample(IDS, 10), UNKNOWN_ID]
            answers = [
                await recommender.score_by_text(liked_ids, item_ids)
                for recommender in (compared.from_memory, compared.from_shared)
            ]
            expected, scores = (
                dict(zip(ids, values.tolist(), strict=True)) for ids, values in answers
            )
            assert pytest.approx(expected, abs=1e-4) == scores


async def test_the_first_items_are_recommended_before_there_are_statistics(tmp_path: Path) -> None:
    """A catalog whose statistics are still those of no item recommends by several sources."""
    clock, choices = FakeClock(), random.Random(1)
    async with compare_catalogs(tmp_path, clock) as compared:
        writes = [draw_item(choices, item_id, clock) for item_id in IDS]
        await compared.catalog.stores.items.upsert_many(compared.catalog.row, writes)
        await put_users(compared, choices)
        await compared.replica.follow()
        for boosts in ((), (Boost(NumberBoost("price")),)):
            query = Query(UserSource("u0"), limit=5, boosts=boosts)
            answer = await compared.from_shared.recommend(query)
            assert 5 == len(answer.recommendations)
            assert all(np.isfinite(entry.score) for entry in answer.recommendations)
