"""Calls of an evaluation: recommendations for people, with their durations."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle, islice

import akin
from akin.options import RecommendSimilarOptions

from service.cli.evaluation_input import EvaluationInput, Person
from service.cli.evaluation_metrics import TOP
from service.cli.evaluation_results import Latency, PersonResult
from service.cli.evaluation_splits import choose_evenly
from service.cli.evaluation_store import show_progress

# Calls of each kind whose latencies are compared: 10 of them are above p95.
COMPARED_CALLS = 200

# Likes of the users whose latency is compared with that of an item; the JSON field names it.
COMPARED_LIKES = 50

# Calls of each kind before any is measured: the first ones load pages and caches.
WARM_UP_CALLS = 5

# Interactions of any age count alike: likes without a time have one of long ago.
POPULAR_HALF_LIFE_DAYS = 36_500.0

# The most items that a request excludes.
MAX_EXCLUDED = 10_000


@dataclass(frozen=True, slots=True)
class PersonQuery:
    """A request for a person, and the items that its recommendations hit."""

    options: RecommendSimilarOptions
    held_out: frozenset[str]


def list_user_queries(people: Sequence[Person], *, popular: bool = False) -> list[PersonQuery]:
    """Return a query for each person: for the stored user, or for popular items."""
    return [
        list_popular_query(person)
        if popular
        else PersonQuery({"user_id": person.user_id}, person.held_out)
        for person in people
    ]


def list_popular_query(person: Person) -> PersonQuery:
    """Return the query for popular items that a person does not like yet."""
    return PersonQuery(
        {
            "popular": akin.Popular(half_life_days=POPULAR_HALF_LIFE_DAYS),
            "exclude_item_ids": person.liked[-MAX_EXCLUDED:],
        },
        person.held_out,
    )


def recommend_to_all(
    client: akin.Client, title: str, queries: Sequence[PersonQuery]
) -> Sequence[PersonResult]:
    """Return the result of each query."""
    for query in queries[:WARM_UP_CALLS]:
        _measure(client, query.options)
    results = []
    for query in show_progress(queries, title):
        seconds, item_ids = _measure(client, query.options)
        results.append(PersonResult(item_ids, query.held_out, seconds))
    return results


def compare_latencies(client: akin.Client, data: EvaluationInput) -> tuple[Latency, Latency]:
    """Return the latency for an item and for a user with 50 likes.

    Both kinds of calls take turns, so that noise affects both.
    """
    likes = [
        person.liked[-COMPARED_LIKES:]
        for person in data.people
        if len(person.liked) >= COMPARED_LIKES
    ] or [choose_evenly(data.item_ids, COMPARED_LIKES)]
    user_ids = [f"akin-evaluate/{number}" for number in range(min(len(likes), COMPARED_CALLS))]
    for user_id, liked in zip(user_ids, likes, strict=False):
        client.upsert_user(user_id, liked_items=liked)
    item_ids = choose_evenly(data.item_ids, COMPARED_CALLS)
    pairs = list(islice(zip(cycle(item_ids), cycle(user_ids), strict=False), COMPARED_CALLS))
    for item_id, user_id in pairs[:WARM_UP_CALLS]:
        _measure(client, {"item_id": item_id})
        _measure(client, {"user_id": user_id})
    item_seconds, user_seconds = [], []
    for item_id, user_id in show_progress(pairs, "latency"):
        item_seconds.append(_measure(client, {"item_id": item_id})[0])
        user_seconds.append(_measure(client, {"user_id": user_id})[0])
    return Latency.from_seconds(item_seconds), Latency.from_seconds(user_seconds)


def _measure(client: akin.Client, options: RecommendSimilarOptions) -> tuple[float, Sequence[str]]:
    """Return the duration of a call in seconds, and the recommended ids."""
    request: RecommendSimilarOptions = {**options, "limit": TOP}
    start = time.perf_counter()
    response = client.recommend_similar(**request)
    seconds = time.perf_counter() - start
    return seconds, [recommendation.item_id for recommendation in response.recommendations]
