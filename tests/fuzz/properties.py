"""What must hold for every call, however odd its requests are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import grpc
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc import code_pb2, error_details_pb2

from fuzz.calls import Call, Kind
from fuzz.sending import Outcome
from fuzz.vocabulary import MARKER

Code = grpc.StatusCode

# Codes that any request may lead to. Others need one of the reasons below.
ALLOWED = {
    Code.OK,
    Code.INVALID_ARGUMENT,
    Code.NOT_FOUND,
    Code.ALREADY_EXISTS,
    Code.FAILED_PRECONDITION,
    Code.ABORTED,
}
ALLOWED_REASONS = {"TOO_MANY_CATALOGS", "OVERLOADED", "RATE_LIMITED", "EMBEDDING_UNAVAILABLE"}

# Further codes that a kind of call may lead to. gRPC itself refuses large metadata, and answers
# calls of unary methods that do not have one request.
ALLOWED_BY_KIND = {
    Kind.METADATA: {Code.UNAUTHENTICATED, Code.PERMISSION_DENIED, Code.RESOURCE_EXHAUSTED},
    Kind.DEADLINE: {Code.DEADLINE_EXCEEDED},
    Kind.SEQUENCE: {Code.UNIMPLEMENTED},
}

# Part of the health service, but of no use: it lists the states of all services.
UNIMPLEMENTED = "/grpc.health.v1.Health/List"

INVALID_ITEM_CODES = {code_pb2.UNKNOWN, code_pb2.INTERNAL, code_pb2.CANCELLED, code_pb2.DATA_LOSS}


def find_problems(call: Call, outcome: Outcome) -> list[str]:
    """Return what is wrong with the outcome of a call; empty if nothing is."""
    problems = list(_check_code(call, outcome))
    if call.method.path.startswith("/akin."):
        problems += _check_details(call, outcome)
    problems += _check_responses(call, outcome)
    return problems


def _check_code(call: Call, outcome: Outcome) -> Iterator[str]:
    code = outcome.code
    if outcome.cancelled and code is Code.CANCELLED:
        return
    if code is Code.DEADLINE_EXCEEDED and call.kind is not Kind.DEADLINE:
        yield f"no end within {call.timeout_seconds:g} s"
    elif code is Code.UNIMPLEMENTED and call.method.path == UNIMPLEMENTED:
        return
    elif code not in ALLOWED | ALLOWED_BY_KIND.get(call.kind, set()):
        reason = _unpack(outcome, error_details_pb2.ErrorInfo).reason
        if reason not in ALLOWED_REASONS:
            yield f"{code.name} ({reason or 'no reason'}): {outcome.message}"


def _check_details(call: Call, outcome: Outcome) -> Iterator[str]:
    if MARKER in f"{outcome.message} {outcome.status}" and not _names_marker(call):
        yield "the error contains the caller's text"
    if outcome.code is not Code.INVALID_ARGUMENT:
        return
    violations = _unpack(outcome, error_details_pb2.BadRequest).field_violations
    if not violations:
        yield f"INVALID_ARGUMENT without a field: {outcome.message}"
    elif not violations[0].field or not all(entry.description for entry in violations):
        yield f"INVALID_ARGUMENT with an incomplete violation: {violations}"


def _names_marker(call: Call) -> bool:
    """Return whether the marker is a name in a request: of an attribute or catalog, or an id.

    Errors may have names, but no texts.
    """
    request_class = GetMessageClass(call.method.request)
    for data in call.requests:
        try:
            if any(MARKER in name for name in _find_names(request_class.FromString(data))):
                return True
        except DecodeError:
            continue
    return False


def _find_names(message: Message) -> Iterator[str]:
    """Yield the keys of all maps in a message, and the values of fields with ids or names."""
    for field, value in message.ListFields():
        if field.name == "catalog" or field.name.endswith(("_id", "_ids")):
            yield str(value)
        if field.message_type is None:
            continue
        if field.message_type.GetOptions().map_entry:
            yield from map(str, value)
            children: Any = value.values()
        else:
            children = value if field.is_repeated else (value,)
        for child in children:
            if isinstance(child, Message):
                yield from _find_names(child)


def _check_responses(call: Call, outcome: Outcome) -> Iterator[str]:
    response_class = GetMessageClass(call.method.response)
    for data in outcome.responses:
        try:
            response: Any = response_class.FromString(data)
        except DecodeError:
            yield "a response is not of the method's type"
            continue
        for result in _find_results(response):
            if result.code in INVALID_ITEM_CODES:
                yield f"a result has the code {result.code}: {result.message}"
            if MARKER in result.message and not _names_marker(call):
                yield "the error of a result contains the caller's text"
    if outcome.code is Code.OK and not call.method.server_streaming and not outcome.responses:
        yield "OK without a response"


def _find_results(response: Any) -> Sequence[Any]:
    """Return the outcome of each entry, or of each that failed, in the responses of imports."""
    for name in ("results", "failures"):
        field = response.DESCRIPTOR.fields_by_name.get(name)
        if field is not None and "code" in field.message_type.fields_by_name:
            results: Sequence[Any] = getattr(response, name)
            return results
    return ()


def _unpack(outcome: Outcome, kind: type[Any]) -> Any:
    """Return a detail of an error; an empty one if the error lacks it."""
    detail = kind()
    for packed in outcome.status.details:
        if packed.Is(kind.DESCRIPTOR):
            packed.Unpack(detail)
    return detail
