"""Measures people and items of which little is known."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from statistics import fmean

import akin
from akin.options import RecommendSimilarOptions

from service.cli.connection import ConnectionOptions, open_client
from service.cli.evaluation_calls import (
    MAX_EXCLUDED,
    PersonQuery,
    list_popular_query,
    list_user_queries,
    recommend_to_all,
)
from service.cli.evaluation_input import EvaluationInput, Person
from service.cli.evaluation_metrics import compute_recall
from service.cli.evaluation_results import (
    ColdItems,
    ColdPeople,
    PersonResult,
    Quality,
    compute_recalls,
)
from service.cli.evaluation_splits import LikeLists, TimedLike, choose_new_items, remove_items
from service.cli.evaluation_store import (
    store_interactions,
    store_items,
    wait_for_model,
    wait_until,
)

KNOWN_LIKES = (1, 2, 3, 5)

# The share of the liked items that are new, how often they are drawn, and the boosts to try.
NEW_ITEMS_SHARE = 0.15
NEW_ITEMS_DRAWS = 5
NEW_ITEM_BOOSTS = (0.0, 1.0, 2.0)
NEW_ITEMS_CATALOG = "new-items"

# People whose recommendations show whether the server knows the new items yet, and how.
PROBE_PEOPLE = 5
PROBE_BOOST = 10.0
PROBE_LIMIT = 100

# The longest time that the server takes to list the new items.
LISTING_SECONDS = 20.0

# Items that one call reads; more than 1,000 are an error.
READ_ITEMS = 1_000

TEXT, AUTO = akin.SignalMode.SIGNAL_MODE_TEXT, akin.SignalMode.SIGNAL_MODE_AUTO
MODES = {"text": TEXT, "auto": AUTO}


class ColdRecalls:
    """The recall of each person in all draws of new items."""

    def __init__(self) -> None:
        self._of_all: dict[str, list[float]] = defaultdict(list)
        self._of_new: dict[str, list[float]] = defaultdict(list)

    def add(
        self, people: Sequence[Person], results: Sequence[PersonResult], new_ids: frozenset[str]
    ) -> None:
        """Add the results of one draw."""
        for person, result in zip(people, results, strict=True):
            self._of_all[person.user_id].append(compute_recall(result.recommended, person.held_out))
            if held_out := person.held_out & new_ids:
                self._of_new[person.user_id].append(compute_recall(result.recommended, held_out))

    def summarize(self, strategy: str) -> ColdItems:
        """Return the means over people of their means over draws."""
        of_new, of_all = (
            Quality.from_values([fmean(values) for values in by_person.values()])
            for by_person in (self._of_new, self._of_all)
        )
        return ColdItems(strategy, of_new, of_all)


def measure_cold_people(client: akin.Client, people: Sequence[Person]) -> list[ColdPeople]:
    """Measure recall for the latest likes of each person alone, and for a text alone.

    Args:
        client: of the catalog, which has learned from the visible likes.
        people: the people.
    """
    judged = [person for person in people if person.held_out and person.liked]
    popular = [list_popular_query(person) for person in judged]
    texts = _read_texts(client, judged)
    groups: dict[int, list[PersonQuery]] = {
        0: [
            _exclude_likes({"examples": akin.examples([akin.Example(text=text)])}, person)
            for text, person in zip(texts, judged, strict=True)
            if text
        ]
    }
    for count in KNOWN_LIKES:
        groups[count] = [
            _exclude_likes({"examples": akin.examples(person.liked[-count:])}, person)
            for person in judged
            if len(person.liked) >= count
        ]
    rows = [_measure_people(client, 0, "popular", popular)]
    for name, mode in MODES.items():
        client.update_catalog(signals=mode)
        rows.extend(
            _measure_people(client, count, name, queries)
            for count, queries in groups.items()
            if queries
        )
    return rows


def measure_cold_items(client: akin.Client, address: str, data: EvaluationInput) -> list[ColdItems]:
    """Measure recall in catalogs in which some of the liked items are new.

    Their likes are hidden, and they are stored after all likes. Which items are new is drawn
    several times, because the result depends much on it.
    """
    liked = {user_id: list(likes) for user_id, likes in data.likes.items()}
    for person in data.people:
        liked[person.user_id] += [TimedLike(item_id, 0) for item_id in sorted(person.held_out)]
    recalls: dict[str, ColdRecalls] = defaultdict(ColdRecalls)
    for draw in range(NEW_ITEMS_DRAWS):
        new_ids = choose_new_items(liked, NEW_ITEMS_SHARE, draw)
        likes = remove_items(data.likes, new_ids)
        people = [person for person in data.people if person.user_id in likes and person.held_out]
        if not any(person.held_out & new_ids for person in people):
            continue
        client.create_catalog(NEW_ITEMS_CATALOG, signals=TEXT)
        with open_client(address, ConnectionOptions(NEW_ITEMS_CATALOG)) as new_client:
            _store_new_items_last(new_client, data, likes, new_ids)
            for name, results in _recommend_new_items(new_client, people):
                recalls[name].add(people, results, new_ids)
        client.delete_catalog(NEW_ITEMS_CATALOG)
    return [recall.summarize(name) for name, recall in recalls.items()]


def _store_new_items_last(
    client: akin.Client, data: EvaluationInput, likes: LikeLists, new_ids: frozenset[str]
) -> None:
    store_items(client, data, "items that are not new", lambda item_id: item_id not in new_ids)
    store_interactions(client, data, likes, "likes of items that are not new")
    store_items(client, data, "new items", lambda item_id: item_id in new_ids)


def _recommend_new_items(
    client: akin.Client, people: Sequence[Person]
) -> Iterator[tuple[str, Sequence[PersonResult]]]:
    """Yield the results of each strategy."""
    queries = list_user_queries(people)
    yield "text", recommend_to_all(client, "text, new items", queries)
    wait_for_model(client, "learning from likes of items that are not new")
    _wait_for_new_items(client, people)
    for boost in NEW_ITEM_BOOSTS:
        name = f"auto, boost {boost:g}"
        boosted = [
            replace(query, options={**query.options, "new_item_boost": boost}) for query in queries
        ]
        yield name, recommend_to_all(client, f"{name}, new items", boosted)


def _read_texts(client: akin.Client, people: Sequence[Person]) -> list[str]:
    """Return the text of the latest liked item of each person, empty if it is not stored."""
    ids = sorted({person.liked[-1] for person in people})
    texts: dict[str, str] = {}
    for start in range(0, len(ids), READ_ITEMS):
        response = client.batch_get_items(ids[start : start + READ_ITEMS])
        texts.update((item.item_id, item.text) for item in response.items)
    return [texts.get(person.liked[-1], "") for person in people]


def _exclude_likes(options: RecommendSimilarOptions, person: Person) -> PersonQuery:
    """Return a query that recommends none of the visible likes, as that for the user does."""
    return PersonQuery(
        {**options, "exclude_item_ids": person.liked[-MAX_EXCLUDED:]}, person.held_out
    )


def _measure_people(
    client: akin.Client, count: int, name: str, queries: Sequence[PersonQuery]
) -> ColdPeople:
    results = recommend_to_all(client, f"{name}, known likes {count}", queries)
    recall = Quality.from_values(compute_recalls(results))
    return ColdPeople(count, name, len(queries), recall)


def _wait_for_new_items(client: akin.Client, people: Sequence[Person]) -> None:
    """Wait until a boost moves new items, which the server lists soon after the training.

    It may be that it can move none of them.
    """
    if not client.get_catalog().behavior_model.item_count:
        return  # text alone ranks

    def are_moved() -> bool:
        return any(
            _list_recommended(client, person, 0.0) != _list_recommended(client, person, PROBE_BOOST)
            for person in people[:PROBE_PEOPLE]
        )

    wait_until(are_moved, "listing new items", LISTING_SECONDS)


def _list_recommended(client: akin.Client, person: Person, boost: float) -> list[str]:
    response = client.recommend_similar(
        user_id=person.user_id, new_item_boost=boost, limit=PROBE_LIMIT
    )
    return [recommendation.item_id for recommendation in response.recommendations]
