"""How many hidden likes real people find by default settings, on films and on music."""

import json
from pathlib import Path
from statistics import fmean
from typing import Any

import akin
import pytest
from support.behavior_calls import import_likes, list_ids, wait_for_model
from support.server import RunningServer

from service.cli.evaluation_metrics import compute_ndcg, compute_recall

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


def read(name: str, file: str) -> list[dict[str, Any]]:
    with (DATA / name / file).open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def measure(client: akin.Client, people: list[dict[str, Any]]) -> tuple[float, float]:
    """Return the mean recall and nDCG of the hidden likes among the first 20 items."""
    recalls, ndcgs = [], []
    for person in people:
        ids = list_ids(client.recommend_similar(user_id=person["user_id"], limit=20))
        assert 20 == len(set(ids) - set(person["liked"]))
        recalls.append(compute_recall(ids, person["held_out"]))
        ndcgs.append(compute_ndcg(ids, person["held_out"]))
    return fmean(recalls), fmean(ndcgs)


@pytest.mark.parametrize(
    ("name", "recall", "ndcg"), [("movies", 0.21, 0.148), ("music", 0.26, 0.25)]
)
def test_people_find_what_was_hidden(tmp_path: Path, name: str, recall: float, ndcg: float) -> None:
    """With the visible likes stored and nothing set, people find a share of the hidden ones."""
    if not (DATA / name).is_dir():
        pytest.skip(f"the data is not at ../shared/data/{name}")
    items, people = read(name, "items.jsonl"), read(name, "users.jsonl")
    with RunningServer(tmp_path) as server, server.client() as client:
        results = client.import_items(
            akin.item(item["id"], item["text"], item.get("attributes")) for item in items
        )
        assert {0} == {result.code for result in results}
        count = import_likes(client, {person["user_id"]: person["liked"] for person in people})
        model = wait_for_model(client, count)
        assert 0 < model.text_weight < 1
        measured_recall, measured_ndcg = measure(client, people)
    assert recall <= measured_recall
    assert ndcg <= measured_ndcg
