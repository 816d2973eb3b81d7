import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import akin
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from support.command import run
from support.provider import DIMENSIONS, USD_PER_TOKEN, ScriptedProvider, failure, success
from support.rejections import RawClient
from support.server import RunningServer, environment, free_address, refused
from support.waiting import until

KEY = "sk-or-v1-never-told"
PENDING = akin.ItemState.ITEM_STATE_PENDING
INDEXED = akin.ItemState.ITEM_STATE_INDEXED


def settings(provider: ScriptedProvider, **others: str) -> dict[str, str]:
    return {
        "OPENROUTER_API_KEY": KEY,
        "EMBEDDING_BASE_URL": provider.url,
        "EMBEDDING_MODEL": "someone/model",
        **others,
    }


@pytest.fixture
def provider() -> Iterator[ScriptedProvider]:
    with ScriptedProvider() as scripted:
        yield scripted


def waiting(client: akin.Client) -> int:
    return sum(each.item_count for each in client.get_catalog().pending_items)


def command(server: RunningServer, *words: str) -> Any:
    """What a command of `akin` prints as JSON."""
    done = run(*words, "--json", "--address", server.address, folder=server.folder)
    assert 0 == done.status, done.stderr
    return json.loads(done.stdout)


def test_a_key_is_all_it_takes(tmp_path: Path, provider: ScriptedProvider) -> None:
    """With the key in the environment items are embedded by OpenRouter, default model and all."""
    own = settings(provider)
    del own["EMBEDDING_MODEL"]
    with RunningServer(tmp_path, **own) as server, akin.Client(server.address) as client:
        client.upsert_item("a", "sailing ships")
        hits = client.recommend_similar(text="sailing ships").recommendations
        space = client.get_catalog().space
        log = "\n".join(server.log)
    assert ["a"] == [hit.item_id for hit in hits]
    assert ("openrouter", "openai/text-embedding-3-small", DIMENSIONS) == (
        space.provider,
        space.model,
        space.dimensions,
    )
    assert {"openai/text-embedding-3-small"} == {each["model"] for each in provider.requests}
    assert KEY not in log
    assert "sailing" not in log


def test_nothing_is_paid_for_twice(tmp_path: Path, provider: ScriptedProvider) -> None:
    """Texts seen before cost nothing: the same items again, a taste of two users, a restart."""
    items = [akin.item(f"i{n}", f"number {n} of the texts") for n in range(150)]
    with RunningServer(tmp_path, **settings(provider)) as server:
        with akin.Client(server.address) as client:
            assert all(result.state == INDEXED for result in client.import_items(items))
            imported = len(provider.requests)
            list(client.import_items(items))
            assert imported == len(provider.requests)
            usage = [client.upsert_user(user, ["quiet evenings"]).usage for user in "ab"]
            assert [0, 1] == [each.cached_text_count for each in usage]
            assert provider.texts.count("quiet evenings") == 1
        assert 0 == server.stop()
    with RunningServer(tmp_path, **settings(provider)) as server:
        with akin.Client(server.address) as client:
            before = len(provider.requests)
            list(client.import_items(items))
            assert not client.upsert_item("other", "number 3 of the texts").embedded
            client.recommend_similar(user_id="a")
            assert before == len(provider.requests)


def test_usage_is_told_and_summed(tmp_path: Path, provider: ScriptedProvider) -> None:
    """Replies tell what embedding took, and the catalog sums it up by day."""
    with (
        RunningServer(tmp_path, **settings(provider)) as server,
        akin.Client(server.address) as client,
    ):
        usage = client.upsert_item("a", "four words it has").usage
        assert (1, 0, 4) == (
            usage.text_count,
            usage.cached_text_count,
            usage.prompt_token_count,
        )
        assert pytest.approx(4 * USD_PER_TOKEN) == usage.cost_usd
        # At its start, the server has checked the model with one token.
        (day,) = client.get_catalog().daily_usage
        assert 5 == day.prompt_token_count
        assert pytest.approx(5 * USD_PER_TOKEN) == day.cost_usd
        status = command(server, "status")
        assert [str(5)] == [each["prompt_token_count"] for each in status["catalog"]["daily_usage"]]


def test_an_outage_in_an_import_loses_nothing(tmp_path: Path, provider: ScriptedProvider) -> None:
    """The provider dies in the middle of 3,000 items: all are stored, once, and served later."""
    ids = [f"i{n:04}" for n in range(3_000)]
    items = [akin.item(each, f"the text of {each}") for each in ids]
    port = provider.port
    with (
        RunningServer(tmp_path, **settings(provider)) as server,
        akin.Client(server.address) as client,
    ):
        client.upsert_item("there", "an item of old")
        client.upsert_user("ann", ["quiet evenings"], ["there"])
        results = client.import_items(items)
        states = [next(results).state for _ in range(500)]
        provider.close()
        for result in results:
            assert 0 == result.code
            states.append(result.state)
        assert 3_000 == len(states)
        assert INDEXED == states[0]
        assert PENDING == states[-1]
        assert 0 < waiting(client) < 3_000
        assert "" != client.get_catalog().embedding_error_message
        assert client.recommend_similar(item_id="i0000").recommendations
        assert client.recommend_similar(user_id="ann").recommendations
        with pytest.raises(akin.AkinError) as caught:
            client.recommend_similar(text="never seen")
        assert "EMBEDDING_UNAVAILABLE" == caught.value.reason
        assert caught.value.retry_after_seconds is not None
        with ScriptedProvider(port) as returned:
            until(lambda: waiting(client) == 0)
            assert len(returned.texts) == len(set(returned.texts))
        assert 3_001 == client.get_catalog().item_count
        listed: list[str] = []
        token = ""
        while not listed or token:
            page = client.list_items(1_000, token)
            listed += [item.item_id for item in page.items]
            token = page.next_page_token
        assert [*ids, "there"] == listed
        hits = client.recommend_similar(text="the text of i2999").recommendations
        assert "i2999" == hits[0].item_id


def test_the_old_version_serves_while_the_new_one_waits(
    tmp_path: Path, provider: ScriptedProvider
) -> None:
    """An item whose new text cannot be embedded says so, and is found by its former text."""
    with (
        RunningServer(tmp_path, **settings(provider)) as server,
        akin.Client(server.address, timeout_seconds=30) as client,
    ):
        client.upsert_item("a", "sailing ships")
        client.recommend_similar(text="sailing ships")
        provider.otherwise = failure(402)
        item = client.upsert_item("a", "cooking rice").item
        assert (PENDING, True) == (item.state, "credit" in item.pending_message)
        assert "cooking rice" == client.get_item("a").text
        hits = client.recommend_similar(text="sailing ships").recommendations
        assert pytest.approx(1.0, abs=1e-4) == hits[0].score
        with pytest.raises(akin.AkinError) as caught:
            client.upsert_item("b", "unseen", require_indexed=True)
        assert "EMBEDDING_REJECTED" == caught.value.reason
        with pytest.raises(akin.AkinError):
            client.get_item("b")
        provider.otherwise = lambda request: None
        with pytest.raises(akin.AkinError) as caught:
            client.upsert_item("b", "unseen", require_indexed=True)
        assert ("UNAVAILABLE", "EMBEDDING_UNAVAILABLE") == (
            caught.value.code.name,
            caught.value.reason,
        )
        assert 1 == client.get_catalog().item_count


def test_a_bad_key_leaves_the_rest_working(tmp_path: Path, provider: ScriptedProvider) -> None:
    """With a key that is refused, what has vectors is served, and all else waits or fails."""
    with RunningServer(tmp_path, **settings(provider)) as server:
        with akin.Client(server.address) as client:
            client.upsert_item("a", "sailing ships")
            client.upsert_item("b", "rowing boats")
        assert 0 == server.stop()
    provider.otherwise = failure(401)
    with (
        RunningServer(tmp_path, **settings(provider)) as server,
        akin.Client(server.address) as client,
        RawClient(server.address) as raw,
    ):
        assert any("does not accept the API key" in line for line in server.log)
        assert ["b"] == [
            hit.item_id for hit in client.recommend_similar(item_id="a").recommendations
        ]
        with pytest.raises(akin.AkinError) as caught:
            client.recommend_similar(text="new")
        assert ("FAILED_PRECONDITION", "EMBEDDING_REJECTED") == (
            caught.value.code.name,
            caught.value.reason,
        )
        assert PENDING == client.upsert_item("c", "canoes").item.state
        assert {1} == {each.item_count for each in client.get_catalog().pending_items}
        check = health_pb2_grpc.HealthStub(raw.channel).Check  # type: ignore[attr-defined]
        request = health_pb2.HealthCheckRequest(service="akin.embedding")
        until(lambda: check(request).status == health_pb2.HealthCheckResponse.NOT_SERVING)
        assert client.is_serving()


@pytest.mark.parametrize(
    ("change", "remedy"),
    [
        (
            {"EMBEDDING_MODEL": "another/model"},
            (
                "AKIN_EMBEDDING_MODEL=someone/model and run "
                "`akin reembed --provider openrouter --model another/model"
            ),
        ),
        (
            {"EMBEDDING_DIMENSIONS": "16"},
            (
                f"AKIN_EMBEDDING_DIMENSIONS={DIMENSIONS} and run "
                "`akin reembed --provider openrouter --model someone/model --dimensions 16"
            ),
        ),
    ],
)
def test_another_model_over_the_same_data_is_refused(
    tmp_path: Path, provider: ScriptedProvider, change: dict[str, str], remedy: str
) -> None:
    """Vectors of two spaces never meet: the start is refused with what to do."""
    with RunningServer(tmp_path, **settings(provider)) as server:
        with akin.Client(server.address) as client:
            client.upsert_item("a", "sailing ships")
        assert 0 == server.stop()
    code, lines = refused(tmp_path, **settings(provider, **change))
    assert 2 == code
    assert f"start the server with {remedy}`" in lines[-1]
    with RunningServer(tmp_path, **settings(provider)) as server:
        with akin.Client(server.address) as client:
            assert INDEXED == client.get_item("a").state


def test_a_local_catalog_moves_to_a_provider_as_the_refusal_says(
    tmp_path: Path, provider: ScriptedProvider
) -> None:
    """Whoever adds a key later is refused, and gets there with the setting and the command."""
    with RunningServer(tmp_path, EMBEDDER="local") as server, server.client() as client:
        client.upsert_item("a", "sailing ships")
        assert 0 == server.stop()
    code, lines = refused(tmp_path, **settings(provider))
    assert 2 == code
    command = "reembed --provider openrouter --model someone/model"
    assert f"start the server with AKIN_EMBEDDER=local and run `akin {command}`" in lines[-1]
    with RunningServer(tmp_path, **settings(provider, EMBEDDER="local")) as server:
        for words in (command.split(), ["reembed", "--commit"]):
            assert 0 == run(*words, "--address", server.address, folder=tmp_path).status
        assert 0 == server.stop()
    for others in ({}, {"EMBEDDER": "local"}):
        with RunningServer(tmp_path, **settings(provider, **others)) as server:
            with server.client() as client:
                assert "someone/model" == client.get_catalog().space.model
                assert client.upsert_item(f"b{len(others)}", f"tea {len(others)}").embedded
            assert 0 == server.stop()


def test_a_spent_budget_keeps_items_waiting(tmp_path: Path, provider: ScriptedProvider) -> None:
    """Once the day's budget is spent, items are kept as pending and texts are refused."""
    budget = f"{4 * USD_PER_TOKEN:.10f}"  # one token of which checks the model at the start
    own = settings(provider, EMBEDDING_BUDGET_USD_PER_DAY=budget)
    with RunningServer(tmp_path, **own) as server, akin.Client(server.address) as client:
        assert INDEXED == client.upsert_item("a", "three words long").item.state
        item = client.upsert_item("b", "too much").item
        assert (PENDING, True) == (item.state, "budget" in item.pending_message)
        with pytest.raises(akin.AkinError) as caught:
            client.recommend_similar(text="also too much")
        assert ("FAILED_PRECONDITION", "BUDGET_SPENT") == (
            caught.value.code.name,
            caught.value.reason,
        )
        assert "too much" not in " ".join(provider.texts)


def test_a_dry_run_costs_nothing(tmp_path: Path, provider: ScriptedProvider) -> None:
    """A dry run tells how many texts are new and about what they cost, and stores nothing."""
    provider.models = [{"id": "someone/model", "pricing": {"prompt": "0.001"}}]
    lines = [{"id": f"i{n}", "text": f"some text {n}"} for n in range(30)]
    bad = {"id": "bad", "text": " "}
    file = tmp_path / "items.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)))
    with (
        RunningServer(tmp_path, **settings(provider)) as server,
        akin.Client(server.address) as client,
    ):
        client.upsert_item("there", "some text 3")
        before = len(provider.requests)
        summary = command(server, "import", str(file), "--dry-run")
        assert (30, 29) == (summary["items"], summary["embedded_texts"])
        assert pytest.approx(summary["prompt_tokens"] * 0.001) == summary["cost_usd"] > 0
        (reply,) = client.import_item_batches(
            [akin.item(each["id"], each["text"]) for each in (lines[0], bad)], validate_only=True
        )
        assert ["", "INVALID_REQUEST"] == [result.reason for result in reply.results]
        assert before == len(provider.requests)
        assert 1 == client.get_catalog().item_count


def test_a_long_text_is_found_by_any_of_its_passages(
    tmp_path: Path, provider: ScriptedProvider
) -> None:
    """An item beyond the model's context is found by a passage far behind its beginning."""
    pages = [" ".join(f"Page {page} line {line}." for line in range(40)) for page in range(30)]
    pages[20] = "The treasure lies under the third oak tree."
    own = settings(provider, EMBEDDING_TEXT_TOKENS="64")
    with RunningServer(tmp_path, **own) as server, akin.Client(server.address) as client:
        client.upsert_item("long", "\n\n".join(pages))
        client.upsert_item("short", "Nothing of interest.")
        sent = next(text for text in provider.texts if "treasure" in text)
        assert len(provider.texts) > 50
        assert max(map(len, provider.texts)) < 64 * 3
        hits = client.recommend_similar(text=sent, limit=5).recommendations
        assert ["long", "short"] == [hit.item_id for hit in hits]
        assert pytest.approx(1.0, abs=1e-4) == hits[0].score
        client.upsert_item("long", "Now it is short.")
        best = client.recommend_similar(text=sent).recommendations[0]
        assert best.score < 0.9


def test_pending_items_outlive_a_crash(tmp_path: Path, provider: ScriptedProvider) -> None:
    """Items that wait when the server is killed are embedded by the next one."""
    with RunningServer(tmp_path, **settings(provider)) as server:
        with akin.Client(server.address) as client:
            provider.otherwise = failure(402)
            for number in range(20):
                client.upsert_item(f"i{number}", f"waiting text {number}")
            assert 20 == waiting(client)
        server.kill()
    provider.otherwise = success
    with RunningServer(tmp_path, **settings(provider)) as server:
        with akin.Client(server.address) as client:
            until(lambda: waiting(client) == 0)
            hits = client.recommend_similar(text="waiting text 7").recommendations
            assert "i7" == hits[0].item_id


def test_templates_are_put_around_texts(tmp_path: Path, provider: ScriptedProvider) -> None:
    """A model of a family that wants words around its texts gets them."""
    own = settings(provider, EMBEDDING_MODEL="intfloat/multilingual-e5-large")
    with RunningServer(tmp_path, **own) as server, akin.Client(server.address) as client:
        client.upsert_item("a", "sailing ships")
        hits = client.recommend_similar(text="sailing ships").recommendations
        assert pytest.approx(1.0, abs=1e-4) == hits[0].score
    assert "query: sailing ships" in provider.texts
    assert "sailing ships" not in provider.texts


def test_models_are_listed(tmp_path: Path, provider: ScriptedProvider) -> None:
    """`akin models` prints the provider's models with their contexts and prices."""
    provider.models = [
        {"id": "b/free", "context_length": 512, "pricing": {"prompt": "0"}},
        {"id": "a/paid", "context_length": None, "pricing": {"prompt": "0.00000002"}},
        {"id": "c/varies", "pricing": {"prompt": "-1"}},
    ]
    variables = environment(tmp_path, **settings(provider))
    done = run("models", "--json", folder=tmp_path, variables=variables)
    assert 0 == done.status, done.stderr
    assert [("a/paid", None, 0.02), ("b/free", 512, 0.0), ("c/varies", None, None)] == [
        (each["model"], each["context_tokens"], each["usd_per_million_tokens"])
        for each in json.loads(done.stdout)
    ]
    table = run("models", folder=tmp_path, variables=variables).stdout.decode()
    host = provider.url.removeprefix("http://").partition("/")[0]
    assert table.startswith(f"Embedding models of {host}\n")
    assert "akin reembed --estimate --model NAME" in table


def test_models_that_cannot_be_listed(tmp_path: Path) -> None:
    """The error names the provider that was asked, and the way without one."""
    address = free_address()
    variables = {
        "AKIN_EMBEDDER": "openai",
        "AKIN_EMBEDDING_MODEL": "m",
        "AKIN_EMBEDDING_BASE_URL": f"http://user:secret@{address}/v1",
    }
    done = run("models", folder=tmp_path, variables=variables)
    (line,) = done.error_lines
    assert 1 == done.status
    assert line.startswith(f"akin models: the models of {address} cannot be listed: ")
    assert "secret" not in line
    assert line.endswith("The local model needs no provider")


def test_a_refused_text_is_named(tmp_path: Path, provider: ScriptedProvider) -> None:
    """A refused text is named by its field, and neighbors of an import are stored."""
    with (
        RunningServer(tmp_path, **settings(provider)) as server,
        akin.Client(server.address) as client,
    ):
        client.upsert_item("proof", "the settings are fine")
        provider.otherwise = lambda request: (
            failure(400) if "poison" in request["input"] else success
        )(request)
        items = [akin.item(each, each) for each in ("before", "poison", "after")]
        codes = [(each.code, each.reason) for each in client.import_items(items)]
        assert [(0, ""), (3, "INVALID_REQUEST"), (0, "")] == codes
        with pytest.raises(akin.AkinError) as caught:
            client.recommend_similar(text="poison")
        assert ["text"] == [each.field for each in caught.value.violations]


def test_a_repeated_request_leaves_no_line(tmp_path: Path, provider: ScriptedProvider) -> None:
    """The log has no line of a library about a retry, with the message of what failed."""
    with RunningServer(tmp_path, **settings(provider)) as server:
        with akin.Client(server.address) as client:
            provider.script.append(failure(503, "secret"))
            assert INDEXED == client.upsert_item("a", "sailing ships").item.state
            assert 2 == provider.texts.count("sailing ships")
        assert 0 == server.stop()
    assert not any("stamina" in line or "secret" in line for line in server.log)
