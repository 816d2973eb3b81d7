"""The errors that callers can see. Any other exception is a bug, and only the log shows it.

    AkinError
    |-- InvalidRequest         the request is invalid; nothing was done
    |-- ItemNotFound, UserNotFound, CatalogNotFound
    |-- CatalogExists, TooManyCatalogs
    |-- ReembeddingNotFound, ReembeddingUnderWay, ReembeddingNotCommitted, AlreadyEmbedded
    |-- ReindexUnderWay        the catalog changes its index
    |-- SharedIndexOff         the server has no engine for shared indexes
    |-- TooFewItems            the catalog has fewer items than the requested number of clusters
    |-- SequenceMismatch       the item is not at the expected sequence number
    |-- AnswerTooLarge         the response does not fit into one message
    |-- Overloaded             a bounded queue is full
    |-- StreamIdle             the client of a stream neither sends nor reads
    |-- TextRejected           the model rejects the text; callers get it as InvalidRequest
    |-- TextFailed             the provider fails on the text, but embeds others
    |-- EmbeddingUnavailable   the text cannot be embedded now
    |-- EmbeddingRejected      the provider refuses our key, credit, model or settings
    |   `-- BudgetSpent        today's budget for embedding is spent
    |-- NotReady               the service is starting or shutting down, or opens the catalog
    |-- StoreFull, StoreUnavailable, StoreCorrupted
    |   `-- FolderInUse        another server uses the data folder (at start only)
    |-- SpaceMismatch          the data folder belongs to another embedding model (at start only)
    |-- Unauthenticated        the call has no API key, or an unknown one
    |-- PermissionDenied       the API key does not allow the call
    |-- RateLimited            too many calls with one API key
    |-- AddressUnavailable     the server cannot listen on an address (at start only)
    |-- KeysUnusable, TlsUnusable   a file of keys or certificates is invalid (at start only)
    |-- TracingUnavailable     the packages for tracing are not installed (at start only)
    |-- HttpUnavailable        the packages for HTTP are not installed (at start only)
    `-- WorkerFailed           a worker process could not start (at start only)

Messages never contain a caller's text or a key.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import ClassVar

from service.domain.violations import Violation


class AkinError(Exception):
    """Base of all errors that callers can see.

    `reason` is the google.rpc.ErrorInfo reason, and `metadata` its metadata. `retry_after_seconds`
    is set if the same call can succeed later.
    """

    reason: ClassVar[str]
    metadata: Mapping[str, str] = MappingProxyType({})
    retry_after_seconds: float | None = None

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class InvalidRequest(AkinError):
    """The request is invalid, for each of `violations`."""

    reason = "INVALID_REQUEST"

    def __init__(self, violations: Iterable[Violation]) -> None:
        self.violations = tuple(violations)
        super().__init__(
            "; ".join(f"{violation.field} {violation.description}" for violation in self.violations)
        )


class ItemNotFound(AkinError):
    """The catalog has no item with this id."""

    reason = "ITEM_NOT_FOUND"


class UserNotFound(AkinError):
    """The catalog has no user with this id."""

    reason = "USER_NOT_FOUND"


class CatalogNotFound(AkinError):
    """No catalog has this name."""

    reason = "CATALOG_NOT_FOUND"


class CatalogExists(AkinError):
    """A catalog with this name exists."""

    reason = "CATALOG_EXISTS"


class TooManyCatalogs(AkinError):
    """The number of catalogs is at its limit."""

    reason = "TOO_MANY_CATALOGS"


class ReembeddingNotFound(AkinError):
    """The catalog has no re-embedding in the state that the call requires."""

    reason = "REEMBEDDING_NOT_FOUND"


class ReembeddingUnderWay(AkinError):
    """The catalog's re-embedding is in a state that does not allow the call."""

    reason = "REEMBEDDING_UNDER_WAY"


class ReembeddingNotCommitted(AkinError):
    """The catalog has a previous generation, which must be committed or rolled back first."""

    reason = "REEMBEDDING_NOT_COMMITTED"


class AlreadyEmbedded(AkinError):
    """The catalog is already embedded in the requested space."""

    reason = "ALREADY_EMBEDDED"


class ReindexUnderWay(AkinError):
    """The catalog changes its index, which must end or be cancelled first."""

    reason = "REINDEX_UNDER_WAY"


class SharedIndexOff(AkinError):
    """The request needs a shared index, for which the server has no engine."""

    reason = "SHARED_INDEX_OFF"


class TooFewItems(AkinError):
    """The catalog has fewer items than the requested number of clusters."""

    reason = "TOO_FEW_ITEMS"


class HybridSearchOff(AkinError):
    """The request searches for words, which the server does not index."""

    reason = "HYBRID_OFF"


class SequenceMismatch(AkinError):
    """The item or user is not at the sequence number that the caller expected."""

    reason = "SEQUENCE_MISMATCH"


class AnswerTooLarge(AkinError):
    """The response does not fit into one message."""

    reason = "ANSWER_TOO_LARGE"


class Overloaded(AkinError):
    """A bounded queue is full."""

    reason = "OVERLOADED"
    retry_after_seconds = 1.0


class StreamIdle(AkinError):
    """The client of a stream has sent no message, or read no response, for the idle timeout."""

    reason = "STREAM_IDLE"


class TextRejected(AkinError):
    """The model rejects the text; the message is a predicate that follows a field's name."""

    reason = "TEXT_REJECTED"


class TextFailed(AkinError):
    """The provider fails on the text, but embeds others.

    The message is a predicate that follows a field's name.
    """

    reason = "TEXT_FAILED"


class EmbeddingUnavailable(AkinError):
    """The text cannot be embedded now."""

    reason = "EMBEDDING_UNAVAILABLE"
    retry_after_seconds = 1.0


class EmbeddingRejected(AkinError):
    """The provider refuses our key, credit, model or settings, which only the operator can fix."""

    reason = "EMBEDDING_REJECTED"


class BudgetSpent(EmbeddingRejected):
    """Today's budget for embedding is spent."""

    reason = "BUDGET_SPENT"


class NotReady(AkinError):
    """The service is starting or shutting down, or cannot open the catalog now."""

    reason = "NOT_READY"
    retry_after_seconds = 1.0


class IndexUnavailable(AkinError):
    """The engine of a shared index cannot be used now, or its collection is being built."""

    reason = "INDEX_UNAVAILABLE"
    retry_after_seconds = 2.0


class StoreFull(AkinError):
    """The disk has no room for the write."""

    reason = "STORE_FULL"
    retry_after_seconds = 30.0


class StoreUnavailable(AkinError):
    """The disk cannot be read or written now.

    `may_be_stored` tells that the store failed while it committed a write, and that whether it has
    stored the write is not known.
    """

    reason = "STORE_UNAVAILABLE"
    retry_after_seconds = 5.0
    may_be_stored = False


class FolderInUse(StoreUnavailable):
    """Another server uses the data folder."""


class StoreCorrupted(AkinError):
    """The database is damaged."""

    reason = "STORE_CORRUPTED"


class SpaceMismatch(AkinError):
    """The data folder holds vectors of another embedding space."""

    reason = "SPACE_MISMATCH"


class Unauthenticated(AkinError):
    """The call has no API key, or an unknown one."""

    reason = "UNAUTHENTICATED"


class PermissionDenied(AkinError):
    """The caller's API key does not allow the call."""

    reason = "PERMISSION_DENIED"


class RateLimited(AkinError):
    """Too many calls were made with one API key."""

    reason = "RATE_LIMITED"

    def __init__(self, message: str, retry_after_seconds: float) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class KeysUnusable(AkinError):
    """The file of API keys is missing or invalid."""

    reason = "KEYS_UNUSABLE"


class TlsUnusable(AkinError):
    """The TLS certificate or key is missing or invalid."""

    reason = "TLS_UNUSABLE"


class TracingUnavailable(AkinError):
    """The packages for tracing are not installed."""

    reason = "TRACING_UNAVAILABLE"


class HttpUnavailable(AkinError):
    """The packages for HTTP are not installed."""

    reason = "HTTP_UNAVAILABLE"


class ConsoleNotBuilt(AkinError):
    """The files of the web console are missing, as in a checkout where nobody has built them."""

    reason = "CONSOLE_NOT_BUILT"


class AddressUnavailable(AkinError):
    """The server cannot listen on `address`, the host:port of a setting."""

    reason = "ADDRESS_UNAVAILABLE"

    def __init__(self, message: str, address: str) -> None:
        super().__init__(message)
        self.address = address


class WorkerFailed(AkinError):
    """A worker process could not start; its log says why."""

    reason = "WORKER_FAILED"


# Errors that leave an item pending instead of rejecting it: they end without a change of the text.
TEMPORARY_EMBEDDING_ERRORS = (EmbeddingUnavailable, EmbeddingRejected, TextFailed)

# Errors that are due to a text: they do not hold up other texts.
TEXT_ERRORS = (TextRejected, TextFailed)

# Errors that are due to one query of a batch: they do not make the others fail.
QUERY_ERRORS = (
    InvalidRequest,
    ItemNotFound,
    UserNotFound,
    TextFailed,
    EmbeddingUnavailable,
    EmbeddingRejected,
    HybridSearchOff,
    AnswerTooLarge,
)


def raise_if_invalid(violations: Iterable[Violation]) -> None:
    """Raise InvalidRequest with all of `violations`, if there are any."""
    all_violations = tuple(violations)
    if all_violations:
        raise InvalidRequest(all_violations)


def invalid_field(field: str, description: str) -> InvalidRequest:
    """Return the error for one invalid field."""
    return InvalidRequest([Violation(field, description)])
