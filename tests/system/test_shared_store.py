import os
import signal
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import permutations
from pathlib import Path

import akin
import grpc
import pytest
from akin.v1.item_pb2 import ITEM_STATE_INDEXED, ITEM_STATE_PENDING
from support.behavior_calls import draw_likes, import_items, import_likes, wait_for_model
from support.postgres import PostgresServer, set_standby_names
from support.provider import USD_PER_TOKEN, ScriptedProvider, failure, success
from support.server import RunningServer, refused
from support.shared_store import DUTIES, MAYBE_STORED, PlainWriter, Store
from support.texts import distinct
from support.waiting import until

from service.storage.postgres.postgres_database import PostgresDatabase

Pair = Sequence[RunningServer]

# A killed server keeps what it has committed; a loss of power is not tested.
SETTINGS = {"fsync": "off", "full_page_writes": "off"}

# Writes while sessions end.
MIN_ATTEMPTS, MAX_ATTEMPTS = 100, 900


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    server = PostgresServer(SETTINGS)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def provider() -> Iterator[ScriptedProvider]:
    with ScriptedProvider() as scripted:
        yield scripted


@pytest.fixture(scope="module")
def store(postgres: PostgresServer) -> Store:
    return Store(postgres, "shared")


@pytest.fixture(scope="module")
def pair(
    store: Store, provider: ScriptedProvider, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pair]:
    """Two replicas with a paid model; the first one has all duties."""
    folder = tmp_path_factory.mktemp("pair")
    with store.start_several(folder, 2, **paid_settings(provider)) as replicas:
        yield replicas


@pytest.fixture
def writers(pair: Pair) -> Iterator[Sequence[PlainWriter]]:
    with PlainWriter(pair[0]) as first, PlainWriter(pair[1]) as second:
        yield first, second


@pytest.fixture
def clients(pair: Pair) -> Iterator[Sequence[akin.Client]]:
    with pair[0].client() as first, pair[1].client() as second:
        yield first, second


def paid_settings(provider: ScriptedProvider, **others: str) -> dict[str, str]:
    return {
        "OPENROUTER_API_KEY": "sk-or-v1-secret",
        "EMBEDDING_BASE_URL": provider.url,
        "EMBEDDING_MODEL": "someone/model",
        **others,
    }


def count_requests(provider: ScriptedProvider, text: str) -> int:
    return list(provider.texts).count(text)


def is_best(client: akin.Client, item_id: str, text: str, min_sequence: int = 0) -> bool:
    """Whether a search for the text of an item finds the item first."""
    response = client.recommend_similar(text=text, limit=1, min_sequence=min_sequence)
    return [item_id] == [entry.item_id for entry in response.recommendations]


def can_write(writer: PlainWriter) -> bool:
    return writer.upsert("after", "a text from before the restart") is None


def freeze(server: RunningServer) -> None:
    os.kill(server.process_id, signal.SIGSTOP)


def go_on(server: RunningServer) -> None:
    os.kill(server.process_id, signal.SIGCONT)


def test_what_one_replica_wrote_any_other_finds(clients: Sequence[akin.Client]) -> None:
    """A write's sequence, as min_sequence, has every replica answer from that write on."""
    for number, (writer, reader) in enumerate(permutations(clients, 2)):
        item_id, text = f"own-{number}", f"own text {number}"
        sequence = writer.upsert_item(item_id, text).item.sequence
        assert is_best(reader, item_id, text, sequence)
        assert reader.get_item(item_id, min_sequence=sequence).sequence == sequence
        deleted = reader.delete_item(item_id)
        assert not is_best(writer, item_id, text, deleted)


def test_writes_through_all_replicas_get_distinct_sequences(
    clients: Sequence[akin.Client],
) -> None:
    """Sequences are of one order, whichever replica wrote, also while all write at once."""
    with ThreadPoolExecutor(4) as threads:
        writes = [
            threads.submit(clients[number % 2].upsert_item, f"order-{number}", "one text")
            for number in range(40)
        ]
        sequences = [write.result().item.sequence for write in writes]
    assert len(set(sequences)) == len(sequences)
    later = [client.upsert_item("order", "one text").item.sequence for client in clients]
    assert max(sequences) < later[0] < later[1]


def test_a_replica_without_notifications_follows_the_others(
    store: Store, clients: Sequence[akin.Client]
) -> None:
    """A replica finds the writes of others by itself, also while nothing can notify it."""
    clients[0].upsert_item("heard", "a text to hear of")
    until(lambda: is_best(clients[1], "heard", "a text to hear of"))
    clients[0].upsert_item("seen", "a text to see")

    def is_seen_by_deaf_replica() -> bool:
        store.terminate("query LIKE 'LISTEN%'")
        return is_best(clients[1], "seen", "a text to see")

    until(is_seen_by_deaf_replica)


def test_replicas_send_a_new_text_once(
    clients: Sequence[akin.Client], provider: ScriptedProvider
) -> None:
    """A new text that all replicas receive at the same moment reaches the provider once."""
    before = len(provider.requests)
    provider.released.clear()
    with ThreadPoolExecutor(4) as threads:
        writes = [
            threads.submit(client.upsert_item, f"paid-{number}", "a text to pay for")
            for number, client in enumerate((*clients, *clients))
        ]
        provider.wait_for_requests(before + 1)
        provider.released.set()
        states = [write.result().item.state for write in writes]
    assert [ITEM_STATE_INDEXED] * 4 == states
    assert 1 == count_requests(provider, "a text to pay for")


def test_replicas_share_one_budget(
    postgres: PostgresServer, provider: ScriptedProvider, tmp_path: Path
) -> None:
    """All replicas together spend no more than the budget of a day."""
    texts = [f"a text of six words {number}" for number in range(20)]
    budget_usd = 8 * 6 * USD_PER_TOKEN
    settings = paid_settings(provider, EMBEDDING_BUDGET_USD_PER_DAY=f"{budget_usd:.9f}")
    with (
        Store(postgres, "budget").start_several(tmp_path, 2, **settings) as replicas,
        replicas[0].client() as first,
        replicas[1].client() as second,
    ):
        for number, text in enumerate(texts):
            (first, second)[number % 2].upsert_item(str(number), text)
        sent = [text for text in provider.texts if text in texts]
        assert 0 < len(sent) <= 8
        assert len(set(sent)) == len(sent)
        spent = sum(day.cost_usd for day in first.get_catalog().daily_usage)
        assert spent <= budget_usd


def test_another_replica_takes_the_duties_of_one_that_died(
    postgres: PostgresServer, provider: ScriptedProvider, tmp_path: Path
) -> None:
    """After kill -9 of the replica with all duties, another one does all background work."""
    store = Store(postgres, "takeover")
    likes = draw_likes()
    with store.start_several(tmp_path, 2, **paid_settings(provider)) as (holder, heir):
        with holder.client() as client, heir.client() as other:
            import_items(client)
            wait_for_model(other, import_likes(client, likes))
            provider.otherwise = failure(503)
            client.upsert_item("pending", "a text that waits")
            expire_time = datetime.now(UTC) + timedelta(seconds=1)
            client.upsert_item("brief", "a text that waits", expire_time=expire_time)
            holder.kill()
            provider.otherwise = success
            taken = {heir.wait_for("duty_taken", number)["duty"] for number in range(1, DUTIES + 1)}
            assert DUTIES == len(taken)
            until(lambda: ITEM_STATE_INDEXED == other.get_item("pending").state)
            until(
                lambda: 0 == store.read("SELECT count(*) FROM akin.items WHERE item_id = 'brief'")
            )
    assert 1 == len(holder.events("trained"))
    assert [] == heir.events("trained")


def test_a_replica_that_stood_still_loses_its_duties(
    postgres: PostgresServer, provider: ScriptedProvider, tmp_path: Path
) -> None:
    """A replica that stands still loses its session and its duties, and pays for nothing again."""
    store = Store(postgres, "frozen")
    with store.start_several(tmp_path, 2, **paid_settings(provider)) as (holder, heir):
        with holder.client() as client, heir.client() as other:
            provider.otherwise = failure(503)
            client.upsert_item("pending", "a text that waits for an heir")
            until(lambda: ITEM_STATE_PENDING == other.get_item("pending").state)
            freeze(holder)
            provider.otherwise = success
            try:
                heir.wait_for("duty_taken", DUTIES)
                until(lambda: ITEM_STATE_INDEXED == other.get_item("pending").state)
                requests = len(provider.requests)
            finally:
                go_on(holder)
            holder.wait_for("duties_lost")
            sequence = client.upsert_item("later", "a text that waits for an heir").item.sequence
            assert is_best(client, "later", "a text that waits for an heir", sequence)
            assert requests == len(provider.requests)
    assert DUTIES == len(holder.events("duty_taken"))


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("postgresql://akin:secret@127.0.0.1:9/akin?optoin=1", "the address of the store is not"),
        ("postgresql://akin:sec@secret@127.0.0.1:9/akin", "the host or port in the address"),
        ("postgresql+psycopg://akin:secret@127.0.0.1:9/akin", "AKIN_STORE: must have the form"),
    ],
)
def test_an_address_that_cannot_be_right_is_refused(
    tmp_path: Path, address: str, reason: str
) -> None:
    """A server ends at once with one plain sentence, without the password."""
    code, lines = refused(tmp_path, STORE=address)
    assert (2, 1) == (code, len(lines))
    assert lines[0].startswith(f"akin serve: {reason}")
    assert "secret" not in lines[0]


def test_reads_go_on_while_the_database_restarts(
    postgres: PostgresServer,
    clients: Sequence[akin.Client],
    writers: Sequence[PlainWriter],
    provider: ScriptedProvider,
) -> None:
    """Without the database, writes are UNAVAILABLE with a delay, and reads of the index go on."""
    text = "a text from before the restart"
    clients[0].upsert_item("neighbor", "a text beside it")
    sequence = clients[0].upsert_item("steady", text).item.sequence
    for client in clients:
        assert is_best(client, "steady", text, sequence)
    postgres.crash()
    try:
        for client, writer in zip(clients, writers, strict=True):
            assert is_best(client, "steady", text)
            assert client.recommend_similar(item_id="steady", limit=1).recommendations
            error = writer.upsert("steady", "a text from during the restart")
            assert error is not None
            assert (grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE") == (error.code, error.reason)
            assert error.retry_after_seconds is not None
        with ThreadPoolExecutor(20) as threads:
            errors = list(threads.map(writers[0].upsert, map(str, range(20)), ["a text"] * 20))
        assert {grpc.StatusCode.UNAVAILABLE} == {error and error.code for error in errors}
    finally:
        postgres.start()
    for writer in writers:
        until(partial(can_write, writer))
    sequence = clients[0].upsert_item("steady", "a text from after the restart").item.sequence
    for client in clients:
        assert is_best(client, "steady", "a text from after the restart", sequence)
        assert 1 == count_requests(provider, text)
    until(lambda: is_best(clients[1], "steady", "a text from after the restart"))


def test_a_commit_whose_connection_ends_is_never_answered_wrongly(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    """While sessions end at any moment, OK means that a write is stored, and an error that not."""
    store = Store(postgres, "terminated")
    outcomes: dict[str, akin.AkinError | None] = {}
    with (
        store.start(tmp_path / "one") as server,
        server.client() as client,
        PlainWriter(server) as writer,
    ):
        with store.terminate_commits():
            while len(outcomes) < MAX_ATTEMPTS and not (
                len(outcomes) >= MIN_ATTEMPTS and server.events("commit_interrupted")
            ):
                item_id = f"item-{len(outcomes)}"
                outcomes[item_id] = writer.upsert(item_id, distinct(len(outcomes)))
        until(partial(can_write, writer))
        stored = {item.item_id for item in client.list_items(1000).items}
        server.wait_for("commit_interrupted")
    succeeded = {item_id for item_id, error in outcomes.items() if error is None}
    refused_ids = {
        item_id
        for item_id, error in outcomes.items()
        if error is not None and MAYBE_STORED not in error.message
    }
    assert succeeded
    assert succeeded <= stored
    assert not refused_ids & stored
    assert {grpc.StatusCode.UNAVAILABLE} >= {error.code for error in outcomes.values() if error}


def test_a_session_that_ended_between_writes_is_replaced(
    store: Store, writers: Sequence[PlainWriter]
) -> None:
    """A write whose session the server has ended before succeeds with another session."""
    for writer in writers:
        assert can_write(writer)
    assert 2 <= store.terminate("state = 'idle' AND query LIKE '%INTO %commits (%'")
    for writer in writers:
        assert can_write(writer)


def test_an_interrupted_commit_is_confirmed_by_a_standby(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    """A write whose session ends while a standby is awaited succeeds once one has confirmed it."""
    store = Store(postgres, "confirmed")
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
    with (
        store.start(tmp_path / "one") as server,
        server.client() as client,
        PlainWriter(server) as writer,
    ):
        server.wait_for("duty_taken", DUTIES)
        set_standby_names(postgres, "ANY 1 (missing)")
        try:
            with ThreadPoolExecutor(1) as threads:
                writing = threads.submit(writer.upsert, "item", distinct(1))
                until(lambda: 1 == store.read(waiting))
                store.terminate("wait_event = 'SyncRep'")
                server.wait_for("commit_interrupted")
                until(lambda: 1 == store.read(waiting))
                assert not writing.done()
                set_standby_names(postgres, "")
                assert writing.result() is None
        finally:
            set_standby_names(postgres, "")
        assert distinct(1) == client.get_item("item").text
        (line,) = server.wait_for_exactly("commit_resolved")
        assert line["was_committed"]


def test_a_store_without_a_synchronous_standby_is_reported(pair: Pair) -> None:
    """The leading worker of a replica warns that commits are on one machine only."""
    for replica in pair:
        (line,) = replica.wait_for_exactly("store_not_replicated")
        assert ("warning", "synchronous_standby_names is empty") == (line["level"], line["problem"])


async def test_settings_that_do_not_replicate_are_problems(postgres: PostgresServer) -> None:
    """With a synchronous standby there is no problem, unless sessions do not wait for it."""
    store = Store(postgres, "problems")
    assert await find_problem(store.address)
    set_standby_names(postgres, "ANY 1 (missing)")
    try:
        problems = {
            level: await find_problem(f"{store.address}&options=-csynchronous_commit%3D{level}")
            for level in ("on", "remote_apply", "remote_write", "local", "off")
        }
    finally:
        set_standby_names(postgres, "")
    replicated = {"on": "", "remote_apply": ""}
    others = {level: f"synchronous_commit is {level}" for level in ("local", "off")}
    assert "does not wait for the standby's disk" in problems.pop("remote_write")
    assert {**replicated, **others} == problems


async def find_problem(address: str) -> str:
    """Return the problem that a replica over an address would report."""
    database = PostgresDatabase(address, time.time_ns)
    try:
        return await database.find_replication_problem()
    finally:
        await database.close()
