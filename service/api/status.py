"""Maps errors to gRPC statuses with details."""

from __future__ import annotations

from functools import lru_cache

from google.protobuf import any_pb2, duration_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2

from service import errors

DOMAIN = "akin"

CODES: dict[type[errors.AkinError], int] = {
    errors.InvalidRequest: code_pb2.INVALID_ARGUMENT,
    errors.ItemNotFound: code_pb2.NOT_FOUND,
    errors.UserNotFound: code_pb2.NOT_FOUND,
    errors.CatalogNotFound: code_pb2.NOT_FOUND,
    errors.CatalogExists: code_pb2.ALREADY_EXISTS,
    errors.TooManyCatalogs: code_pb2.RESOURCE_EXHAUSTED,
    errors.ReembeddingNotFound: code_pb2.NOT_FOUND,
    errors.ReembeddingUnderWay: code_pb2.FAILED_PRECONDITION,
    errors.ReembeddingNotCommitted: code_pb2.FAILED_PRECONDITION,
    errors.AlreadyEmbedded: code_pb2.FAILED_PRECONDITION,
    errors.ReindexUnderWay: code_pb2.FAILED_PRECONDITION,
    errors.SharedIndexOff: code_pb2.FAILED_PRECONDITION,
    errors.TooFewItems: code_pb2.FAILED_PRECONDITION,
    errors.HybridSearchOff: code_pb2.FAILED_PRECONDITION,
    errors.SequenceMismatch: code_pb2.ABORTED,
    errors.AnswerTooLarge: code_pb2.FAILED_PRECONDITION,
    errors.Overloaded: code_pb2.RESOURCE_EXHAUSTED,
    errors.StreamIdle: code_pb2.ABORTED,
    errors.TextRejected: code_pb2.INVALID_ARGUMENT,
    errors.TextFailed: code_pb2.FAILED_PRECONDITION,
    errors.EmbeddingUnavailable: code_pb2.UNAVAILABLE,
    errors.EmbeddingRejected: code_pb2.FAILED_PRECONDITION,
    errors.BudgetSpent: code_pb2.FAILED_PRECONDITION,
    errors.NotReady: code_pb2.UNAVAILABLE,
    errors.StoreFull: code_pb2.UNAVAILABLE,
    errors.IndexUnavailable: code_pb2.UNAVAILABLE,
    errors.StoreUnavailable: code_pb2.UNAVAILABLE,
    errors.StoreCorrupted: code_pb2.DATA_LOSS,
    errors.Unauthenticated: code_pb2.UNAUTHENTICATED,
    errors.PermissionDenied: code_pb2.PERMISSION_DENIED,
    errors.RateLimited: code_pb2.RESOURCE_EXHAUSTED,
}

# Status and details travel as headers, of which clients accept 8 KiB in total by default. The
# message travels twice, and the details grow by a third in Base64.
ERROR_MESSAGE_BYTES = 1_000
VIOLATIONS_BYTES = 3_500
FIELD_BYTES = 300


def status(error: errors.AkinError) -> status_pb2.Status:
    """Return the google.rpc.Status of an error, with ErrorInfo and other details."""
    message = _shorten(error.message, ERROR_MESSAGE_BYTES)
    rpc_status = status_pb2.Status(code=CODES[type(error)], message=message)
    info = error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.metadata)
    _attach(rpc_status, info)
    if isinstance(error, errors.InvalidRequest):
        _attach(rpc_status, _bad_request(error))
    if error.retry_after_seconds is not None:
        delay = duration_pb2.Duration()
        delay.FromNanoseconds(int(error.retry_after_seconds * 1e9))
        _attach(rpc_status, error_details_pb2.RetryInfo(retry_delay=delay))
    return rpc_status


@lru_cache(maxsize=16)
def overload_status(message: str) -> status_pb2.Status:
    """Return the status of the error `Overloaded`, which many calls get with the same message."""
    return status(errors.Overloaded(message))


def _bad_request(error: errors.InvalidRequest) -> error_details_pb2.BadRequest:
    """Return every violation, or as many as fit and the number of the others."""
    request = error_details_pb2.BadRequest()
    for number, violation in enumerate(error.violations):
        # The path can contain an attribute name of any length.
        field = _shorten(violation.field, FIELD_BYTES)
        request.field_violations.add(field=field, description=violation.description)
        remaining = len(error.violations) - number - 1
        if remaining and request.ByteSize() > VIOLATIONS_BYTES - FIELD_BYTES:
            request.field_violations.add(field="", description=f"and {remaining} more")
            break
    return request


def _shorten(text: str, limit_bytes: int) -> str:
    """Return the part of a text that fits into a header, where non-ASCII bytes take three.

    Messages cannot have halves of surrogate pairs: they become question marks.
    """
    # A character takes at least one byte: the others of a long text do not matter.
    text = text[: limit_bytes + 1].encode(errors="replace").decode()
    size = 0
    for position, character in enumerate(text):
        plain = " " <= character <= "~" and character != "%"
        size += 1 if plain else 3 * len(character.encode())
        if size > limit_bytes:
            return f"{text[:position]}... (shortened)"
    return text


def _attach(
    rpc_status: status_pb2.Status,
    detail: error_details_pb2.ErrorInfo
    | error_details_pb2.BadRequest
    | error_details_pb2.RetryInfo,
) -> None:
    packed = any_pb2.Any()
    packed.Pack(detail)
    rpc_status.details.append(packed)
