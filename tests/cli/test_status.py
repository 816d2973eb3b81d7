import json
import time
from typing import Any

import akin
import grpc
import pytest
from akin.v1 import catalog_service_pb2 as pb
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import ErrorInfo
from support.recording import RecordingServer
from support.scripted import Failure
from typer.testing import CliRunner, Result

from service.cli.main import app

SPACE = akin.EmbeddingSpace(provider="local", model="small", dimensions=256)
HEALTHY = akin.Catalog(item_count=2, space=SPACE)
PENDING = akin.Catalog(
    item_count=2,
    space=SPACE,
    pending_items=[akin.PendingItems(reason="TEXT_REJECTED", message="too long", item_count=1)],
)
FAILING = akin.Catalog(
    space=SPACE, embedding_error_reason="EMBEDDING_UNAVAILABLE", embedding_error_message="no reply"
)
RUNNING = akin.Reembedding(item_count=2, embedded_item_count=1)
STUCK = akin.Reembedding(error_reason="BUDGET_SPENT", error_message="the budget is spent")


def run(catalog: akin.Catalog, reembedding: akin.Reembedding, *words: str) -> Result:
    responses: dict[str, list[Message]] = {
        "GetCatalog": [pb.GetCatalogResponse(catalog=catalog)],
        "GetReembedding": [pb.GetReembeddingResponse(reembedding=reembedding)],
    }
    with RecordingServer(responses) as server:
        return CliRunner().invoke(app, ["status", *words, "--address", server.address])


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"index_kind": pb.INDEX_KIND_MEMORY}, []),
        ({"index_kind": pb.INDEX_KIND_SHARED}, ["index: shared"]),
        (
            {"index_kind": pb.INDEX_KIND_SHARED, "index_progress": 0.5},
            ["index: shared, 50% built"],
        ),
        (
            {"index_kind": pb.INDEX_KIND_SHARED, "next_index_kind": pb.INDEX_KIND_MEMORY},
            ["index: shared, changing to memory"],
        ),
        (
            {"index_kind": pb.INDEX_KIND_MEMORY, "next_index_kind": pb.INDEX_KIND_SHARED},
            ["index: memory, changing to shared"],
        ),
    ],
)
def test_another_index_than_memory_is_printed(options: dict[str, Any], expected: list[str]) -> None:
    """A shared index and a change of the index have a line, an index in memory has none."""
    lines = run(akin.Catalog(space=SPACE, **options), RUNNING).stdout.splitlines()
    assert expected == [line for line in lines if line.startswith("index: ")]


@pytest.mark.parametrize(
    ("catalog", "reembedding", "problems"),
    [
        (HEALTHY, RUNNING, []),
        (PENDING, RUNNING, ["1 pending item: TEXT_REJECTED: too long"]),
        (FAILING, RUNNING, ["embedding fails: EMBEDDING_UNAVAILABLE: no reply"]),
        (HEALTHY, STUCK, ["re-embedding fails: BUDGET_SPENT: the budget is spent"]),
    ],
)
def test_strict_fails_while_texts_wait(
    catalog: akin.Catalog, reembedding: akin.Reembedding, problems: list[str]
) -> None:
    """Pending items, a failing provider and a failing re-embedding are status 1 with --strict."""
    strict = run(catalog, reembedding, "--strict")
    assert problems == strict.stdout.splitlines()[3:]
    assert bool(problems) == strict.exit_code
    document = run(catalog, reembedding, "--strict", "--json")
    assert problems == json.loads(document.stdout)["problems"]
    assert bool(problems) == document.exit_code
    assert 0 == run(catalog, reembedding).exit_code


def test_other_errors_keep_their_status() -> None:
    """A server that cannot be reached, and one that refuses the call, are errors in one line."""
    unreachable = CliRunner().invoke(app, ["status", "--strict", "--address", "127.0.0.1:1"])
    assert (1, "") == (unreachable.exit_code, unreachable.stdout)
    (line,) = unreachable.stderr.splitlines()
    assert line.startswith("akin: no Akin server answers at 127.0.0.1:1: ")
    info = ErrorInfo(reason="PERMISSION_DENIED", domain="akin")
    failure = Failure(grpc.StatusCode.PERMISSION_DENIED, details=(info,))
    with RecordingServer(failure=failure) as server:
        refused = CliRunner().invoke(app, ["status", "--strict", "--address", server.address])
    assert 1 == refused.exit_code


def test_dimensions_that_no_vector_has_shown_are_not_printed() -> None:
    """A model that has only failed so far has no width; one with vectors keeps its width."""
    failing = akin.Catalog(space=SPACE, embedding_error_reason="EMBEDDING_UNAVAILABLE")
    assert "model: small (local)" == run(failing, RUNNING).stdout.splitlines()[1]
    failing.index.vector_count = 1
    for catalog in (failing, HEALTHY):
        line = run(catalog, RUNNING).stdout.splitlines()[1]
        assert "model: small (local), 256 dimensions" == line


def test_a_small_cost_is_printed() -> None:
    """The cost of a day has significant digits, and a cost that nobody reports is not 0."""
    day = akin.DailyUsage(day="2030-01-31", prompt_token_count=12, cost_usd=1.2e-7)
    catalog = akin.Catalog(space=SPACE, daily_usage=[day])
    line = run(catalog, RUNNING).stdout.splitlines()[-1]
    assert "embedding usage on 2030-01-31: 12 tokens, 0.00000012 US dollars" == line
    day.cost_usd = 0.0
    catalog = akin.Catalog(space=SPACE, daily_usage=[day])
    assert run(catalog, RUNNING).stdout.splitlines()[-1].endswith("12 tokens, no cost reported")


def describe_behavior(catalog: akin.Catalog) -> str:
    """Return what the command prints about behavior."""
    (line,) = [
        line for line in run(catalog, RUNNING).stdout.splitlines() if line.startswith("behavior")
    ]
    return line.removeprefix("behavior: ")


def make_model(seconds_ago: float, **fields: float) -> akin.BehaviorModel:
    model = akin.BehaviorModel(like_count=20_526, item_count=1, **fields)  # type: ignore[arg-type]
    model.train_time.FromMicroseconds(int((time.time() - seconds_ago) * 1e6))
    return model


@pytest.mark.parametrize(
    ("seconds", "age"),
    [
        (1, "less than a minute ago"),
        (90, "1 minute ago"),
        (7_300, "2 hours ago"),
        (900_000, "10 days ago"),
    ],
)
def test_status_says_what_was_learned(seconds: float, age: str) -> None:
    """A line has the age of the model, what it is from, and whether it counts and why."""
    model = make_model(seconds, test_user_count=20, ndcg_gain=0.125, behavior_weight=0.5)
    model.ndcg_gain_lower_bound = 0.0625
    expected = (
        f"{age}, learned from 20,526 likes about 1 item; auto, the default, uses text and "
        "behavior: in a test with 20 people, behavior changed the quality (nDCG@20) by +0.1250, "
        "and the lower end of the 95% interval is +0.0625, which is above 0"
    )
    assert expected == describe_behavior(akin.Catalog(space=SPACE, behavior_model=model))


def test_status_says_that_nothing_was_learned() -> None:
    """Without items learned about, the line says so, and what counts as a like."""
    model = make_model(1)
    model.like_count, model.item_count = 1, 0
    likes = "1 like (liked items, and interactions with a weight above 0)"
    expected = f"trained on {likes}, nothing learned yet; auto, the default, uses text alone"
    assert expected in describe_behavior(akin.Catalog(space=SPACE, behavior_model=model))


def test_a_small_gain_is_not_shown_as_zero() -> None:
    """A gain that is above 0, or below it, does not look like 0."""
    model = make_model(1, test_user_count=20, ndcg_gain=0.125, behavior_weight=0.5)
    for bound, shown in ((0.00003, "+0.00003, which is above 0"), (-0.00003, "-0.00003, which")):
        model.ndcg_gain_lower_bound = bound
        line = describe_behavior(akin.Catalog(space=SPACE, behavior_model=model))
        assert f"interval is {shown}" in line


def test_status_says_why_behavior_is_not_used() -> None:
    """Too few people, a setting, and nothing to learn from are different reasons."""
    model = make_model(1, test_user_count=19)
    behavior = akin.Catalog(space=SPACE, behavior_model=model, interaction_count=1_000)
    few_people = (
        "auto, the default, uses text alone, because fewer than 20 people have enough likes"
    )
    assert few_people in describe_behavior(behavior)
    model = make_model(1, test_user_count=20, ndcg_gain=0.0, ndcg_gain_lower_bound=-0.5)
    behavior.behavior_model.CopyFrom(model)
    assert "auto, the default, uses text alone: in a test" in describe_behavior(behavior)
    assert describe_behavior(behavior).endswith("interval is -0.5000, which is not above 0")
    behavior.settings.signals = akin.SignalMode.SIGNAL_MODE_BEHAVIOR
    assert describe_behavior(behavior).endswith("has signals behavior and always uses it")
    behavior.settings.signals = akin.SignalMode.SIGNAL_MODE_TEXT
    assert "not used, because the catalog has signals text" == describe_behavior(behavior)
    behavior.settings.Clear()
    behavior.ClearField("behavior_model")
    assert "nothing learned; 1,000 interactions recorded" == describe_behavior(behavior)


def test_status_has_the_click_through() -> None:
    """A line has the responses of all kinds and the clicked ones; without any there is no line."""
    counts = [
        akin.ClickThrough(source="user", signals=signals, response_count=100, **clicks)
        for signals, clicks in (("text", {}), ("both", {"clicked_response_count": 5}))
    ]
    catalog = akin.Catalog(space=SPACE, click_through=counts)
    expected = "click-through in the last 30 days: 5 of 200 responses (2.5%)"
    assert expected in run(catalog, RUNNING).stdout.splitlines()
    assert "click-through" not in run(HEALTHY, RUNNING).stdout
