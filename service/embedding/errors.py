"""What a provider's answer can fail with, and what to do about it.

    ProviderError
    |-- ProviderUnavailable   for now: try again, here or later
    |   `-- CircuitOpen       nothing was sent, for it has failed too often lately: try later
    |-- BatchTooLarge         send fewer texts or tokens at once
    |-- TextRefused           one of the texts is at fault: find it and refuse it alone
    `-- ProviderRefused       our key, credit, model or settings: trying again does not help

They stay within the embedding pipeline, which turns them into the errors that callers see. Their
messages are our own words: a provider's may echo the texts it was sent.
"""

from __future__ import annotations

from service import errors


class ProviderError(Exception):
    """A request to the provider failed; `message` is fit for callers and logs."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class ProviderUnavailable(ProviderError):
    """The provider cannot answer for now; `retry_after_seconds` is its own word, if it gave one.

    `throttled` tells that we send too much, rather than that it is down.
    """

    def __init__(
        self, message: str, retry_after_seconds: float | None = None, *, throttled: bool = False
    ) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds
        self.throttled = throttled


class CircuitOpen(ProviderUnavailable):
    """The provider counts as dead for now; nothing was sent."""


class BatchTooLarge(ProviderError):
    """The provider takes fewer texts or tokens in one request."""


class TextRefused(ProviderError):
    """The provider refuses something about the texts.

    `certain` tells that it said so; otherwise our settings may be at fault just as well.
    """

    def __init__(self, message: str, *, certain: bool) -> None:
        super().__init__(message)
        self.certain = certain


class ProviderRefused(ProviderError):
    """The provider refuses us: the key, the credit, the model or a setting."""


def for_callers(error: ProviderError) -> errors.AkinError:
    """The error that callers of the service see for a request that failed for good."""
    if isinstance(error, ProviderRefused):
        return errors.EmbeddingRejected(error.message)
    made = errors.EmbeddingUnavailable(error.message)
    if isinstance(error, ProviderUnavailable) and error.retry_after_seconds is not None:
        made.retry_after_seconds = error.retry_after_seconds
    return made
