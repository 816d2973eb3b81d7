from itertools import combinations

import akin
import pytest
from akin.v1 import catalog_service_pb2 as pb
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from support.recording import RecordingServer
from typer.testing import CliRunner, Result

from service.cli.main import app

OLD = akin.EmbeddingSpace(provider="local", model="small", dimensions=256)
NEW = akin.EmbeddingSpace(provider="openrouter", model="large", dimensions=1024)
MODES = ("--estimate", "--status", "--cancel", "--rollback", "--commit")


def run(server: RecordingServer, *words: str) -> Result:
    return CliRunner().invoke(app, ["reembed", *words, "--address", server.address])


@pytest.mark.parametrize(
    ("mode", "request_", "line"),
    [
        (
            "--cancel",
            pb.CancelReembeddingRequest(),
            "cancelled: the new vectors are dropped\n",
        ),
        (
            "--rollback",
            pb.RollbackReembeddingRequest(),
            "rolled back: the previous model serves again\n",
        ),
        (
            "--commit",
            pb.CommitReembeddingRequest(),
            "committed: the previous vectors are dropped\n",
        ),
    ],
)
def test_each_end_has_its_call(mode: str, request_: Message, line: str) -> None:
    """Cancelling, rolling back and committing are a call each, and nothing else is called."""
    with RecordingServer() as server:
        result = run(server, mode)
    assert (0, line) == (result.exit_code, result.stdout)
    assert [request_] == server.requests


@pytest.mark.parametrize("modes", list(combinations(MODES, 2)))
def test_modes_exclude_each_other(modes: tuple[str, str]) -> None:
    """Two modes together are a usage error, before any call."""
    with RecordingServer() as server:
        result = run(server, *modes)
    assert (2, []) == (result.exit_code, server.requests)
    assert 1 == len(result.stderr.splitlines())


def test_the_model_reaches_the_server() -> None:
    """The options of the model are sent, and the command returns once the new model serves."""
    reembedding = akin.Reembedding(
        state=pb.REEMBEDDING_STATE_SERVING,
        from_space=OLD,
        to_space=NEW,
        item_count=50,
        embedded_item_count=50,
    )
    responses: dict[str, list[Message]] = {
        "StartReembedding": [
            pb.StartReembeddingResponse(
                reembedding=akin.Reembedding(state=pb.REEMBEDDING_STATE_EMBEDDING)
            )
        ],
        "GetReembedding": [pb.GetReembeddingResponse(reembedding=reembedding)],
    }
    with RecordingServer(responses) as server:
        result = run(server, "--model", "large", "--template", "item: {text}")
    embedding = pb.EmbeddingModel(model="large", template="item: {text}")
    assert [
        pb.StartReembeddingRequest(embedding=embedding),
        pb.GetReembeddingRequest(),
    ] == server.requests
    assert "from: small (local), 256 dimensions\n" in result.stdout
    assert "serving: 50 of 50 items embedded" in result.stdout
    assert "--rollback serves them again, --commit drops them" in result.stdout


def test_status_prints_the_error() -> None:
    """While the provider fails, the status has the reason code and the message."""
    reembedding = akin.Reembedding(
        state=pb.REEMBEDDING_STATE_EMBEDDING,
        item_count=50,
        embedded_item_count=20,
        rejected_item_count=2,
        error_reason="BUDGET_SPENT",
        error_message="the budget of today is spent",
    )
    response = pb.GetReembeddingResponse(reembedding=reembedding)
    with RecordingServer({"GetReembedding": [response]}) as server:
        lines = run(server, "--status").stdout.splitlines()
    assert "retrying after an error: BUDGET_SPENT: the budget of today is spent" == lines[-1]
    assert "2 items rejected by the new model" == lines[-2]


def test_an_estimate_is_printed() -> None:
    """An estimate has the texts, tokens, cost and time, and starts nothing."""
    response = akin.EstimateReembeddingResponse(
        space=NEW,
        text_count=50,
        cached_text_count=20,
        prompt_token_count=300,
        cost_usd=0.5,
        duration=Duration(seconds=1, nanos=500_000_000),
    )
    with RecordingServer({"EstimateReembedding": [response]}) as server:
        lines = run(server, "--estimate").stdout.splitlines()
    assert [pb.EstimateReembeddingRequest(embedding=pb.EmbeddingModel())] == server.requests
    assert "50 texts, 20 of them already embedded; about 300 tokens" == lines[1]
    assert lines[2].startswith("about 0.5000 US dollars, ")
    assert lines[2].endswith("at least 1.5 s")
