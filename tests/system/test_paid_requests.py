import os
import resource
import signal
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import akin
import grpc
import pytest
from akin.v1 import item_pb2
from akin.v1 import recommender_service_pb2 as pb
from akin.v1 import recommender_service_pb2_grpc as pb_grpc
from support.provider import USD_PER_TOKEN, Reply, ScriptedProvider, success
from support.server import WAIT_SECONDS, RunningServer
from support.waiting import until
from support.workers import connect_to_workers

from service.embedding.embedder import PROBE_TEXT

WORKERS = 2
INDEXED = item_pb2.ITEM_STATE_INDEXED
PENDING = item_pb2.ITEM_STATE_PENDING

# Long enough that requests of all workers overlap.
RESPONSE_SECONDS = 0.02

TEXT_TOKENS = 5

Stub = pb_grpc.RecommenderServiceStub


class Gauge:
    """A good provider that takes some time, and the highest number of requests at once."""

    def __init__(self) -> None:
        self.highest = 0
        self._count = 0
        self._lock = threading.Lock()
        self._never = threading.Event()

    def __call__(self, request: Mapping[str, Any]) -> Reply:
        """Return a good response after a while."""
        with self._lock:
            self._count += 1
            self.highest = max(self.highest, self._count)
        self._never.wait(RESPONSE_SECONDS)
        with self._lock:
            self._count -= 1
        return success(request)


@pytest.fixture
def provider() -> Iterator[ScriptedProvider]:
    with ScriptedProvider() as scripted:
        yield scripted


@pytest.fixture(scope="module")
def shared_provider() -> Iterator[ScriptedProvider]:
    with ScriptedProvider() as scripted:
        yield scripted


@pytest.fixture(scope="module")
def workers(
    tmp_path_factory: pytest.TempPathFactory, shared_provider: ScriptedProvider
) -> Iterator[RunningServer]:
    """A server of several workers that may send two requests at once."""
    folder = tmp_path_factory.mktemp("workers")
    own = settings(
        shared_provider,
        WORKERS=str(WORKERS),
        EMBEDDING_CONCURRENCY="2",
        EMBEDDING_BATCH_TEXTS="4",
    )
    with RunningServer(folder, **own) as server:
        server.wait_for("serving", WORKERS)
        yield server


def settings(provider: ScriptedProvider, **others: str) -> dict[str, str]:
    return {
        "OPENROUTER_API_KEY": "sk-or-v1-secret",
        "EMBEDDING_BASE_URL": provider.url,
        "EMBEDDING_MODEL": "someone/model",
        **others,
    }


def sent_texts(provider: ScriptedProvider) -> list[str]:
    """Return the texts that the provider received, without those that check it."""
    return [text for text in provider.texts if not text.startswith(PROBE_TEXT)]


def spent_usd(provider: ScriptedProvider) -> float:
    """Return what the provider has charged."""
    return sum(len(text.split()) for text in provider.texts) * USD_PER_TOKEN


def stubs(server: RunningServer, stack: ExitStack) -> Sequence[Stub]:
    """Return a stub of each worker."""
    return [Stub(channel) for channel in connect_to_workers(server, stack, WORKERS).values()]


def upsert(stub: Stub, item_id: str, text: str) -> item_pb2.Item:
    request = pb.UpsertItemRequest(item=item_pb2.Item(item_id=item_id, text=text))
    return stub.UpsertItem(request, timeout=WAIT_SECONDS).item


def try_upsert(stub: Stub, item_id: str, text: str) -> str:
    """Store an item; return its state, or the status of the error."""
    try:
        return item_pb2.ItemState.Name(upsert(stub, item_id, text).state)
    except grpc.RpcError as exc:
        return str(exc.code().name)


def assert_usage_is_recorded(server: RunningServer, provider: ScriptedProvider) -> None:
    """Assert that the usage of today becomes what the provider has charged."""

    def is_recorded() -> bool:
        cost_usd = sum(day.cost_usd for day in client.get_catalog().daily_usage)
        return bool(pytest.approx(spent_usd(provider)) == cost_usd)

    with akin.Client(server.address) as client:
        until(is_recorded)


def test_workers_send_a_new_text_once(
    workers: RunningServer, shared_provider: ScriptedProvider
) -> None:
    """A new text that all workers receive at the same moment reaches the provider once."""
    texts = "the same new text", "the same new query"
    with ExitStack() as stack, ThreadPoolExecutor(2 * WORKERS) as threads:
        all_stubs = stubs(workers, stack)
        before = len(shared_provider.requests)
        shared_provider.released.clear()
        writes = [
            threads.submit(upsert, stub, f"i{number}", texts[0])
            for number, stub in enumerate(all_stubs)
        ]
        shared_provider.wait_for_requests(before + 1)
        query = pb.RecommendSimilarRequest(text=texts[1])
        searches = [
            threads.submit(stub.RecommendSimilar, query, timeout=WAIT_SECONDS) for stub in all_stubs
        ]
        shared_provider.wait_for_requests(before + 2)
        shared_provider.released.set()
        assert [INDEXED] * WORKERS == [write.result().state for write in writes]
        for search in searches:
            search.result()
    assert [1, 1] == [sent_texts(shared_provider).count(text) for text in texts]


def test_workers_share_one_limit_of_requests(
    workers: RunningServer, shared_provider: ScriptedProvider
) -> None:
    """All workers together send no more requests at once than AKIN_EMBEDDING_CONCURRENCY."""
    shared_provider.otherwise = gauge = Gauge()
    with ExitStack() as stack, ThreadPoolExecutor(16 * WORKERS) as threads:
        all_stubs = stubs(workers, stack)
        writes = [
            threads.submit(upsert, stub, f"{worker} {number}", f"text {number} of {worker}")
            for number in range(40)
            for worker, stub in enumerate(all_stubs)
        ]
        assert {INDEXED} == {write.result().state for write in writes}
    assert 2 == gauge.highest
    assert len(sent_texts(shared_provider)) == len(set(sent_texts(shared_provider)))


def test_a_frozen_worker_keeps_its_texts(
    workers: RunningServer, shared_provider: ScriptedProvider
) -> None:
    """A text of a worker that does nothing for a while is not sent by others in that time."""
    text = "text of the frozen worker"
    with ExitStack() as stack, ThreadPoolExecutor(2) as threads:
        channels = connect_to_workers(workers, stack, WORKERS)
        before = len(shared_provider.requests)
        shared_provider.released.clear()
        frozen = threads.submit(upsert, Stub(channels[1]), "a", text)
        shared_provider.wait_for_requests(before + 1)
        os.kill(find_process(workers, 1), signal.SIGSTOP)
        shared_provider.released.set()
        waiting = threads.submit(upsert, Stub(channels[0]), "b", text)
        upsert(Stub(channels[0]), "c", "another text of the other worker")
        assert not waiting.done()
        os.kill(find_process(workers, 1), signal.SIGCONT)
        assert [INDEXED] * 2 == [frozen.result().state, waiting.result().state]
    assert 1 == sent_texts(shared_provider).count(text)


def test_the_text_of_a_dead_worker_is_embedded(
    workers: RunningServer, shared_provider: ScriptedProvider
) -> None:
    """After kill -9 of a worker, others embed its texts, and its request counts as spent."""
    text = "text of the victim"
    with ExitStack() as stack, ThreadPoolExecutor(2) as threads:
        channels = connect_to_workers(workers, stack, WORKERS)
        before = len(shared_provider.requests)
        shared_provider.released.clear()
        lost = threads.submit(try_upsert, Stub(channels[1]), "lost", text)
        shared_provider.wait_for_requests(before + 1)
        waiting = threads.submit(upsert, Stub(channels[0]), "kept", text)
        os.kill(find_process(workers, 1), signal.SIGKILL)
        assert "UNAVAILABLE" == lost.result()
        shared_provider.released.set()
        assert INDEXED == waiting.result().state
    assert 2 == sent_texts(shared_provider).count(text)
    # Of the lost request only its estimate is known, which is more than half a token.
    least_usd = spent_usd(shared_provider) - (4 - 0.5) * USD_PER_TOKEN
    with akin.Client(workers.address) as client:
        until(lambda: client.get_catalog().daily_usage[0].cost_usd > least_usd)


def find_process(server: RunningServer, worker: int) -> int:
    """Return the id of the process of a worker."""
    (*_, process_id) = (
        event["process_id"] for event in server.events("serving") if event["worker"] == worker
    )
    return int(process_id)


def test_workers_share_one_budget(tmp_path: Path, provider: ScriptedProvider) -> None:
    """All workers together spend no more than the budget, and most of it."""
    provider.otherwise = Gauge()
    budget_usd = 100 * TEXT_TOKENS * USD_PER_TOKEN
    own = settings(
        provider,
        WORKERS=str(WORKERS),
        EMBEDDING_BATCH_TEXTS="4",
        EMBEDDING_BUDGET_USD_PER_DAY=f"{budget_usd:.12f}",
    )
    with (
        RunningServer(tmp_path, **own) as server,
        ExitStack() as stack,
        ThreadPoolExecutor(16 * WORKERS) as threads,
    ):
        server.wait_for("serving", WORKERS)
        all_stubs = stubs(server, stack)
        for worker, stub in enumerate(all_stubs):
            # Until then a worker knows only the price of the short text that checks the model.
            upsert(stub, f"first {worker}", f"the first text of {worker}")
        writes = [
            threads.submit(upsert, stub, f"{worker} {number}", f"the text {number} of {worker}")
            for number in range(120)
            for worker, stub in enumerate(all_stubs)
        ]
        states = Counter(write.result().state for write in writes)
        assert_usage_is_recorded(server, provider)
    assert states[INDEXED] > 60
    assert states[PENDING] > 100
    assert spent_usd(provider) <= budget_usd
    assert len(sent_texts(provider)) == len(set(sent_texts(provider)))


def test_a_full_disk_costs_nothing(tmp_path: Path, provider: ScriptedProvider) -> None:
    """While the database cannot grow, no text is sent twice, and all is recorded afterwards."""
    texts = {f"i{number}": f"text {number} on a full disk" for number in range(60)}
    with (
        RunningServer(tmp_path, **settings(provider, EMBEDDING_BATCH_TEXTS="4")) as server,
        grpc.insecure_channel(server.address) as channel,
        ThreadPoolExecutor(8) as threads,
    ):
        stub = Stub(channel)
        upsert(stub, "first", "a text of five words")
        limit_file_size(server, tmp_path / "data")
        waves = []
        for _ in range(5):
            results = threads.map(lambda entry: try_upsert(stub, *entry), texts.items())
            waves.append(Counter(results))
        assert {"UNAVAILABLE", "ITEM_STATE_INDEXED"} >= waves[-1].keys()
        assert waves[-1]["UNAVAILABLE"] > 0
        assert len(sent_texts(provider)) == len(set(sent_texts(provider)))
        limit_file_size(server, None)
        until(lambda: try_upsert(stub, "again", "another text of mine") == "ITEM_STATE_INDEXED")
        assert {"ITEM_STATE_INDEXED"} == {try_upsert(stub, *entry) for entry in texts.items()}
        assert Counter(sent_texts(provider)) == Counter(
            ["a text of five words", "another text of mine", *texts.values()]
        )
        assert_usage_is_recorded(server, provider)


def limit_file_size(server: RunningServer, folder: Path | None) -> None:
    """Let no file of the server grow beyond those in a folder; None: let them grow again."""
    unlimited = resource.RLIM_INFINITY
    soft = unlimited
    if folder is not None:
        soft = max(path.stat().st_size for path in folder.iterdir() if path.is_file())
    resource.prlimit(server.process_id, resource.RLIMIT_FSIZE, (soft, unlimited))


def test_a_server_that_stops_keeps_what_is_paid_for(
    tmp_path: Path, provider: ScriptedProvider
) -> None:
    """The vector of a response that arrives after SIGTERM, when no caller waits, is stored."""
    with RunningServer(tmp_path, **settings(provider)) as server:
        with grpc.insecure_channel(server.address) as channel:
            provider.released.clear()
            request = pb.RecommendSimilarRequest(text="a query that takes long")
            with pytest.raises(grpc.RpcError):
                Stub(channel).RecommendSimilar(request, timeout=1.0)
        server.terminate()
        server.wait_for("draining")
        provider.released.set()
        assert 0 == server.wait()
    with (
        RunningServer(tmp_path, **settings(provider)) as server,
        grpc.insecure_channel(server.address) as channel,
    ):
        Stub(channel).RecommendSimilar(request, timeout=WAIT_SECONDS)
    assert ["a query that takes long"] == sent_texts(provider)
