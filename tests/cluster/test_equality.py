"""Recommendations by a shared index and by one in memory, over the same items."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

import akin
import pytest
from akin import filters
from support.server import RunningServer
from support.waiting import until

ITEM_COUNT = 800
SUBJECTS = ("telescope", "violin", "apple pie", "mountain bike", "rain coat", "chess board")
QUALITIES = ("small", "old", "red", "cheap", "heavy", "quiet", "broken", "Italian", "golden")
PLACES = ("in the garden", "for children", "on a ship", "at night", "in winter", "for two")
USER_IDS = [f"user-{number}" for number in range(20)]

# Equal numbers that both kinds of index compute from vectors of 32 bits.
SCORE_TOLERANCE = 1e-5

Answer = list[tuple[str, float]]


def make_items(random: Random) -> list[akin.Item]:
    """Return items, each with another text."""
    items = []
    for number in range(ITEM_COUNT):
        subject, quality, other = (
            random.choice(SUBJECTS),
            *random.sample(QUALITIES, 2),
        )
        text = f"A {quality} and {other} {subject} {random.choice(PLACES)}, number {number}"
        attributes = {
            "subject": subject,
            "tags": [quality, other],
            "price": round(random.random() * 100, 2),
        }
        items.append(akin.item(f"item-{number:03}", text, attributes))
    return items


def make_calls(random: Random) -> Iterator[dict[str, Any]]:
    """Yield the arguments of calls for recommendations of every kind."""
    wheres = [
        None,
        filters.equals("subject", "violin"),
        filters.between("price", gte=20, lt=40),
        filters.contains_any("tags", ["red", "old"]),
        filters.none_of(filters.equals("subject", "apple pie")),
    ]
    ids = [f"item-{number:03}" for number in range(ITEM_COUNT)]
    for number in range(60):
        where = wheres[number % len(wheres)]
        options = {"limit": 20, **({} if where is None else {"where": where})}
        yield {"item_id": random.choice(ids), **options}
        yield {"text": f"something {random.choice(QUALITIES)} {random.choice(PLACES)}", **options}
        yield {"examples": akin.examples(random.sample(ids, 5), random.sample(ids, 1)), **options}
        yield {"user_id": random.choice(USER_IDS), **options}
    group_by = akin.GroupBy(attribute="subject", max_per_group=2)
    boost = akin.Boost(weight=1.0, filter=filters.all_of(filters.equals("subject", "chess board")))
    for item_id in random.sample(ids, 10):
        yield {"item_id": item_id, "group_by": group_by, "limit": 10}
        yield {"item_id": item_id, "boosts": [boost], "limit": 10}
        yield {"item_id": item_id, "diversity": 0.5, "limit": 10}
        yield {"item_id": item_id, "exclude_item_ids": random.sample(ids, 100), "limit": 10}


@pytest.fixture(scope="module")
def clients(
    tmp_path_factory: pytest.TempPathFactory, qdrant_url: str
) -> Iterator[tuple[akin.Client, akin.Client]]:
    """Clients of two servers with the same items: in memory, and in a shared index."""
    folder = tmp_path_factory.mktemp("equality")
    for name in ("memory", "shared"):
        folder.joinpath(name).mkdir()
    items = make_items(Random(3))
    with (
        RunningServer(folder / "memory", EMBEDDER="local") as memory,
        RunningServer(
            folder / "shared", EMBEDDER="local", INDEX="shared", QDRANT_URL=qdrant_url
        ) as shared,
        memory.client() as memory_client,
        shared.client() as shared_client,
    ):
        for client in (memory_client, shared_client):
            store(client, items)
        yield memory_client, shared_client


def store(client: akin.Client, items: Sequence[akin.Item]) -> None:
    """Store items, and users who like some of them."""
    assert all(result.code == 0 for result in client.import_items(items))
    random = Random(4)
    for user_id in USER_IDS:
        liked = [item.item_id for item in random.sample(items, 8)]
        client.upsert_user(user_id, ["things for the garden"], liked)


def recommend(client: akin.Client, call: dict[str, Any]) -> Answer:
    """Return ids and scores."""
    response = client.recommend_similar(**call)
    return [(hit.item_id, hit.score) for hit in response.recommendations]


def is_same(ours: Answer, theirs: Answer) -> bool:
    """Return whether two answers have the same items with the same scores, in the same order."""
    return [item_id for item_id, _ in ours] == [item_id for item_id, _ in theirs] and all(
        abs(one - other) < SCORE_TOLERANCE
        for (_, one), (_, other) in zip(ours, theirs, strict=True)
    )


def has_several_sources(call: dict[str, Any]) -> bool:
    """Return whether the items near to each of several sources are candidates."""
    return "examples" in call or "user_id" in call


def test_recommendations_are_those_of_an_index_in_memory(
    clients: tuple[akin.Client, akin.Client],
) -> None:
    """Both indexes recommend the same items with the same scores for one source.

    For several sources, at least 99% of the items are the same: one in memory this small scores all
    items, and the shared one those that are near to a source.
    """
    memory, shared = clients
    user_call = {"user_id": USER_IDS[0], "limit": 20}
    # The statistics of the shared index follow the last write within seconds.
    until(lambda: is_same(recommend(memory, user_call), recommend(shared, user_call)))
    differing = []
    common_count = count = 0
    for call in make_calls(Random(5)):
        ours, theirs = recommend(shared, call), recommend(memory, call)
        if has_several_sources(call):
            common_count += len(
                {item_id for item_id, _ in ours} & {item_id for item_id, _ in theirs}
            )
            count += len(theirs)
        elif not is_same(ours, theirs):
            differing.append(call)
    assert [] == differing
    assert common_count >= 0.99 * count


def test_lists_and_analyses_are_those_of_an_index_in_memory(
    clients: tuple[akin.Client, akin.Client],
) -> None:
    """Filtered lists, outliers, labels and passages are the same by both indexes."""
    memory, shared = clients
    where = filters.between("price", gte=10, lt=60)

    def describe(client: akin.Client) -> list[Any]:
        page = client.list_items(where=where, page_size=50)
        outliers = client.find_outliers(limit=5)
        labels = client.classify_text("A stringed instrument", "subject").labels
        passages = client.search_passages("a bike at night", limit=5).passages
        return [
            page.total_size,
            [item.item_id for item in page.items],
            [outlier.item_id for outlier in outliers.outliers],
            [label.value for label in labels],
            [passage.item_id for passage in passages],
        ]

    assert describe(memory) == describe(shared)
