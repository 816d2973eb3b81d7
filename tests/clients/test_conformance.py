"""Runner of the conformance cases for the Python client. clients/conformance describes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial

import akin
import grpc
import pytest
from akin import _errors
from google.protobuf.message import Message
from support.conformance import (
    CASES,
    Json,
    find_differences,
    find_method,
    find_timeout,
    make_requests,
    run_until_done,
)
from support.postgres import database_of
from support.server import RunningServer

STUBS = {
    "RecommenderService": "_recommender",
    "CatalogService": "_catalogs",
    "InteractionService": "_interactions",
    "AnalysisService": "_analyses",
}


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def client(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[akin.Client]:
    """A client of a new server over one of the two stores."""
    folder = tmp_path_factory.mktemp("conformance")
    store = {"STORE": database_of(folder)} if request.param == "postgres" else {}
    with (
        RunningServer(folder, EMBEDDER="local", **store) as server,
        server.client() as client,
    ):
        yield client


def call_step(client: akin.Client, step: Json, saved: Mapping[str, str]) -> list[Message]:
    """Call the method of a step, and return the responses.

    Raises:
        AkinError: the call failed.
    """
    service, _, name = step["method"].partition(".")
    call = getattr(getattr(client, STUBS[service]), name)
    requests = make_requests(step, saved)
    try:
        response = call(
            iter(requests) if "requests" in step else requests[0], timeout=find_timeout(step)
        )
        return list(response) if find_method(step).server_streaming else [response]
    except grpc.RpcError as exc:
        raise _errors.decode(exc) from exc


@pytest.mark.parametrize("case", CASES, ids=lambda c: c["name"])
def test_conformance_case(client: akin.Client, case: Json) -> None:
    """Every step of a case has the result that the case defines."""
    saved: dict[str, str] = {}
    for step in case["steps"]:
        run_until_done(partial(call_step, client), step, saved)


@pytest.mark.parametrize(
    ("expected", "actual"),
    [
        ({"a": 1}, {}),
        ({"a": 1.0}, {"a": 1.01}),
        ({"a": {"$set": True}}, {"a": "0"}),
        ({"a": {"$set": False}}, {"a": [1]}),
        ({"a": [1]}, {"a": [1, 2]}),
        ({"a": "x"}, {"a": "y"}),
        ([], [{}]),
    ],
)
def test_a_difference_is_found(expected: Json, actual: Json) -> None:
    """A response that is not as expected is reported."""
    assert [] != list(find_differences(expected, actual))
