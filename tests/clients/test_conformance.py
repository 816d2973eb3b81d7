"""The Python client's runner of clients/conformance, which describes the form of the cases."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import akin
import grpc
import pytest
from akin import _errors
from akin.v1 import analysis_service_pb2, catalog_service_pb2, recommender_service_pb2
from google.protobuf import json_format
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from support.server import RunningServer

CASES = Path(__file__).parents[2] / "clients/conformance/cases.json"
SERVICES = {
    **recommender_service_pb2.DESCRIPTOR.services_by_name,
    **catalog_service_pb2.DESCRIPTOR.services_by_name,
    **analysis_service_pb2.DESCRIPTOR.services_by_name,
}
STUBS = {
    "RecommenderService": "_stub",
    "CatalogService": "_catalogs",
    "AnalysisService": "_analyses",
}
TOLERANCE = 1e-3
TIMEOUT_MS = 10_000
EVENTUAL_ATTEMPTS = 600
EVENTUAL_PAUSE_SECONDS = 0.05

Json = Any
DEFAULTS: tuple[Json, ...] = (None, 0, "0", "", False, [], {})


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[akin.Client]:
    with (
        RunningServer(tmp_path_factory.mktemp("conformance"), EMBEDDER="local") as server,
        server.client() as connected,
    ):
        yield connected


def filled(template: Json, saved: Mapping[str, str]) -> Json:
    """A request with its repetitions and saved values in place."""
    if isinstance(template, list):
        return [filled(each, saved) for each in template]
    if isinstance(template, str):
        return saved[template[2:-1]] if template.startswith("${") else template
    if not isinstance(template, dict):
        return template
    if "$repeat" in template:
        return template["$repeat"] * template["$times"]
    return {name: filled(each, saved) for name, each in template.items()}


def differences(expected: Json, found: Json, path: str = "") -> Iterator[str]:
    """Where a response's JSON form is not as expected."""
    if isinstance(expected, dict) and "$set" in expected:
        if (found not in DEFAULTS) != expected["$set"]:
            yield f"{path} is {found!r}"
    elif isinstance(expected, dict) and isinstance(found, dict):
        for name, each in expected.items():
            yield from differences(each, found.get(name), f"{path}.{name}")
    elif isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        for number, pair in enumerate(zip(expected, found, strict=True)):
            yield from differences(*pair, f"{path}[{number}]")
    elif isinstance(expected, float | int) and isinstance(found, float | int):
        if abs(expected - found) > TOLERANCE:
            yield f"{path} is {found}, not {expected}"
    elif expected != found:
        yield f"{path} is {found!r}, not {expected!r}"


def called(client: akin.Client, step: Json, saved: Mapping[str, str]) -> list[Message]:
    """The responses to one step's call.

    Raises:
        AkinError: the call failed.
    """
    service, _, name = step["method"].partition(".")
    method = SERVICES[service].methods_by_name[name]
    call = getattr(getattr(client, STUBS[service]), name)
    request_class = GetMessageClass(method.input_type)
    given = step["requests"] if "requests" in step else [step["request"]]
    requests = [json_format.ParseDict(filled(each, saved), request_class()) for each in given]
    for request in requests:
        if "updateMask" in step:
            request.update_mask.paths.extend(step["updateMask"])
    timeout = step.get("timeoutMs", TIMEOUT_MS) / 1000
    try:
        answered = call(iter(requests) if "requests" in step else requests[0], timeout=timeout)
        return list(answered) if method.server_streaming else [answered]
    except grpc.RpcError as exc:
        raise _errors.decode(exc) from exc


def fails_as(expected: Json, error: akin.AkinError) -> bool:
    """Whether an error is the expected one."""
    return (
        expected["code"] == error.code.name
        and expected.get("reason", error.reason) == error.reason
        and sorted(expected.get("fields", [])) in ([], sorted(v.field for v in error.violations))
        and (not expected.get("retryDelay") or error.retry_after_seconds is not None)
    )


def run(client: akin.Client, step: Json, saved: dict[str, str]) -> None:
    """One step, with what it saves."""
    if "error" in step:
        with pytest.raises(akin.AkinError) as caught:
            called(client, step, saved)
        assert fails_as(step["error"], caught.value), (step["error"], vars(caught.value))
        return
    responses = [json_format.MessageToDict(each) for each in called(client, step, saved)]
    if "lastResponse" in step:
        expected, found = [step["lastResponse"]], responses[-1:]
    elif "responses" in step:
        expected, found = step["responses"], responses
    else:
        expected, found = [step.get("response", {})], responses
    assert [] == list(differences(filled(expected, saved), found))
    for name, path in step.get("save", {}).items():
        value: Json = responses[0]
        for part in path.split("."):
            value = value[part]
        saved[name] = value


def run_until_done(client: akin.Client, step: Json, saved: dict[str, str]) -> None:
    """Run a step; repeat one with `eventually` until it comes out as expected."""
    pause = threading.Event()
    for _ in range(EVENTUAL_ATTEMPTS if step.get("eventually") else 0):
        try:
            return run(client, step, saved)
        except AssertionError:
            pause.wait(EVENTUAL_PAUSE_SECONDS)
    return run(client, step, saved)


@pytest.mark.parametrize("case", json.loads(CASES.read_text())["cases"], ids=lambda c: c["name"])
def test_a_case(client: akin.Client, case: Json) -> None:
    """Every step of every case comes out as the cases say."""
    saved: dict[str, str] = {}
    for step in case["steps"]:
        run_until_done(client, step, saved)


@pytest.mark.parametrize(
    ("expected", "found"),
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
def test_a_difference_is_found(expected: Json, found: Json) -> None:
    """A response that is not as expected does not pass."""
    assert [] != list(differences(expected, found))
