"""Generated requests over HTTP: every response is as the OpenAPI document says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.core.failures import Failure
from support.http_schema import CHECKS, OPERATIONS, check_response
from support.http_server import HttpServer
from support.server import WAIT_SECONDS

EXAMPLES = 15
# What the paths name in half of the requests, so that these reach what is stored.
STORED = {"catalog": "default", "itemId": "one", "userId": "ann"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpServer]:
    """A server with a few items and a user in its default catalog."""
    with HttpServer(tmp_path_factory.mktemp("http"), EMBEDDER="local") as running:
        with running.http() as http:
            for item_id in ("one", "two", "three"):
                item = {"text": f"The number {item_id}", "attributes": {"size": len(item_id)}}
                stored = http.put(f"/v1/catalogs/default/items/{item_id}", json=item)
                assert httpx.codes.OK == stored.status_code
            user = {"preferences": [{"text": "small numbers"}]}
            stored = http.put("/v1/catalogs/default/users/ann", json=user)
            assert httpx.codes.OK == stored.status_code
        yield running


def make_cases(operation: Any) -> st.SearchStrategy[Any]:
    """Valid and invalid requests, of which some name stored resources."""
    stored = {each.name: STORED[each.name] for each in operation.path_parameters}
    named: dict[str, Any] = {"path_parameters": stored} if stored else {}
    strategies = [
        operation.as_strategy(generation_mode=mode, **options)
        for mode in GenerationMode
        for options in (named, {})
    ]
    return st.one_of(*strategies)


@pytest.mark.slow
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.label)
def test_responses_conform_to_the_document(server: HttpServer, operation: Any) -> None:
    """No generated request, valid or not, has a response that the document does not allow."""

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=make_cases(operation))
    def check(case: Any) -> None:
        response = case.call(base_url=server.url, timeout=WAIT_SECONDS)
        case.validate_response(response, checks=CHECKS)

    check()
    assert [] == server.events("http_failed")
    assert [] == server.events("call_failed")


@pytest.mark.parametrize(
    ("status", "document"),
    [
        (200, {"item": {"itemId": 1}}),
        (200, {"item": {"unheard": "x"}}),
        (200, {"unheard": {}}),
        (400, {"code": "3", "message": "x"}),
        (400, {"message": "x"}),
    ],
)
def test_a_response_that_does_not_conform_is_found(status: int, document: Any) -> None:
    """The checks find a response that is not as the document says."""
    headers = {"content-type": "application/json"}
    stream = httpx.ByteStream(json.dumps(document).encode())
    response = httpx.Response(status, headers=headers, stream=stream)
    transport = httpx.MockTransport(lambda _: response)
    hooks = {"response": [check_response]}
    with httpx.Client(transport=transport, event_hooks=hooks) as http:
        with pytest.raises(Failure):
            http.get("http://localhost/v1/catalogs/default/items/one")
