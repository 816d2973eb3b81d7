"""The conformance cases and what their steps mean. clients/conformance describes them."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import akin
import pytest
from akin.v1 import (
    analysis_service_pb2,
    catalog_service_pb2,
    interaction_service_pb2,
    recommender_service_pb2,
)
from google.protobuf import json_format
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

CASES = json.loads((Path(__file__).parents[2] / "clients/conformance/cases.json").read_text())[
    "cases"
]
SERVICES = {
    **recommender_service_pb2.DESCRIPTOR.services_by_name,
    **catalog_service_pb2.DESCRIPTOR.services_by_name,
    **interaction_service_pb2.DESCRIPTOR.services_by_name,
    **analysis_service_pb2.DESCRIPTOR.services_by_name,
}
TOLERANCE = 1e-3
TIMEOUT_MS = 10_000
EVENTUAL_ATTEMPTS = 600
EVENTUAL_PAUSE_SECONDS = 0.05

Json = Any
# Calls the method of a step with the saved values, and returns the responses or raises AkinError.
Call: TypeAlias = Callable[[Json, Mapping[str, str]], list[Message]]
DEFAULTS: tuple[Json, ...] = (None, 0, "0", "", False, [], {})


def find_method(step: Json) -> MethodDescriptor:
    """Return the method that a step calls."""
    service, _, name = step["method"].partition(".")
    return SERVICES[service].methods_by_name[name]


def make_requests(step: Json, saved: Mapping[str, str]) -> list[Any]:
    """Return the requests of a step."""
    request_class = GetMessageClass(find_method(step).input_type)
    templates = step["requests"] if "requests" in step else [step["request"]]
    requests: list[Any] = [
        json_format.ParseDict(fill(template, saved), request_class()) for template in templates
    ]
    for request in requests:
        if "updateMask" in step:
            request.update_mask.paths.extend(step["updateMask"])
    return requests


def find_timeout(step: Json) -> float:
    """Return the deadline of the call of a step, in seconds."""
    return float(step.get("timeoutMs", TIMEOUT_MS)) / 1000


def fill(template: Json, saved: Mapping[str, str]) -> Json:
    """Replace the placeholders of a request or of an expected result."""
    if isinstance(template, list):
        return [fill(part, saved) for part in template]
    if isinstance(template, str):
        return saved[template[2:-1]] if template.startswith("${") else template
    if not isinstance(template, dict):
        return template
    if "$repeat" in template:
        return template["$repeat"] * template["$times"]
    return {name: fill(part, saved) for name, part in template.items()}


def find_differences(expected: Json, actual: Json, path: str = "") -> Iterator[str]:
    """Yield the places where the JSON form of a response is not as expected."""
    if isinstance(expected, dict) and "$set" in expected:
        if (actual not in DEFAULTS) != expected["$set"]:
            yield f"{path} is {actual!r}"
    elif isinstance(expected, dict) and isinstance(actual, dict):
        for name, part in expected.items():
            yield from find_differences(part, actual.get(name), f"{path}.{name}")
    elif isinstance(expected, list) and isinstance(actual, list) and len(expected) == len(actual):
        for number, pair in enumerate(zip(expected, actual, strict=True)):
            yield from find_differences(*pair, f"{path}[{number}]")
    elif isinstance(expected, float | int) and isinstance(actual, float | int):
        if abs(expected - actual) > TOLERANCE:
            yield f"{path} is {actual}, not {expected}"
    elif expected != actual:
        yield f"{path} is {actual!r}, not {expected!r}"


def is_expected_error(expected: Json, error: akin.AkinError) -> bool:
    """Return true if an error matches the expected one."""
    return (
        expected["code"] == error.code.name
        and expected.get("reason", error.reason) == error.reason
        and sorted(expected.get("fields", [])) in ([], sorted(v.field for v in error.violations))
        and (not expected.get("retryDelay") or error.retry_after_seconds is not None)
    )


def run(call: Call, step: Json, saved: dict[str, str]) -> None:
    """Run a step, check its result, and save the parts of the response that it names."""
    if "error" in step:
        with pytest.raises(akin.AkinError) as caught:
            call(step, saved)
        assert is_expected_error(step["error"], caught.value), (step["error"], vars(caught.value))
        return
    messages = call(step, saved)
    responses = [json_format.MessageToDict(message) for message in messages]
    if "lastResponse" in step:
        expected, actual = [step["lastResponse"]], responses[-1:]
    elif "responses" in step:
        expected, actual = step["responses"], responses
    else:
        expected, actual = [step.get("response", {})], responses
    assert [] == list(find_differences(fill(expected, saved), actual))
    for name, path in step.get("save", {}).items():
        value: Json = responses[0]
        for part in path.split("."):
            value = value[part]
        saved[name] = value


def run_until_done(call: Call, step: Json, saved: dict[str, str]) -> None:
    """Run a step; repeat one with `eventually` until its result is as expected."""
    pause = threading.Event()
    for _ in range(EVENTUAL_ATTEMPTS if step.get("eventually") else 0):
        try:
            return run(call, step, saved)
        except AssertionError:
            pause.wait(EVENTUAL_PAUSE_SECONDS)
    return run(call, step, saved)
