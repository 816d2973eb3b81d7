"""Models over restarts, failures, re-embeddings and deletions, on real servers."""

import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import akin
import pytest
from akin.v1 import catalog_service_pb2
from akin.v1 import recommender_service_pb2 as pb
from akin.v1 import recommender_service_pb2_grpc as pb_grpc
from support.behavior_calls import (
    ITEM_COUNT,
    POPULAR,
    draw_likes,
    find_taste,
    import_items,
    import_likes,
    list_ids,
    list_scores,
    name_item,
    read_model_time,
    wait_for_model,
)
from support.command import run
from support.provider import ScriptedProvider
from support.server import WAIT_SECONDS, RunningServer
from support.stores import execute, rows
from support.trainings import find_trainings, is_running
from support.waiting import until
from support.workers import connect_to_workers

LIKES = draw_likes()
ALSO_LIKED = pb.RELATION_ALSO_LIKED
SWITCHED = catalog_service_pb2.REEMBEDDING_STATE_SERVING

# Likes of items that nobody stored, so many that a training takes about a second.
GHOST_LIKES = {
    f"ghost {person}": [f"g{(person * 37 + number * number) % 2_003}" for number in range(100)]
    for person in range(300)
}
GHOST_LIKES = {person: list(dict.fromkeys(likes)) for person, likes in GHOST_LIKES.items()}


def learn(client: akin.Client) -> int:
    """Store items and likes, and wait for the model; return the number of likes."""
    import_items(client)
    count = import_likes(client, LIKES)
    wait_for_model(client, count)
    return count


def ask(client: akin.Client) -> list[list[tuple[str, float]]]:
    """Return recommendations of several kinds with their scores."""
    return [
        list_scores(client.recommend_similar(user_id="u1", limit=ITEM_COUNT)),
        list_scores(client.recommend_similar(item_id="i05", relation=ALSO_LIKED)),
        list_scores(client.recommend_similar(popular=POPULAR, limit=ITEM_COUNT)),
    ]


def wait_for_trainings(server: RunningServer) -> list[int]:
    """Wait until a server trains, and return the ids of the processes."""
    until(lambda: bool(find_trainings([server.process_id])))
    return find_trainings([server.process_id])


@contextmanager
def fail_trainings(folder: Path) -> Iterator[None]:
    """Let no training of a server over a folder succeed: a file is where their folders belong."""
    training, away = folder / "data" / "training", folder / "away"
    training.rename(away)
    training.touch()
    try:
        yield
    finally:
        training.unlink()
        away.rename(training)


def list_trainings(folder: Path) -> list[str]:
    """Return the folders that trainings left below a data folder."""
    training = folder / "data" / "training"
    return sorted(str(path.relative_to(training)) for path in training.glob("*/*"))


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose data a server that was killed has learned from."""
    folder = tmp_path_factory.mktemp("learned")
    with RunningServer(folder) as server, server.client() as client:
        learn(client)
    return folder


def copy(learned: Path, folder: Path) -> Path:
    """Copy the learned data, which no server uses, into a new folder."""
    ignored = shutil.ignore_patterns("*.sock")  # a server that was killed leaves its socket
    shutil.copytree(learned / "data", folder / "data", ignore=ignored)
    return folder


def test_a_model_survives_a_crash_and_a_restore(learned: Path, tmp_path: Path) -> None:
    """After SIGKILL, a stop and a restore of a backup, the same model gives the same answers."""
    with RunningServer(learned) as server, server.client() as client:
        expected, time = ask(client), client.get_catalog().behavior_model.train_time
        assert time == read_model_time(client)
        assert all(expected)
        assert 0 == server.stop()
        assert [] == server.events("trained")
    file = tmp_path / "copy"
    assert 0 == run("backup", file, folder=learned).status
    assert 0 == run("restore", file, folder=tmp_path).status
    with RunningServer(tmp_path) as server, server.client() as client:
        assert time == read_model_time(client)
        assert expected == ask(client)


def test_a_killed_server_loses_no_likes(learned: Path, tmp_path: Path) -> None:
    """After SIGKILL during a training, the former model serves, and the training is repeated."""
    folder = copy(learned, tmp_path / "killed")
    with RunningServer(folder) as server, server.client() as client:
        count, expected = client.get_catalog().behavior_model.like_count, ask(client)
        added = import_likes(client, GHOST_LIKES)
        trainings = wait_for_trainings(server)
        with fail_trainings(folder):  # one that ends before the kill has no result either
            server.kill()
            until(lambda: not any(map(is_running, trainings)))
        assert [] == [line for line in server.log if "Traceback" in line]
    with ExitStack() as failing:
        failing.enter_context(fail_trainings(folder))
        with RunningServer(folder) as server, server.client() as client:
            server.wait_for("training_failed")
            assert expected[0] == ask(client)[0]
            failing.close()
            wait_for_model(client, count + added)
            assert len(LIKES) + len(GHOST_LIKES) == client.get_catalog().user_count
            until(lambda: len(list_trainings(folder)) == 1)
            assert 0 == server.stop()
    assert [(1,)] == rows(
        folder / "data", "SELECT count(DISTINCT train_time_us) FROM behavior_model_pieces"
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_ends_a_training(learned: Path, tmp_path: Path, number: signal.Signals) -> None:
    """A stop during a training ends both at once; a terminal interrupts both, without noise."""
    folder = copy(learned, tmp_path / "stopped")
    with RunningServer(folder) as server, server.client() as client:
        import_likes(client, GHOST_LIKES)
        trainings = wait_for_trainings(server)
        if number == signal.SIGINT:
            for process_id in trainings:
                os.kill(process_id, number)
        os.kill(server.process_id, number)
        assert 0 == server.wait()
        assert not any(map(is_running, trainings))
        assert [] == server.events("training_failed")
        assert [] == [line for line in server.log if not line.startswith("{")]


def test_a_training_that_dies_is_repeated(learned: Path, tmp_path: Path) -> None:
    """A training whose process is killed leaves the former model; a later one succeeds."""
    folder = copy(learned, tmp_path / "died")
    with RunningServer(folder) as server, server.client() as client:
        count, expected = client.get_catalog().behavior_model.like_count, ask(client)
        added = import_likes(client, GHOST_LIKES)
        os.kill(wait_for_trainings(server)[0], signal.SIGKILL)
        with fail_trainings(folder):
            assert "the process has ended" == server.wait_for("training_failed")["reason"]
            assert expected == ask(client)
        wait_for_model(client, count + added)


def test_a_damaged_model_does_not_stop_a_server(learned: Path, tmp_path: Path) -> None:
    """A server whose model is damaged starts, ranks by text, and learns again."""
    folder = copy(learned, tmp_path / "damaged")
    execute(folder / "data", "DELETE FROM behavior_model_pieces WHERE array = 'ridge_offsets'")
    with RunningServer(folder) as server, server.client() as client:
        server.wait_for("behavior_model_damaged")
        assert ITEM_COUNT - len(LIKES["u1"]) == len(
            list_ids(client.recommend_similar(user_id="u1", limit=99))
        )
        wait_for_model(client, sum(map(len, LIKES.values())))
        assert 0 < client.recommend_similar(user_id="u1").signals.behavior_weight


def test_every_worker_uses_a_new_model(learned: Path, tmp_path: Path) -> None:
    """One of several workers trains, and within seconds all answer by the new model."""
    folder = copy(learned, tmp_path / "workers")
    with RunningServer(folder, WORKERS="2") as server, ExitStack() as stack:
        client = stack.enter_context(server.client())
        former = client.get_catalog().behavior_model.train_time
        opened = connect_to_workers(server, stack, 2)
        stubs = [pb_grpc.RecommenderServiceStub(channel) for channel in opened.values()]
        request = pb.RecommendSimilarRequest(user_id="u1", limit=5)

        def ask_all() -> list[pb.RecommendSimilarResponse]:
            return [stub.RecommendSimilar(request, timeout=WAIT_SECONDS) for stub in stubs]

        assert {former.ToMicroseconds()} == {
            answer.signals.model_time.ToMicroseconds() for answer in ask_all()
        }
        client.update_catalog("default", interaction_weights={"VIEW": 0.1})
        until(lambda: client.get_catalog().behavior_model.train_time != former)
        time = client.get_catalog().behavior_model.train_time
        until(lambda: all(answer.signals.model_time == time for answer in ask_all()))
        first, second = (list_scores(answer) for answer in ask_all())
        assert first == second
        server.wait_for_exactly("trained")


def test_a_forgotten_user_is_gone(learned: Path, tmp_path: Path) -> None:
    """After DeleteUser and DeleteInteractions, a model from nothing has no pair of the user."""
    folder = copy(learned, tmp_path / "forgotten")
    with RunningServer(folder) as server, server.client() as client:
        count = client.get_catalog().behavior_model.like_count
        client.upsert_item("odd", "An item of few people")
        others = [name_item(number) for number in range(7)]
        import_likes(client, {f"few {number}": ["odd", *others] for number in range(3)})
        client.record_interactions([akin.interaction("few 0", "i10", "VIEW")])
        wait_for_model(client, count + 25)
        liked = list_ids(client.recommend_similar(item_id="odd", relation=ALSO_LIKED))
        assert set(liked) <= set(others)
        assert len(liked) > 2
        client.delete_user("few 0")
        client.delete_interactions("few 0")
        wait_for_model(client, count + 16)
        assert [] == list_ids(client.recommend_similar(item_id="odd", relation=ALSO_LIKED))
        with pytest.raises(akin.AkinError) as caught:
            client.recommend_similar(user_id="few 0")
        assert "USER_NOT_FOUND" == caught.value.reason


def test_a_deleted_catalog_leaves_nothing(learned: Path, tmp_path: Path) -> None:
    """With a catalog go its model and what its trainings left; other catalogs keep theirs."""
    folder = copy(learned, tmp_path / "deleted")
    with RunningServer(folder) as server, server.client(catalog="shop") as client:
        client.create_catalog("shop")
        others = list_trainings(folder)
        learn(client)
        until(lambda: len(list_trainings(folder)) == 2)
        client.delete_catalog("shop")
        until(lambda: others == list_trainings(folder))
        client.create_catalog("shop")
        import_items(client)
        client.upsert_user("u1", liked_items=LIKES["u1"])
        assert 1.0 == client.recommend_similar(user_id="u1").signals.text_weight
        with server.client() as other:
            assert 0 < other.recommend_similar(user_id="u1").signals.behavior_weight


def test_items_come_and_go_under_a_model(learned: Path, tmp_path: Path) -> None:
    """Items that are deleted, expire or come back after the training are the ones that exist."""
    folder = copy(learned, tmp_path / "moving")
    with RunningServer(folder) as server, server.client() as client:
        ids = list_ids(client.recommend_similar(user_id="u1", limit=ITEM_COUNT))

        def list_now() -> list[list[str]]:
            return [
                list_ids(client.recommend_similar(user_id="u1", limit=99)),
                list_ids(client.recommend_similar(popular=POPULAR, limit=99)),
                list_ids(client.recommend_similar(item_id="i25", relation=ALSO_LIKED, limit=99)),
            ]

        first, second, *_ = ids
        before = list_now()
        client.delete_item(first)
        for number in range(3):  # of which one gets the key of the deleted item
            client.upsert_item(f"new {number}", f"Something else {number}")
        now = list_now()
        assert all(first not in answer for answer in now)
        assert {"new 0", "new 1", "new 2"} <= set(now[0])
        assert [[i for i in answer if i != first] for answer in before[1:]] == now[1:]
        client.upsert_item(second, "Another text than before")
        client.upsert_item(first, "It is back")
        for number in range(3):
            client.delete_item(f"new {number}")
        assert set(before[0]) == set(list_now()[0])
        assert before[1:] == list_now()[1:]


@pytest.fixture
def provider() -> Iterator[ScriptedProvider]:
    with ScriptedProvider() as scripted:
        yield scripted


def test_a_re_embedding_keeps_what_was_learned(tmp_path: Path, provider: ScriptedProvider) -> None:
    """While and after a catalog gets other vectors, behavior counts, for the right items."""
    settings = {
        "OPENROUTER_API_KEY": "sk-or-test",
        "EMBEDDING_BASE_URL": provider.url,
        "EMBEDDING_MODEL": "someone/old",
    }
    with RunningServer(tmp_path, **settings) as server, server.client() as client:
        import_items(client)
        count = import_likes(client, LIKES)
        model = wait_for_model(client, count)
        liked = {
            name_item(number): list_ids(
                client.recommend_similar(item_id=name_item(number), relation=ALSO_LIKED, limit=99)
            )
            for number in (3, 23, 43)
        }
        popular = list_scores(client.recommend_similar(popular=POPULAR, limit=99))
        client.start_reembedding(model="someone/new", dimensions=16)
        answers = []

        def compare() -> bool:
            for item_id, ids in liked.items():
                answer = client.recommend_similar(item_id=item_id, relation=ALSO_LIKED, limit=99)
                assert ids == list_ids(answer)
                answers.append(client.recommend_similar(user_id="u1", limit=4))
            return client.get_reembedding().state == SWITCHED

        until(compare)
        assert compare()
        assert popular == list_scores(client.recommend_similar(popular=POPULAR, limit=99))
        for answer in answers:
            assert model.train_time == answer.signals.model_time
            assert {1} == {find_taste(item_id) for item_id in list_ids(answer)[:2]}
