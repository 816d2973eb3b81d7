"""Runner of the conformance cases over HTTP. clients/conformance describes them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import groupby
from typing import Any

import akin
import httpx
import pytest
from google.protobuf import json_format
from google.protobuf.message import Message
from support import http_calls
from support.conformance import (
    CASES,
    Json,
    find_method,
    find_timeout,
    is_expected_error,
    make_requests,
    run_until_done,
)
from support.http_schema import check_response
from support.http_server import HttpServer

COUNTS = ("stored", "duplicates", "refused", "valid")


@pytest.fixture(scope="module")
def http(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of a new server, whose responses must conform to the OpenAPI document."""
    with (
        HttpServer(tmp_path_factory.mktemp("conformance"), EMBEDDER="local") as server,
        server.http(event_hooks={"response": [check_response]}) as client,
    ):
        yield client


def call_step(http: httpx.Client, step: Json, saved: Mapping[str, str]) -> list[Message]:
    """Call the method of a step with its only request."""
    (request,) = make_requests(step, saved)
    return http_calls.call(http, find_method(step), request, find_timeout(step))


def send_import(http: httpx.Client, step: Json) -> Iterator[tuple[list[Json], Json]]:
    """Send the requests of an import; yield the refused lines and the summary of each call.

    The options of a call over HTTP hold for all of its lines, so that requests with other options
    are calls of their own.
    """
    rule = http_calls.RULES[find_method(step).full_name]
    resources = rule["body"]

    def options(request: Any) -> str:
        fields = http_calls.to_json(request)
        fields.pop(resources, None)
        return json.dumps(fields)

    for _, group in groupby(make_requests(step, {}), options):
        first, *others = group
        fields = http_calls.to_json(first)
        _, path = http_calls.make_url(rule, first, fields)
        fields.pop(resources, None)
        rows = [row for request in (first, *others) for row in getattr(request, resources)]
        body = "\n".join(json.dumps(json_format.MessageToDict(row)) for row in rows)
        response = http.post(
            path,
            params=list(http_calls.make_query(first, fields)),
            content=body,
            headers={"content-type": "application/x-ndjson"},
        )
        *refused, summary = http_calls.read_documents(response)
        yield refused, summary


def list_expected_failures(responses: Json) -> list[Json]:
    """The failures that the responses of an import must have, in order."""
    return [
        failure
        for response in responses
        for failure in response.get("failures", response.get("results", []))
        if isinstance(failure, dict) and isinstance(failure.get("code"), int)
    ]


def run_import(http: httpx.Client, step: Json) -> None:
    """Run a step that imports; its results are compared as far as HTTP has them."""
    if "error" in step:
        with pytest.raises(akin.AkinError) as caught:
            list(send_import(http, step))
        assert is_expected_error(step["error"], caught.value), vars(caught.value)
        return
    calls = list(send_import(http, step))
    refused = [line["error"] for lines, _ in calls for line in lines]
    expected = list_expected_failures(step["responses"])
    assert [each["code"] for each in expected] == [error["code"] for error in refused]
    reasons = [error["details"][0]["reason"] for error in refused]
    assert [each["reason"] for each in expected] == reasons
    rows = sum(summary.get(name, 0) for _, summary in calls for name in COUNTS)
    resources = http_calls.RULES[find_method(step).full_name]["body"]
    assert sum(len(getattr(each, resources)) for each in make_requests(step, {})) == rows


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_conformance_case_over_http(http: httpx.Client, case: Json) -> None:
    """Every step of a case has the same result over HTTP as over gRPC."""
    saved: dict[str, str] = {}
    for step in case["steps"]:
        if "requests" in step:
            run_import(http, step)
        else:
            run_until_done(partial(call_step, http), step, saved)
