"""Texts that the provider cannot embed, through a real server."""

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import akin
import pytest
from akin.v1 import catalog_service_pb2 as pb
from support.provider import Fault, Reply, ScriptedProvider, failure, success
from support.server import RunningServer
from support.waiting import until

from service.embedding.embedder import PROBE_TEXT

PENDING = akin.ItemState.ITEM_STATE_PENDING
INDEXED = akin.ItemState.ITEM_STATE_INDEXED
POISON = "a cursed text"


def settings(provider: ScriptedProvider) -> dict[str, str]:
    return {
        "OPENROUTER_API_KEY": "sk-or-test",
        "EMBEDDING_BASE_URL": provider.url,
        "EMBEDDING_MODEL": "someone/model",
    }


@pytest.fixture
def provider() -> Iterator[ScriptedProvider]:
    with ScriptedProvider() as scripted:
        yield scripted


def fail_on_poison(fault: Fault) -> Fault:
    def reply(request: Mapping[str, Any]) -> Reply | None:
        is_poisoned = any(POISON in text for text in request["input"])
        return (fault if is_poisoned else success)(request)

    return reply


@pytest.mark.parametrize(
    "fault", [failure(500, "json: unsupported value: NaN"), lambda _request: None]
)
def test_poison_texts_wait_alone(tmp_path: Path, provider: ScriptedProvider, fault: Fault) -> None:
    """Of 1,000 imported items with 3 poison texts, 997 are indexed, and no caller is refused."""
    provider.otherwise = fail_on_poison(fault)
    poison = {100: f"{POISON} one", 500: f"{POISON} two", 501: f"{POISON} three"}
    texts = [poison.get(n, f"a fine book, number {n}") for n in range(1_000)]
    with RunningServer(tmp_path, **settings(provider)) as server, server.client() as client:
        results = list(client.import_items(akin.item(f"i{n}", t) for n, t in enumerate(texts)))
        assert {0} == {result.code for result in results}
        assert Counter({INDEXED: 997, PENDING: 3}) == Counter(result.state for result in results)
        (group,) = client.get_catalog().pending_items
        assert ("TEXT_FAILED", 3) == (group.reason, group.item_count)
        assert "" == client.get_catalog().embedding_error_reason
        for number in range(20):
            assert INDEXED == client.upsert_item(f"n{number}", f"new {number}").item.state
            assert client.recommend_similar(text=f"question {number}", limit=1).recommendations
        with pytest.raises(akin.AkinError) as caught:
            client.recommend_similar(text=POISON)
        assert ("TEXT_FAILED", "FAILED_PRECONDITION") == (
            caught.value.reason,
            caught.value.code.name,
        )
        provider.otherwise = success
        client.upsert_item("i100", f"{POISON} one")
        assert INDEXED == client.get_item("i100").state


def test_a_re_embedding_ends_in_spite_of_poison_texts(
    tmp_path: Path, provider: ScriptedProvider
) -> None:
    """The catalog moves to the new model; the texts that it fails on count as rejected."""
    texts = [
        f"{POISON} {n}" if n in {30, 70, 71} else f"a fine book, number {n}" for n in range(300)
    ]
    with RunningServer(tmp_path, **settings(provider)) as server, server.client() as client:
        list(client.import_items(akin.item(f"i{n}", text) for n, text in enumerate(texts)))
        provider.otherwise = fail_on_poison(failure(500))
        client.start_reembedding(model="someone/new", dimensions=16)
        until(lambda: client.get_reembedding().state == pb.REEMBEDDING_STATE_SERVING)
        progress = client.get_reembedding()
        assert (297, 3) == (progress.embedded_item_count, progress.rejected_item_count)
        assert PENDING == client.get_item("i70").state
        provider.otherwise = success
        until(lambda: client.get_item("i70").state == INDEXED)


def test_a_re_embedding_outlives_the_call_that_starts_it(
    tmp_path: Path, provider: ScriptedProvider
) -> None:
    """The deadline of the call that starts a re-embedding does not bound the re-embedding."""
    call_seconds = 2.0
    with (
        RunningServer(tmp_path, **settings(provider)) as server,
        server.client(timeout_seconds=call_seconds) as client,
    ):
        client.upsert_item("a", "a fine book")
        end = time.monotonic() + call_seconds

        def fault(request: Mapping[str, Any]) -> Reply | None:
            is_down = time.monotonic() < end and request["input"] != [PROBE_TEXT]
            return (failure(503) if is_down else success)(request)

        provider.otherwise = fault
        client.start_reembedding(model="someone/new", dimensions=16)
        until(lambda: client.get_reembedding().state == pb.REEMBEDDING_STATE_SERVING)


def test_poison_texts_that_stand_together_do_not_stop_a_re_embedding(
    tmp_path: Path, provider: ScriptedProvider
) -> None:
    """The catalog moves although the provider fails on whole batches of neighboring items."""
    poison = range(40, 70)
    texts = [f"{POISON if n in poison else 'a'} fine book {n}" for n in range(100)]
    with RunningServer(tmp_path, **settings(provider)) as server, server.client() as client:
        list(client.import_items(akin.item(f"i{n:03}", text) for n, text in enumerate(texts)))
        provider.otherwise = fail_on_poison(failure(500))
        client.start_reembedding(model="someone/new", dimensions=16)
        until(lambda: client.get_reembedding().state == pb.REEMBEDDING_STATE_SERVING)
        progress = client.get_reembedding()
        assert (70, 30) == (progress.embedded_item_count, progress.rejected_item_count)


def test_a_new_model_that_fails_on_everything_does_not_take_over(
    tmp_path: Path, provider: ScriptedProvider
) -> None:
    """If the provider fails on most texts, the former model goes on serving."""
    with RunningServer(tmp_path, **settings(provider)) as server, server.client() as client:
        texts = [f"{POISON} {n}" for n in range(20)]
        list(client.import_items(akin.item(f"i{n}", text) for n, text in enumerate(texts)))
        provider.otherwise = fail_on_poison(failure(500))
        client.start_reembedding(model="someone/new", dimensions=16)
        until(lambda: "TEXT_FAILED" == client.get_reembedding().error_reason)
        assert pb.REEMBEDDING_STATE_EMBEDDING == client.get_reembedding().state
        assert client.recommend_similar(item_id="i1").recommendations
        provider.otherwise = success
        until(lambda: client.get_reembedding().state == pb.REEMBEDDING_STATE_SERVING)


def test_a_model_that_loads_slowly_does_not_end_the_start(
    tmp_path: Path, provider: ScriptedProvider
) -> None:
    """While the model's dimensions are unknown, the server waits for them."""
    provider.script += [failure(503, "loading model"), failure(499)]
    with RunningServer(tmp_path, **settings(provider)) as server, server.client() as client:
        assert INDEXED == client.upsert_item("a", "a good text").item.state
        server.wait_for_exactly("embedding_provider_not_ready", 2)
