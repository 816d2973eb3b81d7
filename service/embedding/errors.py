"""The ways in which a request to the provider fails, and what to do about each.

    ProviderError
    |-- ProviderUnavailable   temporary: retry now or later
    |   `-- CircuitOpen       nothing was sent, because of too many recent failures: retry later
    |-- BatchTooLarge         send fewer texts or tokens at once
    |-- TextRefused           one of the texts is the cause: find it and reject it alone
    `-- ProviderRefused       the key, credit, model or settings are the cause: do not retry

They stay inside of the embedding package, which converts them to the errors that callers see. Their
messages are our own words, because a provider's message may repeat the texts of a request.
"""

from __future__ import annotations

from typing import NamedTuple

from service import errors
from service.domain.usage import TokenUsage


class ProviderError(Exception):
    """A failed request to the provider; `message` is safe for callers and logs.

    `usage` is what the provider counted for it nevertheless.
    """

    def __init__(self, message: str, usage: TokenUsage | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.usage = usage or TokenUsage()


class ProviderUnavailable(ProviderError):
    """A temporary failure.

    `retry_after_seconds` is the delay that the provider asked for, if it did. `throttled` is true
    if we exceeded a rate limit, and false if the provider is down. `timed_out` is true if the
    provider did not respond in time.
    """

    def __init__(
        self,
        message: str,
        retry_after_seconds: float | None = None,
        *,
        throttled: bool = False,
        timed_out: bool = False,
    ) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds
        self.throttled = throttled
        self.timed_out = timed_out


class CircuitOpen(ProviderUnavailable):
    """An open circuit breaker: nothing was sent."""


class TextsFailed(ProviderError):
    """A failure to embed texts while the provider embeds a harmless text.

    The message is a predicate that follows the name of a text's field.
    """

    def __init__(self, failure: ProviderUnavailable) -> None:
        super().__init__(f"makes the embedding provider fail: {failure.message}")
        self.retry_after_seconds = failure.retry_after_seconds
        self.timed_out = failure.timed_out


class BatchTooLarge(ProviderError):
    """A batch with more texts or tokens than the provider accepts in one request."""


class TextRefused(ProviderError):
    """A refusal of something about the texts.

    `certain` is true if the provider said so; otherwise our settings may be the cause as well.
    `too_long` is true if a text has more tokens than the model's context.
    """

    def __init__(self, message: str, *, certain: bool, too_long: bool = False) -> None:
        super().__init__(message)
        self.certain = certain
        self.too_long = too_long


class ProviderRefused(ProviderError):
    """A refusal of the key, the credit, the model or a setting."""


class TextLeased(errors.EmbeddingUnavailable):
    """Another process has a request with the text under way."""

    def __init__(self) -> None:
        super().__init__("another worker is embedding the text")


class TextTooLong(errors.TextRejected):
    """A text has more tokens than the model's context, by the provider's count."""

    def __init__(self) -> None:
        super().__init__("is too long for the embedding model")


# The message of TextFailed for a text without a vector in a successful response.
NO_VECTOR = "has no valid vector in the embedding provider's response"


def to_service_error(error: ProviderError) -> errors.AkinError:
    """Return the error that callers of the service see for a request that failed for good."""
    if isinstance(error, ProviderRefused):
        return errors.EmbeddingRejected(error.message)
    service_error = errors.EmbeddingUnavailable(error.message)
    if isinstance(error, ProviderUnavailable) and error.retry_after_seconds is not None:
        service_error.retry_after_seconds = error.retry_after_seconds
    return service_error


class EmbeddingProblem(NamedTuple):
    """Why the last request of an embedder failed; both fields are empty if it succeeded.

    `reason` is the reason code of the error that callers see, and `message` its explanation.
    """

    reason: str = ""
    message: str = ""


NO_PROBLEM = EmbeddingProblem()


def to_problem(error: ProviderError) -> EmbeddingProblem:
    """Return the problem that a failed request shows."""
    service_error = to_service_error(error)
    return EmbeddingProblem(service_error.reason, service_error.message)
