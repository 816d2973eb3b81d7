"""Statuses over HTTP, by the mapping that google.rpc.Code documents."""

from __future__ import annotations

import math
from collections.abc import Iterable
from http import HTTPStatus

from google.protobuf import any_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2

from service.http.json_messages import encode_message
from service.http.response_writer import ResponseWriter

# The client has left before the end of the call; this status is not registered.
CLIENT_CLOSED_REQUEST = 499

HTTP_STATUSES: dict[int, int] = {
    code_pb2.OK: HTTPStatus.OK,
    code_pb2.CANCELLED: CLIENT_CLOSED_REQUEST,
    code_pb2.UNKNOWN: HTTPStatus.INTERNAL_SERVER_ERROR,
    code_pb2.INVALID_ARGUMENT: HTTPStatus.BAD_REQUEST,
    code_pb2.DEADLINE_EXCEEDED: HTTPStatus.GATEWAY_TIMEOUT,
    code_pb2.NOT_FOUND: HTTPStatus.NOT_FOUND,
    code_pb2.ALREADY_EXISTS: HTTPStatus.CONFLICT,
    code_pb2.PERMISSION_DENIED: HTTPStatus.FORBIDDEN,
    code_pb2.UNAUTHENTICATED: HTTPStatus.UNAUTHORIZED,
    code_pb2.RESOURCE_EXHAUSTED: HTTPStatus.TOO_MANY_REQUESTS,
    code_pb2.FAILED_PRECONDITION: HTTPStatus.BAD_REQUEST,
    code_pb2.ABORTED: HTTPStatus.CONFLICT,
    code_pb2.OUT_OF_RANGE: HTTPStatus.BAD_REQUEST,
    code_pb2.UNIMPLEMENTED: HTTPStatus.NOT_IMPLEMENTED,
    code_pb2.INTERNAL: HTTPStatus.INTERNAL_SERVER_ERROR,
    code_pb2.UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    code_pb2.DATA_LOSS: HTTPStatus.INTERNAL_SERVER_ERROR,
}


async def write_status(
    writer: ResponseWriter,
    status: status_pb2.Status,
    headers: Iterable[tuple[str, str]] = (),
    http_status: int | None = None,
) -> None:
    """Send an error as the whole response.

    Args:
        writer: sends the response.
        status: the error.
        headers: further headers.
        http_status: the HTTP status, if another one than that of the code says more.
    """
    await writer.write_all(
        http_status or HTTP_STATUSES[status.code],
        encode_message(status),
        [*headers, *_make_status_headers(status)],
    )


def _make_status_headers(status: status_pb2.Status) -> list[tuple[str, str]]:
    """Return the headers that repeat a part of an error for clients that only know HTTP."""
    headers = []
    if status.code == code_pb2.UNAUTHENTICATED:
        headers.append(("www-authenticate", "Bearer"))
    delays = (_read_delay(detail) for detail in status.details)
    headers += [("retry-after", str(seconds)) for seconds in delays if seconds is not None]
    return headers


def _read_delay(detail: any_pb2.Any) -> int | None:
    """Return the delay of a RetryInfo in whole seconds, None for other details."""
    retry = error_details_pb2.RetryInfo()
    if not detail.Unpack(retry):
        return None
    nanoseconds: int = retry.retry_delay.ToNanoseconds()
    return max(1, math.ceil(nanoseconds / 1e9))
