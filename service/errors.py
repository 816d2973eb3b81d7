"""The errors that callers may see; anything else is a fault of ours and stays in the log.

    AkinError
    |-- InvalidRequest         the request breaks the contract; nothing was done
    |-- ItemNotFound, UserNotFound, CatalogNotFound
    |-- CatalogExists, TooManyCatalogs
    |-- ReembeddingNotFound, ReembeddingUnderWay, ReembeddingNotCommitted, AlreadyEmbedded
    |-- TooFewItems            there are fewer items than groups to divide them into
    |-- SequenceMismatch       the item is not at the sequence the caller expected
    |-- AnswerTooLarge         the answer does not fit into one message
    |-- Overloaded             a bounded queue is full; refused at once
    |-- TextRejected           the model can never embed the text; callers get it as InvalidRequest
    |-- EmbeddingUnavailable   the text cannot be embedded for now
    |-- EmbeddingRejected      the provider refuses our key, credit, model or settings
    |   `-- BudgetSpent        what may be spent on embedding today is spent
    |-- NotReady               starting, or shutting down
    |-- StoreFull, StoreUnavailable, StoreCorrupted
    |-- SpaceMismatch          the data folder belongs to another embedding model (at start only)
    |-- Unauthenticated        no key, or an unknown one
    |-- PermissionDenied       the key is not good for this
    |-- RateLimited            too many calls with one key
    |-- AddressUnavailable     the address cannot be listened on (at start only)
    |-- KeysUnusable, TlsUnusable   a file of keys or certificates (at start only)
    |-- TracingUnavailable     what traces need is not installed (at start only)
    `-- WorkerFailed           one of several processes could not start (at start only)

Messages never quote a caller's text or a key.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from service.domain.violations import Violation


class AkinError(Exception):
    """Base of all errors with a meaning for callers.

    `reason` is the google.rpc.ErrorInfo reason; `retry_after_seconds` is set where trying the same
    call again can help.
    """

    reason: ClassVar[str]
    retry_after_seconds: float | None = None

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class InvalidRequest(AkinError):
    """The request breaks the contract in each of `violations`."""

    reason = "INVALID_REQUEST"

    def __init__(self, violations: Iterable[Violation]) -> None:
        self.violations = tuple(violations)
        super().__init__("; ".join(f"{each.field} {each.description}" for each in self.violations))


class ItemNotFound(AkinError):
    """There is no such item."""

    reason = "ITEM_NOT_FOUND"


class UserNotFound(AkinError):
    """There is no such user."""

    reason = "USER_NOT_FOUND"


class CatalogNotFound(AkinError):
    """There is no such catalog."""

    reason = "CATALOG_NOT_FOUND"


class CatalogExists(AkinError):
    """There is a catalog of that name."""

    reason = "CATALOG_EXISTS"


class TooManyCatalogs(AkinError):
    """There are as many catalogs as there may be."""

    reason = "TOO_MANY_CATALOGS"


class ReembeddingNotFound(AkinError):
    """The catalog is not being re-embedded, nor is a former generation kept."""

    reason = "REEMBEDDING_NOT_FOUND"


class ReembeddingUnderWay(AkinError):
    """The catalog's re-embedding is at a point where this cannot be done."""

    reason = "REEMBEDDING_UNDER_WAY"


class ReembeddingNotCommitted(AkinError):
    """The catalog has a previous generation, which has to be committed or rolled back first."""

    reason = "REEMBEDDING_NOT_COMMITTED"


class AlreadyEmbedded(AkinError):
    """The catalog is embedded like that already."""

    reason = "ALREADY_EMBEDDED"


class TooFewItems(AkinError):
    """There are fewer items than groups to divide them into."""

    reason = "TOO_FEW_ITEMS"


class SequenceMismatch(AkinError):
    """The item is not at the sequence the caller expected."""

    reason = "SEQUENCE_MISMATCH"


class AnswerTooLarge(AkinError):
    """The answer does not fit into one message."""

    reason = "ANSWER_TOO_LARGE"


class Overloaded(AkinError):
    """A bounded queue is full."""

    reason = "OVERLOADED"
    retry_after_seconds = 1.0


class TextRejected(AkinError):
    """The model can never embed the text; the message goes behind a field's name."""

    reason = "TEXT_REJECTED"


class EmbeddingUnavailable(AkinError):
    """The text cannot be embedded for now."""

    reason = "EMBEDDING_UNAVAILABLE"
    retry_after_seconds = 1.0


class EmbeddingRejected(AkinError):
    """The provider refuses our key, credit, model or settings; none of it is the caller's fault."""

    reason = "EMBEDDING_REJECTED"


class BudgetSpent(EmbeddingRejected):
    """What may be spent on embedding today is spent."""

    reason = "BUDGET_SPENT"


class NotReady(AkinError):
    """The service is starting or shutting down."""

    reason = "NOT_READY"
    retry_after_seconds = 1.0


class StoreFull(AkinError):
    """The disk has no room for the write."""

    reason = "STORE_FULL"
    retry_after_seconds = 30.0


class StoreUnavailable(AkinError):
    """The disk cannot be read or written for now."""

    reason = "STORE_UNAVAILABLE"
    retry_after_seconds = 5.0


class StoreCorrupted(AkinError):
    """The database is damaged."""

    reason = "STORE_CORRUPTED"


class SpaceMismatch(AkinError):
    """The data folder holds vectors of another embedding space."""

    reason = "SPACE_MISMATCH"


class Unauthenticated(AkinError):
    """The caller has no key, or an unknown one."""

    reason = "UNAUTHENTICATED"


class PermissionDenied(AkinError):
    """The caller's key is not good for the call."""

    reason = "PERMISSION_DENIED"


class RateLimited(AkinError):
    """There were too many calls with one key."""

    reason = "RATE_LIMITED"

    def __init__(self, message: str, retry_after_seconds: float) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class KeysUnusable(AkinError):
    """The file of API keys cannot be used."""

    reason = "KEYS_UNUSABLE"


class TlsUnusable(AkinError):
    """The TLS certificate or key cannot be used."""

    reason = "TLS_UNUSABLE"


class TracingUnavailable(AkinError):
    """What traces need is not installed."""

    reason = "TRACING_UNAVAILABLE"


class AddressUnavailable(AkinError):
    """The address cannot be listened on."""

    reason = "ADDRESS_UNAVAILABLE"


class WorkerFailed(AkinError):
    """One of several processes could not start; it has told why."""

    reason = "WORKER_FAILED"


NOT_EMBEDDED_YET = (EmbeddingUnavailable, EmbeddingRejected)
"""What keeps an item pending rather than refuse it: outages end, and our account can be mended."""


def require(violations: Iterable[Violation]) -> None:
    """Raises InvalidRequest with all of `violations`, if there are any."""
    found = tuple(violations)
    if found:
        raise InvalidRequest(found)


def invalid(field: str, description: str) -> InvalidRequest:
    """The error for one field at fault."""
    return InvalidRequest([Violation(field, description)])
