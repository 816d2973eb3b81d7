"""Catalogs of a real server in which people have tastes that the texts do not tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import akin
from akin.v1 import catalog_service_pb2

from support.item_lists import draw_lists
from support.texts import distinct
from support.waiting import until

ITEM_COUNT = 60
TASTES = 3
PEOPLE_COUNT = 48
POPULAR = akin.Popular()

# The texts of neighbors in the list of all texts differ in the place alone, those of items in
# different places by more.
TEXT_STEP = 61

# Has no common divisor with the number of items, so that no two items have one text.
TEXT_STRIDE = 23


def name_item(number: int) -> str:
    """Return the id of an item."""
    return f"i{number:02}"


def make_text(number: int) -> str:
    """Return the text of an item; items of one taste have texts from the whole list."""
    return distinct(number * TEXT_STRIDE % ITEM_COUNT * TEXT_STEP)


def find_taste(item_id: str) -> int:
    """Return which taste an item belongs to."""
    return int(item_id[1:]) * TASTES // ITEM_COUNT


def draw_likes(people: int = PEOPLE_COUNT, *, tastes: int = TASTES) -> dict[str, list[str]]:
    """Return what people like, by user id; user number n has the taste n % tastes."""
    lists = draw_lists(7, people, ITEM_COUNT, 14, tastes)
    return {
        f"u{person}": [name_item(number) for number in numbers]
        for person, numbers in enumerate(lists)
    }


def import_items(client: akin.Client, count: int = ITEM_COUNT) -> None:
    """Store items whose texts say nothing about tastes."""
    items = [
        akin.item(name_item(number), make_text(number), {"even": number % 2 == 0})
        for number in range(count)
    ]
    assert {0} == {result.code for result in client.import_items(items)}


def import_likes(client: akin.Client, likes: Mapping[str, Sequence[str]]) -> int:
    """Store users who like items, all in one write; return the number of likes."""
    users = [akin.user(user_id, liked_items=items) for user_id, items in likes.items()]
    if users:
        assert {0} == {result.code for result in client.import_users(users)}
    return sum(map(len, likes.values()))


def wait_for_model(client: akin.Client, like_count: int) -> catalog_service_pb2.BehaviorModel:
    """Wait until the server uses a model of so many likes, and return what is known of it."""
    until(lambda: client.get_catalog().behavior_model.like_count == like_count)
    model = client.get_catalog().behavior_model
    until(lambda: read_model_time(client) == model.train_time)
    return model


def read_model_time(client: akin.Client) -> object:
    """Return the time of the model that recommendations are made by."""
    return client.recommend_similar(popular=POPULAR, limit=1).signals.model_time


def list_ids(response: akin.RecommendSimilarResponse) -> list[str]:
    """Return the ids of recommended items, best first."""
    return [entry.item_id for entry in response.recommendations]


def list_scores(response: akin.RecommendSimilarResponse) -> list[tuple[str, float]]:
    """Return the ids and scores of recommended items, best first."""
    return [(entry.item_id, entry.score) for entry in response.recommendations]
