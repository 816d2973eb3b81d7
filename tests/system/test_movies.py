import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import akin
import numpy as np
import pytest
from support.server import RunningServer

from service.cli.evaluation_results import LikeStatistics, PersonResult, StrategyMetrics
from service.embedding.embedder import Vector
from service.embedding.local import LocalEmbedder

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
        # Whether the server has learned from likes by now must not matter.
        RunningServer(tmp_path_factory.mktemp("movies"), SIGNALS="text") as server,
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


@pytest.fixture(scope="module")
def vectors() -> dict[str, Vector]:
    """Each film's vector, from the embedded model itself."""
    films = lines("items.jsonl")
    embedded = asyncio.run(LocalEmbedder().embed([each["text"] for each in films]))
    raw = np.asarray(embedded.vectors)
    units = raw / np.linalg.norm(raw, axis=1, keepdims=True)
    return dict(zip((each["id"] for each in films), units, strict=True))


def mean_similarity(vectors: dict[str, Vector], found: list[str]) -> float:
    # In one order, so that rounding is the same for the same films.
    chosen = np.stack([vectors[item_id] for item_id in sorted(found)]).astype(np.float64)
    cosines = chosen @ chosen.T
    return float(cosines[np.triu_indices(len(found), 1)].mean())


def test_results_differ_more_with_diversity(films: akin.Client, vectors: dict[str, Vector]) -> None:
    """For each film the mean similarity of ten results falls with diversity, the first stays."""
    for item_id in list(vectors)[::60]:
        answers = [
            ids(films.recommend_similar(item_id=item_id, limit=10, diversity=diversity))
            for diversity in (0.0, 0.25, 0.5, 0.75, 1.0)
        ]
        means = [mean_similarity(vectors, found) for found in answers]
        assert sorted(means, reverse=True) == means
        assert means[-1] < means[0]
        assert 1 == len({found[0] for found in answers})


TASTES = [
    (
        "space travel and aliens",
        "a romantic comedy at a wedding",
        "boxing and training for a fight",
    ),
    ("sailing ships and pirates", "a courtroom drama with a lawyer", "zombies"),
    ("vampires", "cooking and food", "war in a submarine"),
]


@pytest.mark.parametrize("tastes", TASTES, ids=["one", "two", "three"])
def test_every_clear_taste_is_a_reason(films: akin.Client, tastes: tuple[str, ...]) -> None:
    """For someone with three different tastes the first twenty films' reasons name all three."""
    films.upsert_user("taster", tastes)
    answer = films.recommend_similar(user_id="taster", limit=20, explain=True)
    explained = [hit for hit in answer.recommendations if hit.explanations]
    assert set(tastes) == {hit.explanations[0].text for hit in explained}
    assert 10 <= len(explained)


def test_a_copy_does_not_come_beside_the_original(films: akin.Client) -> None:
    """Of two films with one text only one comes back under a maximum similarity."""
    original = films.get_item("tmdb:155")
    films.upsert_item("copy", original.text)
    films.upsert_item("shouted copy", original.text.upper())
    copies = {"tmdb:155", "copy", "shouted copy"}
    usual = ids(films.recommend_similar(text="Batman against the Joker in Gotham", limit=20))
    assert copies <= set(usual)
    answer = films.recommend_similar(
        text="Batman against the Joker in Gotham", limit=20, max_similarity=0.99
    )
    assert 1 == len(copies & set(ids(answer)))
    assert 20 == len(answer.recommendations)
    for item_id in copies - {"tmdb:155"}:
        films.delete_item(item_id)


def test_people_find_what_was_held_out(films: akin.Client) -> None:
    """Over 243 people recall@20 is at least 0.037 and nDCG@20 at least 0.033."""
    results = []
    for person in lines("users.jsonl"):
        films.upsert_user(person["user_id"], liked_items=person["liked"])
        found = ids(films.recommend_similar(user_id=person["user_id"], limit=20))
        results.append(PersonResult(found, frozenset(person["held_out"]), 1.0))
    metrics = StrategyMetrics.from_results("pooled", results, LikeStatistics(3_000, {}, 0))
    assert 0.037 <= metrics.recall_at_20
    assert 0.033 <= metrics.ndcg_at_20
