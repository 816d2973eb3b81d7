import random
from dataclasses import dataclass, field
from pathlib import Path

import akin
import grpc
import pytest
from akin.v1 import recommender_service_pb2 as pb
from support.rejections import RawClient
from support.server import RunningServer
from support.texts import distinct

SEED = 1
ROUNDS = 3
STEPS = 60
IDS = 40
TEXTS = 60
USERS = 10


@dataclass
class Model:
    """What the server must hold, as the acknowledged calls say."""

    items: dict[str, akin.Item] = field(default_factory=dict)
    users: dict[str, akin.User] = field(default_factory=dict)
    sequence: int = 0

    def written(self, sequence: int) -> None:
        """Notes the number of a write, which is greater than that of any before."""
        assert sequence > self.sequence
        self.sequence = sequence


def random_item(rng: random.Random) -> akin.Item:
    attributes = {"number": rng.randrange(1000)} if rng.random() < 0.7 else None
    return akin.item(f"item {rng.randrange(IDS)}", distinct(rng.randrange(TEXTS)), attributes)


def step(rng: random.Random, client: akin.Client, model: Model) -> None:
    """One random write, noted in the model."""
    item = random_item(rng)
    user_id = f"user {rng.randrange(USERS)}"
    match rng.choices(["upsert", "import", "delete", "user", "forget"], [8, 2, 4, 3, 1])[0]:
        case "upsert":
            stored = client.upsert_item(item.item_id, item.text, dict(item.attributes)).item
            model.written(stored.sequence)
            model.items[item.item_id] = stored
        case "import":
            for result in client.import_items([item, random_item(rng)]):
                model.written(result.sequence)
                model.items[result.item_id] = client.get_item(result.item_id)
        case "delete":
            sequence = client.delete_item(item.item_id, allow_missing=True)
            if model.items.pop(item.item_id, None):
                model.written(sequence)
            else:
                assert 0 == sequence
        case "user":
            likes = [f"item {n}" for n in rng.sample(range(IDS), 3)]
            profile = [distinct(rng.randrange(TEXTS))]
            model.users[user_id] = client.upsert_user(user_id, profile, likes).user
        case "forget":
            if model.users.pop(user_id, None):
                client.delete_user(user_id)


def kill_in_flight(rng: random.Random, server: RunningServer, model: Model) -> list[akin.Item]:
    """Kills the server with writes under way; returns the items whose writes got no answer."""
    in_doubt = []
    items = {item.item_id: item for item in (random_item(rng) for _ in range(8))}
    with RawClient(server.address) as raw:
        calls = [
            (item, raw.stub.UpsertItem.future(pb.UpsertItemRequest(item=item)))
            for item in items.values()
        ]
        calls[0][1].result()
        server.kill()
        for item, call in calls:
            if call.exception() is None:
                stored = call.result().item
                model.items[item.item_id] = stored
                model.sequence = max(model.sequence, stored.sequence)
            else:
                assert grpc.StatusCode.UNAVAILABLE == call.code()
                in_doubt.append(item)
    return in_doubt


def settle(client: akin.Client, model: Model, in_doubt: list[akin.Item]) -> None:
    """Takes writes without an answer as the server has them: wholly done, or not at all."""
    there = {item.item_id: item for item in client.list_items(1000).items}
    for item in in_doubt:
        stored = there.get(item.item_id)
        if stored is not None and stored != model.items.get(item.item_id):
            assert (item.text, item.attributes) == (stored.text, stored.attributes)
            model.items[item.item_id] = stored
            model.sequence = max(model.sequence, stored.sequence)


def compare(client: akin.Client, model: Model) -> None:
    """Asserts that the server holds what the model holds, and recommends exactly that."""
    page = client.list_items(1000)
    assert [model.items[item_id] for item_id in sorted(model.items)] == list(page.items)
    assert len(model.items) == page.total_size
    for user_id in (f"user {number}" for number in range(USERS)):
        if user_id in model.users:
            assert model.users[user_id] == client.get_user(user_id)
            answer = client.recommend_similar(user_id=user_id, limit=1000)
            likes = {each.item_id for each in model.users[user_id].liked_items}
            assert model.items.keys() - likes == {hit.item_id for hit in answer.recommendations}
            assert likes - model.items.keys() == set(answer.missing_item_ids)
        else:
            with pytest.raises(akin.AkinError, match="NOT_FOUND"):
                client.get_user(user_id)
    for text in {item.text for item in model.items.values()}:
        having = sorted(item.item_id for item in model.items.values() if item.text == text)
        answer = client.recommend_similar(text=text, limit=1000)
        found = [hit.item_id for hit in answer.recommendations]
        assert having == found[: len(having)]
        assert sorted(model.items) == sorted(found)


def test_random_writes_and_restarts(tmp_path: Path) -> None:
    """After any writes, clean stops and kills the server holds what a plain dict holds."""
    rng = random.Random(SEED)
    model = Model()
    in_doubt: list[akin.Item] = []
    for number in range(ROUNDS):
        with RunningServer(tmp_path) as server, server.client() as client:
            settle(client, model, in_doubt)
            compare(client, model)
            for _ in range(STEPS):
                step(rng, client, model)
            compare(client, model)
            if number % 2:
                in_doubt = []
                assert 0 == server.stop()
            else:
                in_doubt = kill_in_flight(rng, server, model)
    with RunningServer(tmp_path) as server, server.client() as client:
        settle(client, model, in_doubt)
        compare(client, model)
