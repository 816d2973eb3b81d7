import json

import akin
import pytest
from akin.v1 import catalog_service_pb2 as pb
from google.protobuf.message import Message
from support.recording import RecordingServer
from typer.testing import CliRunner, Result

from service.cli.main import app

IN_MEMORY = akin.Catalog(name="shop", index_kind=pb.INDEX_KIND_MEMORY)
SHARED = akin.Catalog(name="shop", index_kind=pb.INDEX_KIND_SHARED)
BUILDING = akin.Catalog(
    name="shop",
    index_kind=pb.INDEX_KIND_MEMORY,
    next_index_kind=pb.INDEX_KIND_SHARED,
    index_progress=0.25,
)


def run(server: RecordingServer, *words: str) -> Result:
    return CliRunner().invoke(
        app, ["--catalog", "shop", "reindex", *words, "--address", server.address]
    )


def make_responses(started: akin.Catalog, later: akin.Catalog) -> dict[str, list[Message]]:
    return {
        "Reindex": [pb.ReindexResponse(catalog=started)],
        "GetCatalog": [pb.GetCatalogResponse(catalog=later)],
    }


@pytest.mark.parametrize(
    ("name", "kind", "catalog"),
    [
        ("memory", pb.INDEX_KIND_MEMORY, IN_MEMORY),
        ("shared", pb.INDEX_KIND_SHARED, SHARED),
    ],
)
def test_an_index_that_serves_already_is_printed(
    name: str, kind: pb.IndexKind.ValueType, catalog: akin.Catalog
) -> None:
    """One call is enough then."""
    with RecordingServer(make_responses(catalog, catalog)) as server:
        result = run(server, "--to", name)
    assert (0, f"shop: the index is {name}\n") == (result.exit_code, result.stdout)
    assert [pb.ReindexRequest(catalog="shop", index_kind=kind)] == server.requests


def test_the_command_waits_until_the_index_serves() -> None:
    """It asks for the catalog until no change is under way, and then prints it."""
    with RecordingServer(make_responses(BUILDING, SHARED)) as server:
        result = run(server, "--to", "shared")
        as_json = run(server, "--to", "shared", "--json")
    assert (0, "shop: the index is shared\n") == (result.exit_code, result.stdout)
    change = pb.ReindexRequest(catalog="shop", index_kind=pb.INDEX_KIND_SHARED)
    assert [change, pb.GetCatalogRequest(catalog="shop")] * 2 == server.requests
    assert "INDEX_KIND_SHARED" == json.loads(as_json.stdout)["index_kind"]


@pytest.mark.parametrize("words", [[], ["--json"]])
def test_a_cancelled_change_is_an_error(words: list[str]) -> None:
    """If somebody cancels the change, the command ends with status 1."""
    with RecordingServer(make_responses(BUILDING, IN_MEMORY)) as server:
        result = run(server, "--to", "shared", *words)
    assert (1, "") == (result.exit_code, result.stdout)
    assert "akin: the change was cancelled: the index is memory\n" == result.stderr


@pytest.mark.parametrize("words", [[], ["--to", "disk"]])
def test_a_kind_is_required(words: list[str]) -> None:
    """Without a kind, or with another one, the command ends with status 2 before any call."""
    with RecordingServer() as server:
        result = run(server, *words)
    assert (2, []) == (result.exit_code, server.requests)
