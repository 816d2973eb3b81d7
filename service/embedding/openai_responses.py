"""Parses the responses of providers into vectors, or into one of the provider errors.

It follows the behavior of real servers, not the published schema alone: errors inside HTTP 200,
missing, shuffled and fractional indexes, base64 where floats were requested, HTML from proxies.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

import numpy as np

from service.domain.usage import TokenUsage
from service.embedding.embedder import Embeddings, Vector
from service.embedding.errors import (
    BatchTooLarge,
    ProviderError,
    ProviderRefused,
    ProviderUnavailable,
    TextRefused,
)

# A proxy or server closed the request before it had a response, for example while a model loads.
_CLIENT_CLOSED_REQUEST = 499

_RETRYABLE = frozenset(
    {
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.TOO_EARLY,
        HTTPStatus.TOO_MANY_REQUESTS,
        _CLIENT_CLOSED_REQUEST,
    }
)

_REFUSALS = {
    HTTPStatus.UNAUTHORIZED: "the provider does not accept the API key",
    HTTPStatus.PAYMENT_REQUIRED: "the provider account has no credit left",
    HTTPStatus.FORBIDDEN: "the provider forbids the request",
    HTTPStatus.NOT_FOUND: "the provider has no such model, or no upstream that fits the settings",
    HTTPStatus.METHOD_NOT_ALLOWED: "the base URL has no embeddings endpoint",
    HTTPStatus.PRECONDITION_FAILED: "the provider refuses the request's settings",
}

# Providers have no error codes for the following cases. The phrases are matched in lower case.
_BATCH_PHRASES = (
    "too many inputs",
    "split into more batches",
    "max_tokens_per_request",
    "maximum request size",
    "max allowed tokens per submitted batch",
    "batch size",
    "maximum batch",
    "at most 100 requests",
    "max_batch",
)
_LENGTH_PHRASES = (
    "maximum input length",
    "maximum context length",
    "context length",
    "context_length_exceeded",
    "token_limit_exceeded",
    "string_too_long",
    "context size",
    "maximum sequence length",
    "exceeds maximum length",
    "exceeds the maximum length",
    "input token count exceeds",
    "must have less than",
    "reduce the length of the input",
    "too many tokens",
    "input is too long",
    "text is too long",
    "prompt is too long",
    "too large to process",
)
_MODEL_PHRASES = (
    "not a valid model",
    "model_not_found",
    "no endpoints found",
    "wrong_endpoint",
)
_POLICY_PHRASES = ("content_policy_violation", "flagged_input", '"patterns":')
_NO_UPSTREAM_PHRASE = "no successful provider responses"


@dataclass(frozen=True, slots=True)
class ProviderResponse:
    """An HTTP response; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    received_at: float  # seconds since 1970 UTC, for a date in Retry-After


def parse_response(response: ProviderResponse, text_count: int) -> Embeddings:
    """Return the vectors of a response to a request with `text_count` texts, in their order.

    All vectors have the same number of dimensions, whichever the provider chose. A row of NaN is
    of a text without a valid vector, among texts with one.

    Raises:
        ProviderError: the response is an error, or malformed.
    """
    value = _parse_json(response.body)
    is_success = HTTPStatus.OK <= response.status < HTTPStatus.MULTIPLE_CHOICES
    if not is_success or not isinstance(value, dict) or _find_error(value) is not None:
        raise _make_error(response, value)
    usage = _parse_usage(value.get("usage"))
    try:
        vectors = _parse_vectors(value.get("data"), text_count)
    except ProviderUnavailable as exc:
        exc.usage = usage
        raise
    return Embeddings(vectors, usage.prompt_tokens, usage.cost_usd)


def _parse_json(body: bytes) -> Any:  # noqa: ANN401  (any JSON value)
    try:
        return json.loads(body.strip())
    except (ValueError, RecursionError):
        return None


def _find_error(value: Mapping[str, Any]) -> Any:  # noqa: ANN401  (any JSON value)
    """Return the error in a response; OpenAI-compatible servers use other names for it too."""
    if value.get("error") is not None:
        return value["error"]
    if "data" not in value:
        return value.get("detail") or value.get("message")
    return None


def _make_error(response: ProviderResponse, value: object) -> ProviderError:
    error = _find_error(value) if isinstance(value, dict) else None
    message = json.dumps(error).lower() if error is not None else ""
    code = _find_code(error, response.status)

    def has_phrase(phrases: tuple[str, ...]) -> bool:
        return any(phrase in message for phrase in phrases)

    if _NO_UPSTREAM_PHRASE in message:
        # Reported with code 404 inside HTTP 200; mostly temporary, whatever the code says.
        return ProviderUnavailable("no upstream of the provider responded")
    if code == HTTPStatus.TOO_MANY_REQUESTS:
        # Before the phrases: its message may mention tokens, but the texts are not the cause.
        return _make_unavailable(response, error, code)
    if code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE or has_phrase(_BATCH_PHRASES):
        return BatchTooLarge("the provider accepts fewer texts in one request")
    if has_phrase(_LENGTH_PHRASES):
        return TextRefused("is too long for the embedding model", certain=True, too_long=True)
    if has_phrase(_POLICY_PHRASES):
        return TextRefused("is refused by the provider's content policy", certain=True)
    if has_phrase(_MODEL_PHRASES):
        return ProviderRefused(_REFUSALS[HTTPStatus.NOT_FOUND])
    return _make_error_by_code(response, error, code)


def _make_error_by_code(response: ProviderResponse, error: object, code: int) -> ProviderError:
    if code in _REFUSALS:
        return ProviderRefused(f"{_REFUSALS[HTTPStatus(code)]} (HTTP {code})")
    if HTTPStatus.MULTIPLE_CHOICES <= code < HTTPStatus.BAD_REQUEST:
        return ProviderRefused(
            f"the provider redirects requests (HTTP {code}): set AKIN_EMBEDDING_BASE_URL to the "
            "address that it redirects to"
        )
    if code in {HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY}:
        return TextRefused(f"is refused by the provider (HTTP {code})", certain=False)
    is_client_error = HTTPStatus.BAD_REQUEST <= code < HTTPStatus.INTERNAL_SERVER_ERROR
    if is_client_error and code not in _RETRYABLE:
        return ProviderRefused(f"the provider refuses the request (HTTP {code})")
    return _make_unavailable(response, error, code)


def _make_unavailable(response: ProviderResponse, error: object, code: int) -> ProviderUnavailable:
    throttled = code == HTTPStatus.TOO_MANY_REQUESTS
    if throttled:
        message = "the provider limits our rate (HTTP 429)"
    elif error is None and code == HTTPStatus.OK:
        message = "the provider's response is not a JSON object"
    else:
        message = f"the provider is unavailable (HTTP {code})"
    return ProviderUnavailable(message, _parse_retry_after(response, error), throttled=throttled)


def _find_code(error: object, status: int) -> int:
    """Return the error's own code, which may be a string, or else the HTTP status."""
    if isinstance(error, dict):
        for name in ("code", "http_status"):
            try:
                code = int(error[name])
            except (KeyError, TypeError, ValueError, OverflowError):
                continue
            if HTTPStatus.BAD_REQUEST <= code < 600:  # noqa: PLR2004  (the end of HTTP's range)
                return code
    return status


def _parse_retry_after(response: ProviderResponse, error: object) -> float | None:
    """Return the seconds of Retry-After (a number or a date), or of the hint in the error."""
    hint: object = response.headers.get("retry-after")
    if hint is None and isinstance(error, dict) and isinstance(error.get("availability"), dict):
        hint = error["availability"].get("retry_after")
    if hint is None:
        return None
    try:
        seconds = float(str(hint))
    except ValueError:
        try:
            seconds = parsedate_to_datetime(str(hint)).timestamp() - response.received_at
        except ValueError:
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _parse_vectors(data: object, text_count: int) -> Vector:
    """Return the vectors of `data` in the order of the texts, float32 [texts, dimensions]."""
    if not isinstance(data, list):
        raise ProviderUnavailable("the provider's response has no vectors")
    if len(data) != text_count or not all(isinstance(entry, dict) for entry in data):
        raise ProviderUnavailable(
            f"the number of vectors in the provider's response ({len(data)}) differs from the "
            f"number of texts ({text_count})"
        )
    indexes = [entry.get("index") for entry in data]
    if all(index is None for index in indexes):
        order = list(range(text_count))
    else:
        order = [_parse_index(index) for index in indexes]
        if sorted(order) != list(range(text_count)):
            raise ProviderUnavailable("the provider's vectors have wrong indexes")
    rows: dict[int, Vector] = {}
    for index, entry in zip(order, data, strict=True):
        vector = _parse_vector(entry.get("embedding"))
        if vector is not None:
            rows[index] = vector
    if not rows:
        raise ProviderUnavailable("the provider returned no valid vector")
    return _stack(rows, text_count)


def _stack(rows: Mapping[int, Vector], text_count: int) -> Vector:
    """Return the vectors with the most common number of dimensions, and NaN in other rows."""
    ((dimensions, count),) = Counter(map(len, rows.values())).most_common(1)
    if count < len(rows) and 2 * count <= len(rows):
        raise ProviderUnavailable("the provider's vectors have different numbers of dimensions")
    vectors = np.full((text_count, dimensions), np.nan, np.float32)
    for index, row in rows.items():
        if len(row) == dimensions:
            vectors[index] = row
    return vectors


def _parse_index(value: object) -> int:
    """Return an index, which may come as 0.0; -1 if the value is not an index."""
    if type(value) is int:
        return value
    return int(value) if isinstance(value, float) and value.is_integer() else -1


def _parse_vector(value: object) -> Vector | None:
    """Return a vector from a list of numbers, or from base64 of little-endian float32.

    Returns:
        None for anything else, for numbers that are not finite and for a vector of zeros.
    """
    try:
        if isinstance(value, str):
            vector = np.frombuffer(base64.b64decode(value, validate=True), "<f4")
        elif isinstance(value, list) and all(type(number) in (int, float) for number in value):
            with np.errstate(over="ignore"):  # becomes infinite, which is checked below
                vector = np.array(value, np.float32)
        else:
            return None
    except (binascii.Error, ValueError, OverflowError):
        return None
    return vector if vector.any() and np.isfinite(vector).all() else None


def _parse_usage(usage: object) -> TokenUsage:
    """Return the tokens and the US dollars that the provider reports; 0 if it does not."""
    if not isinstance(usage, dict):
        return TokenUsage()
    tokens, cost_usd = usage.get("prompt_tokens"), usage.get("cost")
    return TokenUsage(int(_parse_amount(tokens)), _parse_amount(cost_usd))


def _parse_amount(value: object) -> float:
    """Return an amount; 0 if it is invalid, because one infinity would spoil every total."""
    try:
        amount = float(value) if isinstance(value, int | float) else 0.0
    except OverflowError:
        return 0.0
    return amount if math.isfinite(amount) and amount >= 0 else 0.0
