"""What a failed call tells."""

from __future__ import annotations

from contextlib import suppress
from typing import NamedTuple

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

_DETAILS_KEY = "grpc-status-details-bin"


class Violation(NamedTuple):
    """One field of the request at fault, and what is wrong with it."""

    field: str
    description: str


class AkinError(Exception):
    """A call failed.

    Attributes:
        code: the gRPC status code.
        message: what went wrong, in a sentence.
        reason: the stable name of the error, such as ITEM_NOT_FOUND; empty if the server never
            answered.
        violations: every field at fault, for INVALID_ARGUMENT.
        retry_after_seconds: set where trying again later can help.
    """

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(f"{code.name}: {message}")
        self.code = code
        self.message = message
        self.reason = ""
        self.violations: tuple[Violation, ...] = ()
        self.retry_after_seconds: float | None = None


def decode(error: grpc.RpcError) -> AkinError:
    """The AkinError that a call's grpc.RpcError stands for, of either client."""
    # Both kinds of call error have these methods; the base class that they share has none.
    call: grpc.Call = error  # type: ignore[assignment]
    made = AkinError(call.code(), call.details() or "")
    for key, value in call.trailing_metadata() or ():
        if key == _DETAILS_KEY and isinstance(value, bytes):
            with suppress(DecodeError):  # something between may have garbled them
                _add_details(made, status_pb2.Status.FromString(value))
    return made


def _add_details(made: AkinError, status: status_pb2.Status) -> None:
    info = error_details_pb2.ErrorInfo()
    request = error_details_pb2.BadRequest()
    retry = error_details_pb2.RetryInfo()
    for detail in status.details:
        if detail.Unpack(info):
            made.reason = info.reason
        elif detail.Unpack(request):
            made.violations = tuple(
                Violation(each.field, each.description) for each in request.field_violations
            )
        elif detail.Unpack(retry):
            made.retry_after_seconds = retry.retry_delay.ToNanoseconds() / 1e9
