import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import akin
import pytest
from support.server import RunningServer

MOVIES = Path(__file__).resolve().parents[3] / "shared" / "data" / "movies"

pytestmark = pytest.mark.skipif(
    not MOVIES.is_dir(), reason="the film data is not at ../shared/data/movies"
)


def lines(name: str) -> list[dict[str, Any]]:
    with (MOVIES / name).open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Iterator[akin.Client]:
    """A client of a server that holds all films."""
    with (
        RunningServer(tmp_path_factory.mktemp("movies")) as server,
        server.client() as client,
    ):
        items = (
            akin.item(each["id"], each["text"], each["attributes"]) for each in lines("items.jsonl")
        )
        assert {0} == {result.code for result in client.import_items(items)}
        yield client


def ids(response: akin.RecommendSimilarResponse) -> list[str]:
    return [hit.item_id for hit in response.recommendations]


def test_every_film_is_there(films: akin.Client) -> None:
    """All 3,000 films are stored, with their texts and attributes."""
    assert 3000 == films.list_items(1).total_size
    for each in lines("items.jsonl")[::100]:
        item = films.get_item(each["id"])
        assert akin.item(each["id"], each["text"], each["attributes"]).attributes == item.attributes
        assert each["text"] == item.text


def test_dark_knight_leads_to_batman(films: akin.Client) -> None:
    """The Dark Knight has another film of its trilogy among the first five."""
    found = ids(films.recommend_similar(item_id="tmdb:155", limit=5))
    assert {"tmdb:272", "tmdb:49026"} & set(found)


def test_heist_text_finds_oceans_eleven(films: akin.Client) -> None:
    """A description in words finds the film that it describes among the first ten."""
    found = ids(films.recommend_similar(text="a heist crew robs casinos", limit=10))
    assert "tmdb:161" in found


def test_people_get_new_films(films: akin.Client) -> None:
    """All 243 people are stored, and get 20 films, none of them among their likes."""
    users = lines("users.jsonl")
    assert 243 == len(users)
    for user in users:
        stored = films.upsert_user(user["user_id"], liked_items=user["liked"]).user
        assert user["liked"] == [liked.item_id for liked in stored.liked_items]
    for user in users[::10]:
        answer = films.recommend_similar(user_id=user["user_id"], limit=20)
        assert 20 == len(set(ids(answer)))
        assert not set(ids(answer)) & set(user["liked"])
        assert [] == list(answer.missing_item_ids)
