"""Errors of failed calls."""

from __future__ import annotations

from contextlib import suppress
from typing import NamedTuple

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from akin import _call_info

_DETAILS_KEY = "grpc-status-details-bin"


class Violation(NamedTuple):
    """An invalid field of a request.

    Attributes:
        field: path of the field.
        description: what is wrong with it.
    """

    field: str
    description: str


class AkinError(Exception):
    """A call failed.

    Attributes:
        code: gRPC status code.
        message: description of the error, in English.
        reason: stable name of the error, such as ITEM_NOT_FOUND; empty if the error does not
            come from an Akin server.
        violations: every invalid field, for INVALID_ARGUMENT.
        retry_after_seconds: how long to wait before a retry; None if a retry does not help.
        request_id: the id of the call, which the server's log has; empty if no server responded.
    """

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(f"{code.name}: {message}")
        self.code = code
        self.message = message
        self.reason = ""
        self.violations: tuple[Violation, ...] = ()
        self.retry_after_seconds: float | None = None
        self.request_id = ""


def decode(error: grpc.RpcError, address: str = "") -> AkinError:
    """Convert the error of a gRPC call, asyncio or blocking, to an AkinError.

    Args:
        error: the error.
        address: address of the server, which errors of the connection then name.
    """
    # Both kinds of call errors have these methods; their common base class does not.
    call: grpc.Call = error  # type: ignore[assignment]
    akin_error = AkinError(call.code(), call.details() or "")
    akin_error.request_id = _call_info.find(call.trailing_metadata(), _call_info.REQUEST_ID_KEY)
    for key, value in call.trailing_metadata() or ():
        if key == _DETAILS_KEY and isinstance(value, bytes):
            with suppress(DecodeError):  # a proxy may have changed the bytes
                _add_details(akin_error, status_pb2.Status.FromString(value))
    if is_connection_error(akin_error) and address not in akin_error.message:
        message = f"the server at {address} is unavailable: {akin_error.message}"
        named = AkinError(akin_error.code, message)
        named.retry_after_seconds = akin_error.retry_after_seconds  # a proxy may set both
        named.request_id = akin_error.request_id
        return named
    return akin_error


def make_early_end_error() -> AkinError:
    """Return the error of an import that ended with OK before all requests were answered."""
    return AkinError(grpc.StatusCode.INTERNAL, "the server ended the import early")


def is_connection_error(error: AkinError) -> bool:
    """Return whether gRPC, or a proxy, could not reach the server, or lost it."""
    return error.code is grpc.StatusCode.UNAVAILABLE and not error.reason


def make_idle_error(address: str, seconds: float) -> AkinError:
    """Return the error of a stream whose server sent nothing for a time."""
    message = f"the server at {address} has not responded for {seconds:g} seconds"
    return AkinError(grpc.StatusCode.UNAVAILABLE, message)


def _add_details(error: AkinError, status: status_pb2.Status) -> None:
    info = error_details_pb2.ErrorInfo()
    request = error_details_pb2.BadRequest()
    retry = error_details_pb2.RetryInfo()
    for detail in status.details:
        if detail.Unpack(info):
            error.reason = info.reason
        elif detail.Unpack(request):
            error.violations = tuple(
                Violation(violation.field, violation.description)
                for violation in request.field_violations
            )
        elif detail.Unpack(retry):
            error.retry_after_seconds = retry.retry_delay.ToNanoseconds() / 1e9
